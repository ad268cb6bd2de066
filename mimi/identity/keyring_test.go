package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// wrapperKey is a made-up key of a generation.
func wrapperKey(g identity.Generation) identity.WrapperKey {
	b := make([]byte, 32)
	b[0], b[1], b[31] = byte(g), byte(g>>8), 0xAA
	return identity.WrapperKey{Generation: g, Key: suite.NewSecret(b)}
}

func ringOf(tb testing.TB, generations ...identity.Generation) identity.KeyRing {
	tb.Helper()
	var keys []identity.WrapperKey
	for _, g := range generations {
		keys = append(keys, wrapperKey(g))
	}
	return must[identity.KeyRing](tb)(identity.NewKeyRing(keys...))
}

func generations(r identity.KeyRing) []identity.Generation {
	var out []identity.Generation
	for _, k := range r.Keys() {
		out = append(out, k.Generation)
	}
	return out
}

// exporter is a group's exporter in one epoch.
type exporter string

func (e exporter) Export(label string, context []byte, length int) (suite.Secret, error) {
	if label != "MIMI identity link wrapper" || len(context) != 0 {
		return suite.Secret{}, fmt.Errorf("exported %q, %q", label, context)
	}
	return suite.NewSecret([]byte(strings.Repeat(string(e), length))[:length]), nil
}

func TestKeyRing(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	ring := ringOf(t, 0)

	static := must[identity.KeyRing](t)(ring.Derive(s, identity.WrapperStatic, 3, exporter("x")))
	if !slices.Equal(generations(static), []identity.Generation{0}) {
		t.Errorf("a static room rotates: %v", static)
	}
	for _, epoch := range []uint64{3, 8} {
		ring = must[identity.KeyRing](t)(ring.Derive(s, identity.WrapperEpochRotated, epoch, exporter("x")))
	}
	if !slices.Equal(generations(ring), []identity.Generation{0, 3, 8}) || ring.Newest().Generation != 8 {
		t.Errorf("generations are %v", generations(ring))
	}
	if k, ok := ring.Key(3); !ok || string(k.Key.Bytes()) != strings.Repeat("x", 32) {
		t.Error("generation 3 is not what the group exports")
	}
	_, err := ring.Derive(s, identity.WrapperEpochRotated, 8, exporter("x"))
	wantError(t, err, identity.ErrGeneration)
	_, err = ring.Add(wrapperKey(7))
	wantError(t, err, identity.ErrGeneration)

	// Live: the newest, what the table names, and what the metadata names.
	table := &identity.IdentityLinkTable{GroupID: []byte("g"), Entries: []identity.IdentityLinkEntry{{Leaf: 0, Key: wrapped(3)}, {Leaf: 1}}}
	live := must[identity.KeyRing](t)(ring.Live(table, nil))
	if !slices.Equal(generations(live), []identity.Generation{3, 8}) {
		t.Errorf("live generations are %v", generations(live))
	}
	live = must[identity.KeyRing](t)(ring.Live(table, &identity.EncryptedRoomMetadata{Generation: 0}))
	if !slices.Equal(generations(live), []identity.Generation{0, 3, 8}) {
		t.Errorf("live generations are %v", generations(live))
	}
	_, err = ring.Live(table, &identity.EncryptedRoomMetadata{Generation: 5})
	wantError(t, err, identity.ErrKeys)

	_, err = identity.NewKeyRing()
	wantError(t, err, identity.ErrKeys)
	_, err = identity.NewKeyRing(wrapperKey(2), wrapperKey(2))
	wantError(t, err, identity.ErrKeys)
}

func wrapped(g identity.Generation) *identity.EncryptedIdentityLinkKey {
	return &identity.EncryptedIdentityLinkKey{Generation: g, Nonce: make([]byte, 12), Ciphertext: make([]byte, 48)}
}

func TestGenerationLimit(t *testing.T) {
	table := &identity.IdentityLinkTable{GroupID: []byte("g")}
	for i := range identity.MaxGenerations - 1 {
		table.Entries = append(table.Entries, identity.IdentityLinkEntry{Leaf: mls.LeafIndex(i), Key: wrapped(identity.Generation(i + 10))})
	}
	if owners := identity.MustRenew(table, table.Entries[len(table.Entries)-1].Key.Generation, nil, identity.MaxGenerations); len(owners) != 0 {
		t.Errorf("%d owners must renew below the limit", len(owners))
	}
	if owners := identity.MustRenew(table, 5000, nil, identity.MaxGenerations); !slices.Equal(owners, []mls.LeafIndex{0}) {
		t.Errorf("owners that must renew are %v", owners)
	}
	metadata := &identity.EncryptedRoomMetadata{Generation: 3}
	if owners := identity.MustRenew(table, table.Entries[len(table.Entries)-1].Key.Generation, metadata, identity.MaxGenerations); !slices.Equal(owners, []mls.LeafIndex{0}) {
		t.Errorf("with metadata of an old generation, owners that must renew are %v", owners)
	}
	if owners := identity.MustRenew(table, 5000, nil, identity.MaxGenerations+1); len(owners) != 0 {
		t.Errorf("%d owners must renew below the limit", len(owners))
	}
	var keys []identity.WrapperKey
	for g := range identity.Generation(identity.MaxGenerations + 1) {
		keys = append(keys, wrapperKey(g))
	}
	must[identity.KeyRing](t)(identity.NewKeyRing(keys[:identity.MaxGenerations]...))
	_, err := identity.NewKeyRing(keys...)
	wantError(t, err, identity.ErrKeys)
}

func TestWrap(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		p := identitytest.NewProvider(t, s, "b.example")
		leaf := p.Person(t, "bob", "phone").Leaf(t, mimi.URI{}, nil)
		other := p.Person(t, "ben", "phone").Leaf(t, mimi.URI{}, nil)
		ring := ringOf(t, 0, 5)
		group := identity.GroupID(identitytest.Room(t, "hub.example", p.Random))
		e := must[*identity.EncryptedIdentityLinkKey](t)(leaf.Wrap(s, group, ring.Newest(), p.Random))
		if got := must[identity.LinkKey](t)(ring.Open(s, group, leaf.TBS(), e)); !got.Equal(leaf.LinkKey.Secret) {
			t.Error("unwrapped another key")
		}
		open := func(ring identity.KeyRing, group []byte, tbs *identity.PseudonymousCredentialTBS, e identity.EncryptedIdentityLinkKey) error {
			_, err := ring.Open(s, group, tbs, &e)
			return err
		}
		wantError(t, open(ring, []byte("other"), leaf.TBS(), *e), identity.ErrUnwrap)
		wantError(t, open(ring, group, other.TBS(), *e), identity.ErrUnwrap)
		wantError(t, open(ringOf(t, 0), group, leaf.TBS(), *e), identity.ErrGeneration)
		renamed := *e
		renamed.Generation = 0
		wantError(t, open(ring, group, leaf.TBS(), renamed), identity.ErrUnwrap)
		_, err := wrapperKey(4).Unwrap(s, group, leaf.TBS(), e)
		wantError(t, err, identity.ErrGeneration)
	})
}

func TestRoomMetadata(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		ring, group := ringOf(t, 0, 5), []byte("mimi://hub.example/g/x")
		m := must[*identity.EncryptedRoomMetadata](t)(ring.Newest().SealMetadata(s, group, []byte("garden"), identitytest.Random("m")))
		if got := must[[]byte](t)(ring.OpenMetadata(s, group, m)); string(got) != "garden" {
			t.Errorf("opened %q", got)
		}
		_, err := ring.OpenMetadata(s, []byte("other"), m)
		wantError(t, err, identity.ErrMetadata)
		_, err = ringOf(t, 0).OpenMetadata(s, group, m)
		wantError(t, err, identity.ErrGeneration)
		renamed := *m
		renamed.Generation = 0
		_, err = ring.OpenMetadata(s, group, &renamed)
		wantError(t, err, identity.ErrMetadata)
		_, err = ring.Newest().SealMetadata(s, group, make([]byte, 64*1024), identitytest.Random("m"))
		wantError(t, err, identity.ErrMetadataTooLong)
		long := must[*identity.EncryptedRoomMetadata](t)(ring.Newest().SealMetadata(s, group, make([]byte, 1023), identitytest.Random("m")))
		decode(t, encode(t, long), new(identity.EncryptedRoomMetadata))
		cut := *m
		cut.Ciphertext = cut.Ciphertext[1:]
		if _, err := wire.Marshal(&cut); err == nil {
			t.Error("metadata of any size is encoded")
		}
	})
}

func TestJoinLink(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		random := identitytest.Random("link")
		room := identitytest.Room(t, "hub.example", random)
		link := must[identity.JoinLink](t)(identity.NewJoinLink(room, random))
		bundle := must[*identity.JoinBundle](t)(link.Seal(s, ringOf(t, 2, 7), random))
		parsed := must[identity.JoinLink](t)(identity.ParseJoinLink(" " + link.Text() + "\n"))
		if got := generations(must[identity.KeyRing](t)(parsed.Open(s, bundle))); !slices.Equal(got, []identity.Generation{2, 7}) {
			t.Errorf("opened generations %v", got)
		}
		for name, other := range map[string]identity.JoinLink{
			"another room": {Room: identitytest.Room(t, "hub.example", random), Code: link.Code, Key: link.Key},
			"another code": {Room: room, Code: suite.NewSecret(make([]byte, 16)), Key: link.Key},
			"another key":  {Room: room, Code: link.Code, Key: suite.NewSecret(make([]byte, 32))},
		} {
			if _, err := other.Open(s, bundle); err == nil {
				t.Errorf("%s opens the bundle", name)
			}
		}
		// Nothing secret before the fragment, and nothing at all when printed.
		before, _, _ := strings.Cut(link.Text(), "#")
		if before != room.String() || strings.Contains(fmt.Sprintf("%v %+v %s", link, link, link), link.Text()[len(before)+3:len(before)+20]) {
			t.Errorf("%v shows its secrets", link)
		}
	})
	for _, bad := range []string{
		"", "mimi://hub.example/u/x#c=AAAAAAAAAAAAAAAAAAAAAA&k=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"mimi://hub.example/r/x", "mimi://hub.example/r/x#k=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&c=AAAAAAAAAAAAAAAAAAAAAA",
		"mimi://hub.example/r/x#c=AAAAAAAAAAAAAAAAAAAAAB&k=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", // bits behind the last octet
		"mimi://hub.example/r/x#c=AAAAAAAAAAAAAAAAAAAAAA==&k=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	} {
		_, err := identity.ParseJoinLink(bad)
		wantError(t, err, identity.ErrJoinLink)
	}
}

func TestJoinPSKID(t *testing.T) {
	if g, ok := identity.ParseJoinPSKID(identity.JoinPSKID(1 << 40)); !ok || g != 1<<40 {
		t.Errorf("psk id of %d, %t", g, ok)
	}
	for _, bad := range []string{"", "MGP1 join", "MGP1 join1234567", "MGP1 join123456789", "MGP2 join12345678"} {
		if _, ok := identity.ParseJoinPSKID([]byte(bad)); ok {
			t.Errorf("%q is a join PSK", bad)
		}
	}
}
