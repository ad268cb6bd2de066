package protocol

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ConnectionPackageSize is the length of every answer of connectionPackage in
// octets, whether the user is known or not (mmr-profile.md, section 10).
const ConnectionPackageSize = 2048

// MaxConnectionPackage is the longest ConnectionEstablishmentPackage in octets:
// what is left of an answer beside the length.
const MaxConnectionPackage = ConnectionPackageSize - 2

// A ConnectionPackageRequest asks a provider for a package with which its user
// can be asked for a connection (mmr-profile.md, section 10).
//
//	struct { opaque uri<V>; } IdentifierUri;
type ConnectionPackageRequest struct {
	// User who is looked for.
	User mimi.URI
}

// Wire implements [wire.Message].
func (r *ConnectionPackageRequest) Wire(c *wire.Codec) {
	userURI(c, &r.User)
}

// A ConnectionPackageResponse is pad2048(ConnectionEstablishmentPackage), always
// one block of [ConnectionPackageSize]. For a user who is not known, or cannot be
// asked, it holds no package and is of the same size.
type ConnectionPackageResponse struct {
	// Package is an encoded ConnectionEstablishmentPackage, at most
	// [MaxConnectionPackage], or empty.
	Package []byte
}

// Wire implements [wire.Message].
func (r *ConnectionPackageResponse) Wire(c *wire.Codec) {
	if c.Decoding() {
		var block []byte
		wire.Fixed(c, &block, ConnectionPackageSize)
		if len(block) == 0 {
			return // truncated
		}
		x, err := identity.Unpad(block, ConnectionPackageSize)
		if err != nil {
			c.Fail(fmt.Errorf("%w: %w", ErrMalformed, err))
		}
		r.Package = x
		return
	}
	block, err := identity.Pad(r.Package, ConnectionPackageSize)
	if err != nil {
		c.Fail(err)
	}
	if len(block) != ConnectionPackageSize {
		c.Fail(fmt.Errorf("%w: connection package of %d octets, want at most %d", ErrMalformed, len(r.Package), MaxConnectionPackage))
		return
	}
	wire.Fixed(c, &block, ConnectionPackageSize)
}

// maxRef is the longest result of RefHash: Nh of any cipher suite registered so
// far.
const maxRef = 64

// A ConnectionRequest brings a request to connect to a provider's user. The
// answer is always 202 (mmr-profile.md, section 10).
//
//	struct { IdentifierUri target; opaque cep_ref<V>; HPKECiphertext request; } ConnectionRequestEnvelope;
type ConnectionRequest struct {
	// Target is the user who is asked.
	Target mimi.URI
	// PackageRef is the cep_ref of the establishment package that was used.
	PackageRef []byte
	// Request is an EncryptedConnectionRequest (mmr-profile.md, section 4).
	Request suite.HPKECiphertext
}

// Wire implements [wire.Message].
func (r *ConnectionRequest) Wire(c *wire.Codec) {
	userURI(c, &r.Target)
	present(c, &r.PackageRef, maxRef, "cep_ref")
	r.Request.Wire(c)
}

// userURI codes a URI that must name a user.
func userURI(c *wire.Codec, u *mimi.URI) { kindURI(c, u, mimi.KindUser) }

// roomURI codes a URI that must name a room.
func roomURI(c *wire.Codec, u *mimi.URI) { kindURI(c, u, mimi.KindRoom) }

func kindURI(c *wire.Codec, u *mimi.URI, kind mimi.Kind) {
	u.Wire(c)
	if u.Kind != kind {
		c.Fail(fmt.Errorf("%w: a URI of kind %q where %q is needed", ErrMalformed, u.Kind, kind))
	}
}
