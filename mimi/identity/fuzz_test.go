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

func FuzzPseudonymousCredentialTBS(f *testing.F) {
	v := identitytest.Load(f)
	identitytest.FuzzDecoder[identity.PseudonymousCredentialTBS](f, v.Bytes("PseudonymousCredentialTBS"), v.Bytes("adder_tbs"))
}

func FuzzPseudonymousCredential(f *testing.F) {
	identitytest.FuzzDecoder[identity.PseudonymousCredential](f, identitytest.Load(f).Bytes("PseudonymousCredential"))
}

func FuzzIdentityLinkCiphertext(f *testing.F) {
	identitytest.FuzzDecoder[identity.IdentityLinkCiphertext](f, identitytest.Load(f).Bytes("identity_link_ciphertext"))
}

func FuzzClientCredential(f *testing.F) {
	v := identitytest.Load(f)
	identitytest.FuzzDecoder[identity.ClientCredential](f, v.Bytes("client_credential"), v.Bytes("alice_client_credential"))
}

func FuzzEncryptedIdentityLinkKey(f *testing.F) {
	identitytest.FuzzDecoder[identity.EncryptedIdentityLinkKey](f, identitytest.Load(f).Bytes("EncryptedIdentityLinkKey"))
}

func FuzzAddAAD(f *testing.F) {
	absent := encode(f, &identity.AddAAD{Keys: []*identity.EncryptedIdentityLinkKey{nil, nil}})
	identitytest.FuzzDecoder[identity.AddAAD](f, identitytest.Load(f).Bytes("AddAAD"), absent)
}

func FuzzIdentityLinkEntry(f *testing.F) {
	identitytest.FuzzDecoder[identity.IdentityLinkEntry](f, encode(f, &identity.IdentityLinkEntry{Leaf: 7}))
}

func FuzzIdentityLinkTable(f *testing.F) {
	identitytest.FuzzDecoder[identity.IdentityLinkTable](f, identitytest.Load(f).Bytes("IdentityLinkTable"))
}

func FuzzIdentityLinkState(f *testing.F) {
	identitytest.FuzzDecoder[identity.IdentityLinkState](f, identitytest.Load(f).Bytes("IdentityLinkState"))
}

func FuzzWrapperKey(f *testing.F) {
	identitytest.FuzzDecoder[identity.WrapperKey](f, encode(f, &identity.WrapperKey{Generation: 3, Key: suite.NewSecret(make([]byte, 32))}))
}

func FuzzConnectionKey(f *testing.F) {
	identitytest.FuzzDecoder[identity.ConnectionKey](f, encode(f, &identity.ConnectionKey{Secret: suite.NewSecret(make([]byte, 32))}))
}

func FuzzConnectionToken(f *testing.F) {
	identitytest.FuzzDecoder[identity.ConnectionToken](f, encode(f, &identity.ConnectionToken{Secret: suite.NewSecret(make([]byte, 32))}))
}

func FuzzKeyRing(f *testing.F) {
	ring := ringOf(f, 0, 4, 9)
	identitytest.FuzzDecoder[identity.KeyRing](f, encode(f, &ring))
}

func FuzzSiblingProof(f *testing.F) {
	identitytest.FuzzDecoder[identity.SiblingProof](f, identitytest.Load(f).Bytes("sibling_proof"))
}

func FuzzQueueReference(f *testing.F) {
	identitytest.FuzzDecoder[identity.QueueReference](f, identitytest.Load(f).Bytes("QueueReference"))
}

func FuzzQueueID(f *testing.F) {
	identitytest.FuzzDecoder[identity.QueueID](f, encode(f, &identity.QueueID{ID: []byte("queue"), NotAfter: 1}))
}

func FuzzProviderKeyRing(f *testing.F) {
	s := identitytest.Suite(f, suite.P256AES128)
	now := identitytest.Start
	ring := must[identity.ProviderKeyRing](f)(identity.ProviderKeyRing{}.Rotate(s, now, now.Add(time.Hour), time.Hour, identitytest.Random("r")))
	identitytest.FuzzDecoder[identity.ProviderKeyRing](f, encode(f, &ring))
}

func FuzzMinimalMetadataPolicy(f *testing.F) {
	connection := identity.ConnectionRoomPolicy()
	group := identity.MinimalMetadataPolicy{Requirement: identity.RequireAdmins, Mode: identity.WrapperEpochRotated, MaxUsers: 500}
	identitytest.FuzzDecoder[identity.MinimalMetadataPolicy](f, encode(f, &connection), encode(f, &group))
}

func FuzzEncryptedRoomMetadata(f *testing.F) {
	s := identitytest.Suite(f, suite.X25519AES128)
	m := must[*identity.EncryptedRoomMetadata](f)(ringOf(f, 2).Newest().SealMetadata(s, []byte("g"), []byte("name"), identitytest.Random("m")))
	identitytest.FuzzDecoder[identity.EncryptedRoomMetadata](f, encode(f, m))
}

func FuzzJoinBundle(f *testing.F) {
	identitytest.FuzzDecoder[identity.JoinBundle](f, identitytest.Load(f).Bytes("join_link_bundle"))
}

// FuzzParseJoinLink: a link has one text.
func FuzzParseJoinLink(f *testing.F) {
	link := must[identity.JoinLink](f)(identity.NewJoinLink(identitytest.Room(f, "hub.example", identitytest.Random("room")), identitytest.Random("link")))
	f.Add(link.Text())
	f.Add(link.Text() + "x")
	f.Add("mimi://hub.example/r/a#c=&k=")
	f.Fuzz(func(t *testing.T, text string) {
		link, err := identity.ParseJoinLink(text)
		if err != nil {
			t.Skip("refused")
		}
		if again, err := identity.ParseJoinLink(link.Text()); err != nil || again.Text() != link.Text() {
			t.Errorf("%q becomes %q: %v", text, link.Text(), err)
		}
	})
}

func FuzzParseAuthority(f *testing.F) {
	p := identitytest.NewProvider(f, identitytest.Suite(f, suite.X25519AES128), "a.example")
	f.Add(p.CA.PEM())
	f.Add(bytes.Repeat(p.CA.PEM(), 2))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := identity.ParseAuthority("a.example", data)
		if err != nil {
			t.Skip("refused")
		}
		if again, err := identity.ParseAuthority("a.example", a.PEM()); err != nil || again.Fingerprint() != a.Fingerprint() {
			t.Errorf("%q has no canonical form: %v", data, err)
		}
	})
}

// FuzzClientCertificate: whatever is accepted names one user and one client of
// the authority's domain.
func FuzzClientCertificate(f *testing.F) {
	s := identitytest.Suite(f, suite.X25519AES128)
	p := identitytest.NewProvider(f, s, "a.example")
	der := p.Person(f, "alice", "phone").Certificate.Certificate
	f.Add(der)
	f.Add(der[:len(der)-1])
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := p.Authority.Verify(s, identity.ClientCredential{Certificate: der})
		if err != nil {
			t.Skip("refused")
		}
		if cert.User().Kind != mimi.KindUser || cert.Client().Kind != mimi.KindClient || cert.User().Domain != "a.example" || cert.Client().Domain != "a.example" {
			t.Errorf("accepted as %s, %s", cert.User(), cert.Client())
		}
	})
}

// FuzzIdentityLinkTBE puts any plaintext into a link that opens.
func FuzzIdentityLinkTBE(f *testing.F) {
	s := identitytest.Suite(f, suite.X25519AES128)
	p := identitytest.NewProvider(f, s, "b.example")
	leaf := p.Person(f, "bob", "phone").Leaf(f, mimi.URI{}, nil)
	plaintext := openRaw(f, s, &leaf.Credential, leaf.LinkKey)
	f.Add(plaintext)
	f.Add(make([]byte, len(plaintext)))
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		cred := sealRaw(t, s, leaf.TBS(), leaf.LinkKey, plaintext)
		opened, err := identity.OpenLink(s, cred, leaf.LinkKey, p.Authority, identity.LeafInTree(identitytest.Start))
		if err != nil {
			t.Skip("refused")
		}
		if opened.User().ID != "bob" {
			t.Errorf("opened to %s", opened.User())
		}
	})
}

// FuzzUnpad: what is accepted is what Pad makes.
func FuzzUnpad(f *testing.F) {
	f.Add(must[[]byte](f)(identity.Pad([]byte("hello"), 64)))
	f.Add(make([]byte, 128))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := identity.Unpad(b, 64)
		if err != nil {
			t.Skip("refused")
		}
		if again, err := identity.Pad(x, 64); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x pads again to %x, %v", b, again, err)
		}
	})
}

func FuzzLeafIdentity(f *testing.F) {
	s := identitytest.Suite(f, suite.P256AES128)
	leaf := identitytest.NewProvider(f, s, "b.example").Person(f, "bob", "phone").Leaf(f, mimi.URI{}, nil)
	b := must[[]byte](f)(leaf.Marshal())
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		leaf, err := identity.UnmarshalLeafIdentity(s, b)
		if err != nil {
			t.Skip("refused")
		}
		if again, err := leaf.Marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x is stored again as %x, %v", b, again, err)
		}
	})
}

// FuzzWelcomeKeys puts any octets into the component of a Welcome.
func FuzzWelcomeKeys(f *testing.F) {
	s := identitytest.Suite(f, suite.X25519AES128)
	groupID := []byte("g")
	table := &identity.IdentityLinkTable{GroupID: groupID, Epoch: 4, Entries: []identity.IdentityLinkEntry{{Leaf: 0}, {Leaf: 2}}}
	d := must[identity.WelcomeComponents](f)(identity.WelcomeKeys{Keys: ringOf(f, 1, 3).Keys(), Table: table}.ForWelcome(s)).Dictionary()
	keys, _ := d.Get(identity.ComponentWrapperKeys)
	f.Add(keys)
	f.Add(keys[1:])
	f.Fuzz(func(t *testing.T, keys []byte) {
		e := must[mls.Extension](t)(d.With(identity.ComponentWrapperKeys, keys).Extension())
		w, err := identity.KeysFromWelcome(s, mls.Extensions{e}, groupID, 4, []mls.LeafIndex{0, 2})
		if err != nil {
			t.Skip("refused")
		}
		if w.Keys[len(w.Keys)-1].Generation != 3 || len(w.Table.Entries) != 2 {
			t.Errorf("accepted %d keys, %d entries", len(w.Keys), len(w.Table.Entries))
		}
	})
}
