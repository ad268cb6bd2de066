package mls

import (
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// componentBaseLabel separates operations of components from those of MLS.
const componentBaseLabel = "MLS Component"

// ComponentLabel is the label of an operation of a component, to be given to
// the labelled operations of package suite (draft-ietf-mls-extensions-09,
// section "Component IDs").
//
//	struct {
//	    opaque base_label<V>; /* = "MLS Component" */
//	    ComponentID component_id;
//	    opaque label<V>;
//	} ComponentOperationLabel;
func ComponentLabel(id ComponentID, label string) (string, error) {
	b, err := wire.Marshal(&componentOperationLabel{[]byte(componentBaseLabel), id, []byte(label)})
	return string(b), err
}

type componentOperationLabel struct {
	base  []byte
	id    ComponentID
	label []byte
}

func (l *componentOperationLabel) Wire(c *wire.Codec) {
	wire.Opaque(c, &l.base)
	wire.Uint16(c, &l.id)
	wire.Opaque(c, &l.label)
}

// SafeSignWithLabel signs as a component, with the key of a leaf
// (draft-ietf-mls-extensions-09, section "Signature Keys"). A component gives its
// own ID, here and when it decrypts.
func SafeSignWithLabel(s *suite.Suite, key suite.SignatureKey, id ComponentID, label string, content []byte) ([]byte, error) {
	name, err := ComponentLabel(id, label)
	if err != nil {
		return nil, err
	}
	return s.SignWithLabel(key, name, content)
}

// SafeVerifyWithLabel verifies a signature of a component, or fails with
// [suite.ErrSignature].
func SafeVerifyWithLabel(s *suite.Suite, public []byte, id ComponentID, label string, content, signature []byte) error {
	name, err := ComponentLabel(id, label)
	if err != nil {
		return err
	}
	return s.VerifyWithLabel(public, name, content, signature)
}

// SafeEncryptWithLabel encrypts to a component of whoever has the HPKE key
// (draft-ietf-mls-extensions-09, section "Hybrid Public Key Encryption (HPKE)
// Keys"). Keys of leaves, init keys and external_pub are meant; the root of the
// tree is known to more than external_pub is, and for longer.
func SafeEncryptWithLabel(s *suite.Suite, public []byte, id ComponentID, label string, context, plaintext []byte) (suite.HPKECiphertext, error) {
	name, err := ComponentLabel(id, label)
	if err != nil {
		return suite.HPKECiphertext{}, err
	}
	return s.EncryptWithLabel(public, name, context, plaintext)
}

// SafeDecryptWithLabel opens what was encrypted to a component, or fails with
// [suite.ErrDecrypt].
func SafeDecryptWithLabel(s *suite.Suite, private suite.HPKEPrivateKey, id ComponentID, label string, context []byte, ct suite.HPKECiphertext) ([]byte, error) {
	name, err := ComponentLabel(id, label)
	if err != nil {
		return nil, err
	}
	return s.DecryptWithLabel(private, name, context, ct)
}
