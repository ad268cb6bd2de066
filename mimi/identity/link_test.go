package identity_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// linkAAD is PseudonymousCredentialTBS || commitment<V>, written once more.
func linkAAD(tb testing.TB, tbs *identity.PseudonymousCredentialTBS, commitment []byte) []byte {
	return append(encode(tb, tbs), encode(tb, (*opaque)(&commitment))...)
}

// sealRaw makes a link with any plaintext, cut or filled with zeros to its size.
func sealRaw(tb testing.TB, s *suite.Suite, tbs *identity.PseudonymousCredentialTBS, link identity.LinkKey, plaintext []byte) *identity.PseudonymousCredential {
	tb.Helper()
	commitment := s.ExpandWithLabel(link.Secret, "commit", nil, s.Nh()).Bytes()
	nonce := make([]byte, s.Nn())
	plaintext = append(bytes.Clone(plaintext), make([]byte, identity.PadLink)...)[:identity.PadLink]
	ct := must[[]byte](tb)(s.Seal(s.ExpandWithLabel(link.Secret, "key", nil, s.Nk()), nonce, linkAAD(tb, tbs, commitment), plaintext))
	return &identity.PseudonymousCredential{
		PseudonymousCredentialTBS: *tbs,
		Link:                      identity.IdentityLinkCiphertext{Commitment: commitment, Nonce: nonce, Ciphertext: ct},
	}
}

func openRaw(tb testing.TB, s *suite.Suite, cred *identity.PseudonymousCredential, link identity.LinkKey) []byte {
	tb.Helper()
	return must[[]byte](tb)(s.Open(s.ExpandWithLabel(link.Secret, "key", nil, s.Nk()), cred.Link.Nonce,
		linkAAD(tb, &cred.PseudonymousCredentialTBS, cred.Link.Commitment), cred.Link.Ciphertext))
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

func TestLeafIdentity(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		p := identitytest.NewProvider(t, s, "b.example")
		bob := p.Person(t, "bob", "phone")
		key := must[identity.ConnectionKey](t)(identity.NewConnectionKey(p.Random))
		now := p.Clock.Now()

		first := bob.Leaf(t, mimi.URI{}, &key)
		second := bob.Leaf(t, first.TBS().UserPseudonym, nil)
		if first.TBS().UserPseudonym != second.TBS().UserPseudonym || first.TBS().ClientPseudonym == second.TBS().ClientPseudonym {
			t.Error("leaves of one user share the user pseudonym alone")
		}
		if bytes.Equal(first.Key.Public(), second.Key.Public()) {
			t.Error("signature keys are fresh for each credential")
		}
		for _, leaf := range []*identity.LeafIdentity{first, second} {
			inner := must[mls.Credential](t)(leaf.Credential.Credential())
			cred := must[*identity.PseudonymousCredential](t)(identity.ParseCredential(s, inner, leaf.Key.Public()))
			opened := must[*identity.OpenedLink](t)(identity.OpenLink(s, cred, leaf.LinkKey, p.Authority, identity.NewLeaf(now, now)))
			if opened.User() != bob.User || opened.Client() != bob.URI || opened.Expired() {
				t.Errorf("opened to %s, %s", opened.User(), opened.Client())
			}
			stored := must[*identity.LeafIdentity](t)(identity.UnmarshalLeafIdentity(s, must[[]byte](t)(leaf.Marshal())))
			if !stored.Credential.Equal(&leaf.Credential) || !stored.LinkKey.Equal(leaf.LinkKey.Secret) || !bytes.Equal(stored.Key.Public(), leaf.Key.Public()) {
				t.Error("a stored leaf differs")
			}
		}
		// The contact derives the key of the first and cannot derive that of the
		// second, which is random.
		derived := must[identity.LinkKey](t)(identity.DeriveLinkKey(s, key, first.TBS()))
		if !derived.Equal(first.LinkKey.Secret) {
			t.Error("the contact derives another link key")
		}
		derived = must[identity.LinkKey](t)(identity.DeriveLinkKey(s, key, second.TBS()))
		_, err := identity.OpenLink(s, &second.Credential, derived, p.Authority, identity.NewLeaf(now, now))
		wantError(t, err, identity.ErrCommitment)
	})
}

// TestLinkSize: the size of a credential does not depend on who is behind it
// (docs/mmr-profile.md, section 9, T3).
func TestLinkSize(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		p := identitytest.NewProvider(t, s, "b.example")
		short := p.Person(t, "b", "p").Leaf(t, mimi.URI{}, nil)
		long := p.Person(t, strings.Repeat("x", 128), strings.Repeat("y", 60)).Leaf(t, mimi.URI{}, nil)
		if a, b := len(encode(t, &short.Credential)), len(encode(t, &long.Credential)); a != b {
			t.Errorf("credentials have %d and %d octets", a, b)
		}
	})
}

func TestLinkTooLong(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	domain := strings.Repeat("a.", 120) + "example"
	p := identitytest.NewProvider(t, s, domain)
	user := mimi.URI{Domain: domain, Kind: mimi.KindUser, ID: strings.Repeat("u", 128)}
	client := mimi.URI{Domain: domain, Kind: mimi.KindClient, ID: strings.Repeat("d", 128)}
	key := must[suite.SignatureKey](t)(s.GenerateSignatureKey(p.Random))
	_, err := p.CA.Issue(user, client, key.Public())
	wantError(t, err, identity.ErrLinkTooLong)

	leaf := p.Person(t, "u", "d")
	leaf.Certificate.Certificate = make([]byte, identity.PadLink)
	_, err = identity.NewLeafIdentity(identity.LeafConfig{Suite: s, Domain: domain, Client: leaf, Random: p.Random})
	wantError(t, err, identity.ErrLinkTooLong)
}

// TestOpenLinkRefuses changes one thing of a link at a time.
func TestOpenLinkRefuses(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		p := identitytest.NewProvider(t, s, "b.example")
		other := identitytest.NewProvider(t, s, "b.example")
		other.CA = must[*identity.CA](t)(identity.NewCA(identity.CAConfig{Suite: s, Domain: "b.example", Clock: p.Clock, Random: identitytest.Random("other CA")}))
		bob, eve := p.Person(t, "bob", "phone"), p.Person(t, "eve", "phone")
		stranger := other.Person(t, "bob", "phone")
		now := p.Clock.Now()
		leaf := bob.Leaf(t, mimi.URI{}, nil)
		tbs, link := leaf.TBS(), leaf.LinkKey

		open := func(cred *identity.PseudonymousCredential, key identity.LinkKey, at identity.Moment) error {
			_, err := identity.OpenLink(s, cred, key, p.Authority, at)
			return err
		}
		fresh := identity.NewLeaf(now, now)
		if err := open(&leaf.Credential, link, fresh); err != nil {
			t.Fatal(err)
		}
		changed := func(change func(c *identity.PseudonymousCredential)) *identity.PseudonymousCredential {
			var c identity.PseudonymousCredential
			decode(t, encode(t, &leaf.Credential), &c)
			change(&c)
			return &c
		}
		sealedBy := func(client identity.ClientSigner) *identity.PseudonymousCredential {
			return must[*identity.PseudonymousCredential](t)(identity.SealLink(s, *tbs, link, client, rand.Reader))
		}
		tbe := func(signature []byte, credential wire.Message) []byte {
			b := append(encode(t, (*opaque)(&signature)), encode(t, credential)...)
			return must[[]byte](t)(identity.Pad(b, identity.PadLink))
		}
		signature := must[[]byte](t)(bob.SignWithLabel("PseudonymousCredentialTBS", encode(t, tbs)))
		basic := mls.BasicCredential([]byte(bob.User.String()))
		chain := must[mls.Credential](t)(mls.X509Credential(bob.Certificate.Certificate, bob.Certificate.Certificate))
		notZero := openRaw(t, s, &leaf.Credential, link)
		notZero[len(notZero)-1] = 1

		for name, test := range map[string]struct {
			cred *identity.PseudonymousCredential
			key  identity.LinkKey
			want error
		}{
			"another key":               {&leaf.Credential, identity.LinkKey{Secret: suite.NewSecret(make([]byte, 32))}, identity.ErrCommitment},
			"no key":                    {&leaf.Credential, identity.LinkKey{}, identity.ErrSecretSize},
			"commitment changed":        {changed(func(c *identity.PseudonymousCredential) { c.Link.Commitment[0] ^= 1 }), link, identity.ErrCommitment},
			"nonce changed":             {changed(func(c *identity.PseudonymousCredential) { c.Link.Nonce[0] ^= 1 }), link, identity.ErrLinkDecrypt},
			"ciphertext changed":        {changed(func(c *identity.PseudonymousCredential) { c.Link.Ciphertext[9] ^= 1 }), link, identity.ErrLinkDecrypt},
			"ciphertext cut":            {changed(func(c *identity.PseudonymousCredential) { c.Link.Ciphertext = c.Link.Ciphertext[:40] }), link, identity.ErrLinkFormat},
			"user pseudonym changed":    {changed(func(c *identity.PseudonymousCredential) { c.UserPseudonym = anyID(t, "b.example", mimi.KindUser) }), link, identity.ErrLinkDecrypt},
			"client pseudonym changed":  {changed(func(c *identity.PseudonymousCredential) { c.ClientPseudonym = anyID(t, "b.example", mimi.KindClient) }), link, identity.ErrLinkDecrypt},
			"signature key changed":     {changed(func(c *identity.PseudonymousCredential) { c.SignaturePublicKey = bob.Key.Public() }), link, identity.ErrLinkDecrypt},
			"padding not zero":          {sealRaw(t, s, tbs, link, notZero), link, identity.ErrPadding},
			"nothing inside":            {sealRaw(t, s, tbs, link, nil), link, identity.ErrLinkFormat},
			"basic credential":          {sealRaw(t, s, tbs, link, tbe(signature, &basic)), link, identity.ErrCredentialType},
			"two certificates":          {sealRaw(t, s, tbs, link, tbe(signature, &chain)), link, identity.ErrCredentialType},
			"certificate of another CA": {sealedBy(stranger), link, identity.ErrIssuer},
			"signed by somebody else": {
				sealRaw(t, s, tbs, link, tbe(must[[]byte](t)(eve.SignWithLabel("PseudonymousCredentialTBS", encode(t, tbs))), &bob.Certificate)), link, identity.ErrLinkSignature,
			},
			"signed for another leaf": {
				sealRaw(t, s, tbs, link, tbe(must[[]byte](t)(bob.SignWithLabel("PseudonymousCredentialTBS", encode(t, bob.Leaf(t, mimi.URI{}, nil).TBS()))), &bob.Certificate)), link, identity.ErrLinkSignature,
			},
			"signed under another label": {
				sealRaw(t, s, tbs, link, tbe(must[[]byte](t)(bob.SignWithLabel("LeafNodeTBS", encode(t, tbs))), &bob.Certificate)), link, identity.ErrLinkSignature,
			},
		} {
			t.Run(name, func(t *testing.T) { wantError(t, open(test.cred, test.key, fresh), test.want) })
		}
		t.Run("person of another domain", func(t *testing.T) {
			c := identitytest.NewProvider(t, s, "c.example")
			cred := sealedBy(c.Person(t, "carol", "phone"))
			_, err := identity.OpenLink(s, cred, link, c.Authority, fresh)
			wantError(t, err, identity.ErrDomain)
			_, err = identity.OpenLink(s, cred, link, p.Authority, fresh)
			wantError(t, err, identity.ErrIssuer)
		})
		t.Run("authority of another domain", func(t *testing.T) {
			a := must[*identity.Authority](t)(identity.ParseAuthority("c.example", p.CA.PEM()))
			_, err := identity.OpenLink(s, &leaf.Credential, link, a, fresh)
			wantError(t, err, identity.ErrDomain)
		})
	})
}

func anyID(t *testing.T, domain string, kind mimi.Kind) mimi.URI {
	t.Helper()
	return must[mimi.URI](t)(mimi.NewID(domain, kind, rand.Reader))
}

// TestCertificateMoment: a new leaf's certificate is valid at the hub's time and
// at ours, give or take a day; that of a leaf in the tree may have expired.
func TestCertificateMoment(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	leaf := p.Person(t, "bob", "phone").Leaf(t, mimi.URI{}, nil)
	start := identitytest.Start.Truncate(24 * time.Hour)
	end := start.Add(identity.ClientLifetime)
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		at      identity.Moment
		want    error
		expired bool
	}{
		"valid":                      {identity.NewLeaf(start, start), nil, false},
		"a day early":                {identity.NewLeaf(start.Add(-day), start.Add(-day)), nil, false},
		"more than a day early":      {identity.NewLeaf(start, start.Add(-day-1)), identity.ErrValidity, false},
		"a day late":                 {identity.NewLeaf(end.Add(day), end.Add(day)), nil, true},
		"hub's time too late":        {identity.NewLeaf(end.Add(day+1), end), identity.ErrValidity, false},
		"our time too late":          {identity.NewLeaf(end, end.Add(day+1)), identity.ErrValidity, false},
		"in the tree, valid":         {identity.LeafInTree(end), nil, false},
		"in the tree, long expired":  {identity.LeafInTree(end.Add(1000 * day)), nil, true},
		"in the tree, at its expiry": {identity.LeafInTree(end.Add(1)), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			opened, err := identity.OpenLink(s, &leaf.Credential, leaf.LinkKey, p.Authority, test.at)
			wantError(t, err, test.want)
			if err == nil && opened.Expired() != test.expired {
				t.Errorf("expired is %t", opened.Expired())
			}
		})
	}
}

// TestParseCredentialRefuses: what a hub refuses without opening anything.
func TestParseCredentialRefuses(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	leaf := p.Person(t, "bob", "phone").Leaf(t, mimi.URI{}, nil)
	good := must[mls.Credential](t)(leaf.Credential.Credential())
	parse := func(c mls.Credential, key []byte) error {
		_, err := identity.ParseCredential(s, c, key)
		return err
	}
	if err := parse(good, leaf.Key.Public()); err != nil {
		t.Fatal(err)
	}
	wantError(t, parse(mls.BasicCredential([]byte("bob")), leaf.Key.Public()), identity.ErrCredentialType)
	wantError(t, parse(good, p.CA.Key().Public()), identity.ErrSignatureKey)
	wantError(t, parse(mls.Credential{Type: good.Type, Body: append(bytes.Clone(good.Body), 0)}, leaf.Key.Public()), wire.ErrTrailing)

	body := func(client, user string) mls.Credential {
		b := append(encode(t, opaqueOf(client)), encode(t, opaqueOf(user))...)
		key, link := leaf.Key.Public(), encode(t, &leaf.Credential.Link)
		b = append(b, encode(t, (*opaque)(&key))...)
		return mls.Credential{Type: good.Type, Body: append(b, encode(t, (*opaque)(&link))...)}
	}
	const d, u = "mimi://b.example/d/0b6f6c1e-5b0a-4a6e-9d3c-6f2a1f9b7c11", "mimi://b.example/u/7d1f0a52-2e53-4c1b-8f6a-3f0c9e5d2b77"
	if err := parse(body(d, u), leaf.Key.Public()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]mls.Credential{
		"swapped":           body(u, d),
		"real name":         body(d, "mimi://b.example/u/bob"),
		"two domains":       body(d, strings.Replace(u, "b.", "c.", 1)),
		"UUID of version 1": body(d, strings.Replace(u, "4c1b", "1c1b", 1)),
		"UUID of variant 0": body(d, strings.Replace(u, "8f6a", "0f6a", 1)),
	} {
		t.Run(name, func(t *testing.T) { wantError(t, parse(c, leaf.Key.Public()), identity.ErrPseudonym) })
	}
	wantError(t, parse(body(d, strings.Replace(u, "7d1f", "7D1F", 1)), leaf.Key.Public()), identity.ErrPseudonym)
	wantError(t, parse(body(d, "http://b.example/u/x"), leaf.Key.Public()), mimi.ErrURI)
}
