package mls

import (
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A KeyPackage lets others add its owner to groups (RFC 9420, section 10).
//
//	struct {
//	    ProtocolVersion version;
//	    CipherSuite cipher_suite;
//	    HPKEPublicKey init_key;
//	    LeafNode leaf_node;
//	    Extension extensions<V>;
//	    /* SignWithLabel(., "KeyPackageTBS", KeyPackageTBS) */
//	    opaque signature<V>;
//	} KeyPackage;
type KeyPackage struct {
	Version     ProtocolVersion
	CipherSuite CipherSuite
	InitKey     []byte
	LeafNode    LeafNode
	Extensions  Extensions
	Signature   []byte

	received received
}

// Wire codes the structure.
func (k *KeyPackage) Wire(c *wire.Codec) {
	mark := c.Mark()
	wire.Uint16(c, &k.Version)
	wire.Uint16(c, &k.CipherSuite)
	wire.Opaque(c, &k.InitKey)
	k.LeafNode.Wire(c)
	k.Extensions.code(c)
	wire.Opaque(c, &k.Signature)
	k.received.keep(c, mark)
}

// tbs returns what stands before the signature.
func (k *KeyPackage) tbs() ([]byte, error) {
	all, err := k.received.bytes(k)
	if err != nil {
		return nil, err
	}
	signature, err := wire.Marshal((*opaque)(&k.Signature))
	if err != nil {
		return nil, err
	}
	return all[:len(all)-len(signature)], nil
}

// VerifySignatures checks the signature of the package and that of its leaf,
// nothing else.
func (k *KeyPackage) VerifySignatures(s *suite.Suite) error {
	tbs, err := k.tbs()
	if err != nil {
		return err
	}
	if err := s.VerifyWithLabel(k.LeafNode.SignatureKey, "KeyPackageTBS", tbs, k.Signature); err != nil {
		return err
	}
	return k.LeafNode.VerifySignature(s, nil, 0)
}

// A KeyPackageRef identifies a KeyPackage by its hash (RFC 9420, section 5.2).
type KeyPackageRef []byte

// Ref computes the KeyPackageRef with the hash of the package's own suite.
func (k *KeyPackage) Ref() (KeyPackageRef, error) {
	s, err := suite.Lookup(k.CipherSuite)
	if err != nil {
		return nil, err
	}
	b, err := k.received.bytes(k)
	if err != nil {
		return nil, err
	}
	return s.RefHash("MLS 1.0 KeyPackage Reference", b), nil
}
