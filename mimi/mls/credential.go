package mls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Credential names a member (RFC 9420, section 5.3). The body is kept octet
// for octet, whatever the type:
//
//	struct {
//	    CredentialType credential_type;
//	    select (Credential.credential_type) {
//	        case basic: opaque identity<V>;
//	        case x509:  Certificate certificates<V>;
//	    };
//	} Credential;
//
// Every other type has the form opaque<V>. RFC 9420 leaves the form of new
// types open; this one lets a program carry credentials it does not know.
type Credential struct {
	Type CredentialType
	// Body is the content of the one vector: the identity of a basic
	// credential, the encoded certificate list of an X.509 one.
	Body []byte
}

// BasicCredential makes a credential that only asserts identity.
func BasicCredential(identity []byte) Credential {
	return Credential{Type: CredentialBasic, Body: identity}
}

// X509Credential makes a credential of a certificate chain in DER, end entity
// first.
func X509Credential(chain ...[]byte) (Credential, error) {
	list, err := wire.Marshal(&certificates{chain})
	if err != nil {
		return Credential{}, err
	}
	var body []byte
	if err := wire.Unmarshal(list, (*opaque)(&body)); err != nil {
		return Credential{}, err
	}
	return Credential{Type: CredentialX509, Body: body}, nil
}

// Certificates returns the chain of an X.509 credential, end entity first.
func (c *Credential) Certificates() ([][]byte, error) {
	list, err := wire.Marshal((*opaque)(&c.Body))
	if err != nil {
		return nil, err
	}
	var certs certificates
	err = wire.Unmarshal(list, &certs)
	return certs.chain, err
}

// certifies checks that the end-entity certificate of an X.509 credential is for
// a signature key (RFC 9420, section 5.3). Other types say nothing about keys
// that could be checked here; who issued a chain is for the Policy to judge.
func (c *Credential) certifies(signatureKey []byte) error {
	if c.Type != CredentialX509 {
		return nil
	}
	chain, err := c.Certificates()
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return fmt.Errorf("%w: no certificate", ErrCredential)
	}
	certificate, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return fmt.Errorf("%w: end-entity certificate: %w", ErrCredential, err)
	}
	var public []byte
	switch k := certificate.PublicKey.(type) {
	case ed25519.PublicKey:
		public = k
	case *ecdsa.PublicKey:
		if public, err = k.Bytes(); err != nil {
			return fmt.Errorf("%w: key of the end-entity certificate: %w", ErrCredential, err)
		}
	default:
		return fmt.Errorf("%w: the certificate is for a %T", ErrCredential, k)
	}
	if !bytes.Equal(public, signatureKey) {
		return fmt.Errorf("%w: the certificate is for another key", ErrCredential)
	}
	return nil
}

// Equal reports whether the credentials are the same octets.
func (c *Credential) Equal(o *Credential) bool {
	return c.Type == o.Type && bytes.Equal(c.Body, o.Body)
}

// Wire codes the credential. The certificate list of an X.509 credential is
// checked for its form.
func (c *Credential) Wire(w *wire.Codec) {
	wire.Uint16(w, &c.Type)
	wire.Opaque(w, &c.Body)
	if w.Decoding() && c.Type == CredentialX509 {
		if _, err := c.Certificates(); err != nil {
			w.Fail(err)
		}
	}
}

// certificates is Certificate<V>, where
//
//	struct { opaque cert_data<V>; } Certificate;
type certificates struct{ chain [][]byte }

func (c *certificates) Wire(w *wire.Codec) { wire.Vector(w, &c.chain, wire.Opaque) }

// opaque is one opaque<V> as a message.
type opaque []byte

func (o *opaque) Wire(w *wire.Codec) { wire.Opaque(w, (*[]byte)(o)) }
