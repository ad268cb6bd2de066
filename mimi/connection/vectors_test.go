package connection

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// known is the state that the known answers share.
type known struct {
	*identitytest.Vectors
	t   *testing.T
	s   *suite.Suite
	pkg *PrivatePackage
	tbs identity.PseudonymousCredentialTBS
}

func loadKnown(t *testing.T) *known {
	t.Helper()
	v := identitytest.Load(t)
	k := &known{Vectors: v, t: t, s: identitytest.Suite(t, suite.X25519AES128)}
	var pkg ConnectionEstablishmentPackage
	decode(t, v.Bytes("ConnectionEstablishmentPackage"), &pkg)
	var err error
	if k.pkg, err = LoadPackage(pkg, v.Bytes("connection_establishment_private_key")); err != nil {
		t.Fatal(err)
	}
	decode(t, v.Bytes("PseudonymousCredentialTBS"), &k.tbs)
	return k
}

func (k *known) same(name string, got []byte) {
	k.t.Helper()
	if want := k.Bytes(name); !bytes.Equal(got, want) {
		k.t.Errorf("%s\n got %x\nwant %x", name, got, want)
	}
}

// authority is the one CA of the vectors, which issues for both domains.
func (k *known) authority(domain string) *identity.Authority {
	k.t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Bytes("provider_ca_certificate")})
	a, err := identity.ParseAuthority(domain, data)
	if err != nil {
		k.t.Fatal(err)
	}
	return a
}

func (k *known) client(seed, credential string) *identity.Client {
	k.t.Helper()
	key, err := k.s.ImportSignatureKey(k.Secret(seed))
	if err != nil {
		k.t.Fatal(err)
	}
	c := &identity.Client{Suite: k.s, Key: key}
	decode(k.t, k.Bytes(credential), &c.Certificate)
	return c
}

func decode(tb testing.TB, b []byte, m wire.Message) {
	tb.Helper()
	if err := wire.Unmarshal(b, m); err != nil {
		tb.Fatalf("decode %T: %v", m, err)
	}
}

func encode(tb testing.TB, m wire.Message) []byte {
	tb.Helper()
	b, err := wire.Marshal(m)
	if err != nil {
		tb.Fatalf("encode %T: %v", m, err)
	}
	return b
}

// vectorTime is within the validity of the vectors' certificates and package.
var vectorTime = time.Date(2026, 1, 20, 0, 0, 0, 0, time.UTC)

func TestKnownPackage(t *testing.T) {
	k := loadKnown(t)
	k.same("ConnectionEstablishmentPackage", encode(t, &k.pkg.Package))
	k.same("cep_ref", k.pkg.Ref[:])
	verified, err := k.pkg.Package.Verify(k.pkg.Package.TBS.User, k.authority("b.example"), vectorTime)
	if err != nil {
		t.Fatal(err)
	}
	if verified.User().String() != "mimi://b.example/u/bob" {
		t.Errorf("package of %s", verified.User())
	}
	// Signing again gives the same octets.
	content := encode(t, &k.pkg.Package.TBS)
	sig, err := k.client("client_private_key_seed", "client_credential").SignWithLabel(labelPackage, content)
	if err != nil || !bytes.Equal(sig, k.pkg.Package.Signature) {
		t.Errorf("signature %x, %v", sig, err)
	}
}

func TestKnownRequest(t *testing.T) {
	k := loadKnown(t)
	context := ConnectionRequestContext{k.pkg.Package.TBS.User, k.pkg.Ref}
	var request ConnectionRequest
	decode(t, k.Bytes("ConnectionRequest"), &request)
	k.same("ConnectionRequest", encode(t, &request))
	k.same("identity_link_wrapper_key", request.WrapperKey.Bytes())
	k.same("joining_code", request.JoiningCode(k.s).Bytes())

	signed := &SignedConnectionRequest{Request: request}
	if err := signed.sign(k.client("alice_client_private_key_seed", "alice_client_credential"), context); err != nil {
		t.Fatal(err)
	}
	k.same("SignedConnectionRequest", encode(t, signed))

	var sealed suite.HPKECiphertext
	decode(t, k.Bytes("EncryptedConnectionRequest"), &sealed)
	opened, err := k.pkg.open(sealed)
	if err != nil {
		t.Fatal(err)
	}
	k.same("SignedConnectionRequest", encode(t, opened))
	bound := encode(t, &context)
	k.same("connection_request_hpke_info", info(t, labelRequest, bound))
}

// info is what EncryptWithLabel hands to HPKE.
func info(t *testing.T, label string, context []byte) []byte {
	l, c := opaque("MLS 1.0 "+label), opaque(context)
	return append(encode(t, &l), encode(t, &c)...)
}

type opaque []byte

func (o *opaque) Wire(c *wire.Codec) { wire.Opaque(c, (*[]byte)(o)) }

func TestKnownResponse(t *testing.T) {
	k := loadKnown(t)
	var signed SignedConnectionRequest
	decode(t, k.Bytes("SignedConnectionRequest"), &signed)
	ref, err := signed.Ref(k.s)
	if err != nil {
		t.Fatal(err)
	}
	context := &ConnectionResponseContext{signed.Request.Room, ref, k.tbs}
	k.same("connection_response_hpke_info", info(t, labelResponse, encode(t, context)))
	private, err := k.s.ImportHPKEKey(k.Secret("connection_response_private_key"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := openResponse(k.s, private, context, k.Bytes("EncryptedConnectionResponse"))
	if err != nil {
		t.Fatal(err)
	}
	k.same("ConnectionResponse", encode(t, keys))
	k.same("connection_key", keys.Key.Bytes())
}

// TestKnownReceive takes the vectors' request through all of the responder's
// checks.
func TestKnownReceive(t *testing.T) {
	k := loadKnown(t)
	stored, err := k.pkg.Stored()
	if err != nil {
		t.Fatal(err)
	}
	var ct suite.HPKECiphertext
	decode(t, k.Bytes("EncryptedConnectionRequest"), &ct)
	r := NewResponder(ResponderConfig{
		Packages: onePackage{stored}, Replays: fresh{},
		Authority: func(_ context.Context, domain string) (*identity.Authority, error) { return k.authority(domain), nil },
		Blocked:   func(context.Context, mimi.URI, mimi.URI) (bool, error) { return false, nil },
		Atomically: func(ctx context.Context, f func(context.Context) error) error {
			return f(ctx)
		},
		Clock: mimi.NewManualClock(vectorTime),
	})
	var got *IncomingRequest
	err = r.Receive(t.Context(), &SealedRequest{k.pkg.Package.TBS.User, k.pkg.Ref, ct}, func(_ context.Context, q *IncomingRequest) error {
		got = q
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.User().String() != "mimi://a.example/u/alice" || got.Client().String() != "mimi://a.example/d/alice-laptop" {
		t.Errorf("request of %s, %s", got.User(), got.Client())
	}
}

type onePackage struct{ *StoredPackage }

func (o onePackage) Package(context.Context, Ref) (*StoredPackage, error) {
	return o.StoredPackage, nil
}
func (onePackage) DropUnasked(context.Context, mimi.URI, time.Time) error { return nil }
func (onePackage) DropPackages(context.Context, mimi.URI) error           { return nil }

func (onePackage) UsePackage(context.Context, Ref) error            { return nil }
func (onePackage) PutPackage(context.Context, *StoredPackage) error { return errors.ErrUnsupported }
func (onePackage) ForgetPackages(context.Context, time.Time) error  { return nil }

func (onePackage) HandOut(context.Context, mimi.URI, mls.CipherSuite, time.Time) (*StoredPackage, error) {
	return nil, ErrNoPackage
}

func (onePackage) CountPackages(context.Context, mimi.URI, mls.CipherSuite, time.Time) (int, int, error) {
	return 0, 0, nil
}

type fresh struct{}

func (fresh) Remember(context.Context, Ref, time.Time) (bool, error) { return true, nil }
func (fresh) ForgetReplays(context.Context, time.Time) error         { return nil }
