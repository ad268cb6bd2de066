package identity_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestPlainCredential: the certificate of a client is the credential of its leaves in
// plain rooms, and says who it is.
func TestPlainCredential(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		bob := identitytest.NewProvider(t, s, "b.example").Person(t, "bob", "phone")
		credential := must[mls.Credential](t)(bob.Certificate.Leaf())
		tbs := must[*identity.PseudonymousCredentialTBS](t)(identity.ParsePlainCredential(s, credential, bob.Key.Public()))
		if tbs.UserPseudonym != bob.User || tbs.ClientPseudonym != bob.URI || !bytes.Equal(tbs.SignaturePublicKey, bob.Key.Public()) {
			t.Errorf("it is of %s, %s", tbs.UserPseudonym, tbs.ClientPseudonym)
		}
		read := must[*identity.PseudonymousCredentialTBS](t)(identity.ReadPlainCredential(credential))
		if read.UserPseudonym != bob.User || read.ClientPseudonym != bob.URI {
			t.Errorf("it reads as %s, %s", read.UserPseudonym, read.ClientPseudonym)
		}
		moment := identity.NewLeaf(identitytest.Start, identitytest.Start)
		opened := must[*identity.OpenedLink](t)(identity.OpenPlain(s, credential, bob.Key.Public(), bob.Provider.Authority, moment))
		if opened.User() != bob.User || opened.Client() != bob.URI || opened.Expired() {
			t.Errorf("it opens to %s, %s", opened.User(), opened.Client())
		}
	})
}

// TestPlainCredentialRefused: what is no credential of a leaf in a plain room.
func TestPlainCredentialRefused(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	bob, ben := p.Person(t, "bob", "phone"), p.Person(t, "ben", "phone")
	der := bob.Certificate.Certificate
	chain := func(chain ...[]byte) mls.Credential { return must[mls.Credential](t)(mls.X509Credential(chain...)) }
	pseudonymous := must[mls.Credential](t)(func() (mls.Credential, error) {
		leaf := bob.Leaf(t, mimi.URI{}, nil)
		return leaf.Credential.Credential()
	}())
	for name, c := range map[string]struct {
		credential mls.Credential
		key        []byte
		want       error
	}{
		"basic":                {mls.BasicCredential([]byte(bob.User.String())), bob.Key.Public(), identity.ErrCredentialType},
		"pseudonymous":         {pseudonymous, bob.Key.Public(), identity.ErrCredentialType},
		"no certificate":       {chain(), bob.Key.Public(), identity.ErrCredentialType},
		"an empty one":         {chain(nil), bob.Key.Public(), identity.ErrCredentialType},
		"two certificates":     {chain(der, p.CA.Certificate()), bob.Key.Public(), identity.ErrCredentialType},
		"no list":              {mls.Credential{Type: mls.CredentialX509, Body: []byte{1}}, bob.Key.Public(), identity.ErrCredentialType},
		"no certificate's DER": {chain([]byte("bob")), bob.Key.Public(), identity.ErrCertificate},
		"that of the CA":       {chain(p.CA.Certificate()), p.CA.Key().Public(), identity.ErrCertificate},
		"another's key":        {chain(der), ben.Key.Public(), identity.ErrSignatureKey},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := identity.ParsePlainCredential(s, c.credential, c.key)
			wantError(t, err, c.want)
			_, err = identity.OpenPlain(s, c.credential, c.key, p.Authority, identity.LeafInTree(identitytest.Start))
			wantError(t, err, c.want)
		})
	}
	credential := chain(der)
	now := identity.NewLeaf(identitytest.Start, identitytest.Start)
	_, err := identity.OpenPlain(s, credential, bob.Key.Public(), identitytest.NewProvider(t, s, "c.example").Authority, now)
	wantError(t, err, identity.ErrIssuer)
	// Another CA of the same name.
	forged := identitytest.NewProvider(t, identitytest.Suite(t, suite.P256AES128), "b.example")
	_, err = identity.OpenPlain(s, credential, bob.Key.Public(), forged.Authority, now)
	wantError(t, err, identity.ErrIssuer)
	later := identitytest.Start.Add(60 * 24 * time.Hour)
	_, err = identity.OpenPlain(s, credential, bob.Key.Public(), p.Authority, identity.NewLeaf(later, later))
	wantError(t, err, identity.ErrValidity)
	if opened, err := identity.OpenPlain(s, credential, bob.Key.Public(), p.Authority, identity.LeafInTree(later)); err != nil || !opened.Expired() {
		t.Errorf("a leaf that was there before: %v", err)
	}
}

// TestNoProfileInPlainRooms: none of the profile's components is taken for one of a
// plain room.
func TestNoProfileInPlainRooms(t *testing.T) {
	plain := must[mls.AppDataDictionary](t)(identity.PlainGroupComponents())
	check := func(d mls.AppDataDictionary) error {
		return identity.CheckNoProfile(mls.Extensions{must[mls.Extension](t)(d.Extension())})
	}
	if err := check(plain); err != nil {
		t.Error(err)
	}
	for _, id := range identity.AppComponents() {
		if id < identity.ComponentIdentityLink {
			continue
		}
		wantError(t, check(plain.With(id, []byte{1})), identity.ErrProfileComponent)
	}
}

// FuzzPlainCredential: nothing that somebody sends as the certificate of a leaf breaks
// its reader, and what is read names one user and one client of one domain.
func FuzzPlainCredential(f *testing.F) {
	for _, id := range []suite.ID{suite.X25519AES128, suite.P256AES128} {
		bob := identitytest.NewProvider(f, identitytest.Suite(f, id), "b.example").Person(f, "bob", "phone")
		if _, err := identity.ReadPlainCredential(must[mls.Credential](f)(bob.Certificate.Leaf())); err != nil {
			f.Fatalf("seed is refused: %v", err)
		}
		f.Add(bob.Certificate.Certificate)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, der []byte) {
		credential, err := mls.X509Credential(der)
		if err != nil {
			t.Skip(err)
		}
		tbs, err := identity.ReadPlainCredential(credential)
		if err != nil {
			t.Skip(err)
		}
		if tbs.UserPseudonym.Kind != mimi.KindUser || tbs.ClientPseudonym.Kind != mimi.KindClient || tbs.UserPseudonym.Domain != tbs.ClientPseudonym.Domain {
			t.Errorf("it names %s and %s", tbs.UserPseudonym, tbs.ClientPseudonym)
		}
	})
}
