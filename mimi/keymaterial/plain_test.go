package keymaterial_test

import (
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// TestPlainKeyPackage: a KeyPackage for a plain room is of the user's client, and its
// private part says for whom it was made.
func TestPlainKeyPackage(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	bob := identitytest.NewProvider(t, s, "b.example").Person(t, "bob", "phone")
	alice := identitytest.NewProvider(t, s, "a.example").Person(t, "alice", "phone")
	made := func(p *identitytest.Person, change func(*keymaterial.PlainConfig)) protocol.ClientKeyMaterial {
		t.Helper()
		cfg := keymaterial.PlainConfig{
			Suite: s, Account: p.User, Peer: alice.User, Key: p.Key, Certificate: p.Certificate, Clock: p.Provider.Clock, Random: p.Provider.Random,
		}
		if change != nil {
			change(&cfg)
		}
		kp, private, err := keymaterial.NewPlain(cfg)
		if err != nil {
			t.Fatal(err)
		}
		own := must[*keymaterial.PrivateKeyPackage](t)(keymaterial.UnmarshalPrivateKeyPackage(private.Secret))
		ref := must[mls.KeyPackageRef](t)(kp.Ref())
		if !own.Plain() || own.Account != cfg.Account || own.Peer != alice.User || own.LastResort || string(ref) != string(private.Ref[:]) {
			t.Errorf("the private part is %+v", own)
		}
		return protocol.ClientKeyMaterial{Client: p.URI, KeyPackage: kp}
	}
	answer := func(clients ...protocol.ClientKeyMaterial) *protocol.KeyMaterialResponse {
		return &protocol.KeyMaterialResponse{User: bob.User, Clients: clients}
	}
	check := keymaterial.PlainCheck{Suite: s, User: bob.User, Authority: bob.Provider.Authority, Clock: bob.Provider.Clock}
	laptop := bob.Provider.Person(t, "bob", "laptop")
	good := answer(made(bob, nil), made(laptop, nil), protocol.ClientKeyMaterial{Status: protocol.ClientExhausted, Client: bob.URI})
	if packages, err := keymaterial.CheckPlain(check, good); err != nil || len(packages) != 2 {
		t.Errorf("%d KeyPackages: %v", len(packages), err)
	}

	ben, mallory := bob.Provider.Person(t, "ben", "phone"), identitytest.NewProvider(t, s, "c.example").Person(t, "mallory", "phone")
	other := answer(made(bob, nil))
	other.User = ben.User
	renamed := made(bob, nil)
	renamed.Client = laptop.URI
	bent := made(bob, nil)
	bent.KeyPackage.LeafNode.Signature[0] ^= 1
	minimal := made(bob, nil)
	leaf := bob.Leaf(t, mimi.URI{}, nil)
	minimal.KeyPackage.LeafNode.Credential = must[mls.Credential](t)(leaf.Credential.Credential())
	expired := bob.Provider.Person(t, "bob", "tablet")
	for name, c := range map[string]struct {
		answer *protocol.KeyMaterialResponse
		want   error
	}{
		"another user's answer":      {other, keymaterial.ErrOtherPerson},
		"another user's KeyPackage":  {answer(made(ben, nil)), keymaterial.ErrOtherPerson},
		"of another provider's CA":   {answer(made(mallory, nil)), identity.ErrIssuer},
		"under another client's URI": {answer(renamed), keymaterial.ErrOtherPerson},
		"a client twice":             {answer(made(bob, nil), made(bob, nil)), keymaterial.ErrSet},
		"with a bad signature":       {answer(bent), keymaterial.ErrKeyPackage},
		"of the other kind":          {answer(minimal), keymaterial.ErrKeyPackage},
		"of a former year": {answer(made(expired, func(cfg *keymaterial.PlainConfig) {
			cfg.Clock = mimi.NewManualClock(identitytest.Start.Add(-365 * 24 * time.Hour))
		})), keymaterial.ErrLifetime},
		"none": {answer(protocol.ClientKeyMaterial{Status: protocol.ClientExhausted, Client: bob.URI}), keymaterial.ErrSet},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := keymaterial.CheckPlain(check, c.answer)
			wantError(t, err, c.want)
		})
	}
	_, err := keymaterial.CheckPlain(check, &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent, User: bob.User})
	if e, ok := err.(*protocol.KeyMaterialError); !ok || e.Code != protocol.KeyMaterialNoConsent { //nolint:errorlint // as it is
		t.Errorf("a refusal is %v", err)
	}
}
