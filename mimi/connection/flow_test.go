package connection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func encode(tb testing.TB, m wire.Message) []byte {
	tb.Helper()
	return must[[]byte](tb)(wire.Marshal(m))
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

// world is Alice at a.example, who asks Bob at b.example.
type world struct {
	t          testing.TB
	s          *suite.Suite
	a, b       *identitytest.Provider
	alice, bob *identitytest.Person
	store      *storetest.PeopleStore // b.example's
	blocked    bool
	shown      []*connection.IncomingRequest
	showErr    error
	responder  *connection.Responder
	room       mimi.URI
	wrapper    identity.WrapperKey
	keys       connection.Keys // for Bob
}

func newWorld(t testing.TB, s *suite.Suite) *world {
	t.Helper()
	w := &world{t: t, s: s, a: identitytest.NewProvider(t, s, "a.example"), b: identitytest.NewProvider(t, s, "b.example")}
	w.alice, w.bob = w.a.Person(t, "alice", "laptop"), w.b.Person(t, "bob", "phone")
	w.store = storetest.NewPeople()
	w.room = identitytest.Room(t, "a.example", w.a.Random)
	w.wrapper = must[identity.WrapperKey](t)(identity.NewWrapperKey(s, w.a.Random))
	w.keys = must[connection.Keys](t)(connection.NewKeys(w.a.Random))
	w.responder = connection.NewResponder(connection.ResponderConfig{
		Packages: w.store, Replays: w.store, Atomically: w.store.Atomically, Clock: w.b.Clock,
		Authority: func(_ context.Context, domain string) (*identity.Authority, error) {
			if domain != "a.example" {
				return nil, identity.ErrNoPin
			}
			return w.a.Authority, nil
		},
		Blocked: func(_ context.Context, user, requester mimi.URI) (bool, error) {
			return w.blocked && user == w.bob.User && requester == w.alice.User, nil
		},
	})
	return w
}

// pkg makes a package of a person of b.example and stores it.
func (w *world) pkg(person *identitytest.Person, lastResort bool) *connection.PrivatePackage {
	w.t.Helper()
	notBefore, notAfter := identity.KeyPackageLifetime(w.b.Clock.Now())
	p := must[*connection.PrivatePackage](w.t)(connection.NewPackage(connection.PackageConfig{
		Suite: w.s, User: person.User, Client: person, LastResort: lastResort, NotBefore: notBefore, NotAfter: notAfter, Random: w.b.Random,
	}))
	if err := w.store.PutPackage(w.t.Context(), must[*connection.StoredPackage](w.t)(p.Stored())); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// ask makes Alice's request for a package; change may break its making.
func (w *world) ask(p *connection.PrivatePackage, change func(*connection.RequestConfig)) (*connection.SealedRequest, *connection.OutgoingRequest) {
	w.t.Helper()
	parsed := must[*connection.ConnectionEstablishmentPackage](w.t)(connection.ParsePackage(encode(w.t, &p.Package)))
	cfg := connection.RequestConfig{
		Package: must[*connection.VerifiedPackage](w.t)(parsed.Verify(p.Package.TBS.User, w.b.Authority, w.a.Clock.Now())),
		User:    w.alice.User, Client: w.alice, Room: w.room, WrapperKey: w.wrapper, Keys: w.keys, Clock: w.a.Clock, Random: w.a.Random,
	}
	if change != nil {
		change(&cfg)
	}
	sealed, out, err := connection.NewRequest(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed, out
}

func (w *world) receive(sealed *connection.SealedRequest) error {
	return w.responder.Receive(w.t.Context(), sealed, func(_ context.Context, r *connection.IncomingRequest) error {
		if w.showErr == nil {
			w.shown = append(w.shown, r)
		}
		return w.showErr
	})
}

// opened opens the identity link of a leaf of a provider's person.
func opened(t testing.TB, s *suite.Suite, p *identitytest.Provider, leaf *identity.LeafIdentity) *identity.OpenedLink {
	t.Helper()
	now := p.Clock.Now()
	return must[*identity.OpenedLink](t)(identity.OpenLink(s, &leaf.Credential, leaf.LinkKey, p.Authority, identity.NewLeaf(now, now)))
}

func TestConnection(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		w := newWorld(t, s)
		sealed, out := w.ask(w.pkg(w.bob, false), nil)
		if err := w.receive(sealed); err != nil {
			t.Fatal(err)
		}
		if len(w.shown) != 1 {
			t.Fatalf("%d requests are shown", len(w.shown))
		}
		// Bob decides later, after a restart.
		in := must[*connection.IncomingRequest](t)(connection.UnmarshalIncoming(must[[]byte](t)(w.shown[0].Marshal())))
		if in.User() != w.alice.User || in.Client() != w.alice.URI || in.Recipient() != w.bob.User || in.Room() != w.room || in.Ref() != out.Ref {
			t.Errorf("request of %s for %s", in.User(), in.Recipient())
		}
		if !in.JoiningCode().Equal(out.JoiningCode) || !in.WrapperKey().Key.Equal(w.wrapper.Key) || !in.Theirs().Key.Equal(w.keys.Key.Secret) {
			t.Error("secrets differ")
		}
		for _, v := range []any{in, out, &connection.Contact{Peer: w.bob.User, State: connection.Requested, Ours: &w.keys, Asked: out}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
				if text := fmt.Sprintf(verb, v); !strings.HasPrefix(text, "[redacted con") || len(text) > 40 {
					t.Errorf("%T prints %s", v, text)
				}
			}
		}

		leaf := w.alice.Leaf(t, mimi.URI{}, nil)
		links := map[mls.LeafIndex]*identity.OpenedLink{0: opened(t, s, w.a, leaf)}
		policy := identity.ConnectionRoomPolicy()
		if err := in.CheckRoom(identity.GroupID(w.room), []mls.LeafIndex{0}, links, &policy); err != nil {
			t.Error(err)
		}
		bobs := must[connection.Keys](t)(connection.NewKeys(w.b.Random))
		bobLeaf := w.bob.Leaf(t, mimi.URI{}, nil)
		item := must[mls.SafeAADItem](t)(in.Respond(bobLeaf.TBS(), bobs))

		// Alice has restarted too.
		var stored connection.OutgoingRequest
		if err := wire.Unmarshal(encode(t, out), &stored); err != nil {
			t.Fatal(err)
		}
		theirs := must[*connection.Keys](t)(stored.Accept([]*identity.OpenedLink{opened(t, s, w.b, bobLeaf)}, mls.SafeAAD{item}))
		if !theirs.Key.Equal(bobs.Key.Secret) || !theirs.Token.Equal(bobs.Token.Secret) {
			t.Error("Alice has other keys than Bob gave")
		}
	})
}

// TestRequestSize: a request does not tell who asks by its size (T3).
func TestRequestSize(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	p := w.pkg(w.bob, true)
	short, _ := w.ask(p, nil)
	long := w.a.Person(t, strings.Repeat("a", 128), strings.Repeat("d", 60))
	other, _ := w.ask(p, func(c *connection.RequestConfig) { c.User, c.Client = long.User, long })
	if a, b := len(short.Request.Ciphertext), len(other.Request.Ciphertext); a != b {
		t.Errorf("requests have %d and %d octets", a, b)
	}
}

// TestReceiveRefuses makes one check fail at a time, in the order of the checks.
func TestReceiveRefuses(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		refused := func(name string, want error, prepare func(w *world) *connection.SealedRequest) {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, s)
				wantError(t, w.receive(prepare(w)), want)
				if len(w.shown) > 0 {
					t.Error("it was shown")
				}
			})
		}
		day := 24 * time.Hour
		refused("package unknown", connection.ErrUnknownPackage, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), nil)
			sealed.Package[0] ^= 1
			return sealed
		})
		refused("package used", connection.ErrPackageUsed, func(w *world) *connection.SealedRequest {
			p := w.pkg(w.bob, false)
			first, _ := w.ask(p, nil)
			if err := w.receive(first); err != nil {
				t.Fatal(err)
			}
			w.shown = nil
			second, _ := w.ask(p, nil)
			second.Request.Ciphertext[7] ^= 1 // nothing is decrypted for a used package
			return second
		})
		refused("ciphertext changed", connection.ErrRequestDecrypt, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), nil)
			sealed.Request.Ciphertext[7] ^= 1
			return sealed
		})
		refused("for another package", connection.ErrRequestDecrypt, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), nil)
			sealed.Package = w.pkg(w.bob, false).Ref
			return sealed
		})
		refused("room elsewhere", identity.ErrNoPin, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), func(c *connection.RequestConfig) {
				c.User.Domain, c.Room.Domain = "c.example", "c.example"
			})
			return sealed
		})
		refused("certificate by another CA", identity.ErrIssuer, func(w *world) *connection.SealedRequest {
			mallory := identitytest.NewProvider(t, s, "a.example")
			mallory.CA = must[*identity.CA](t)(identity.NewCA(identity.CAConfig{Suite: s, Domain: "a.example", Clock: w.a.Clock, Random: identitytest.Random("mallory")}))
			sealed, _ := w.ask(w.pkg(w.bob, false), func(c *connection.RequestConfig) { c.Client = mallory.Person(t, "alice", "laptop") })
			return sealed
		})
		refused("certificate expired", identity.ErrValidity, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), nil)
			w.b.Clock.Advance(identity.ClientLifetime + 2*day)
			return sealed
		})
		refused("signed by somebody else", connection.ErrRequestSignature, func(w *world) *connection.SealedRequest {
			eve := w.a.Person(t, "eve", "laptop")
			sealed, _ := w.ask(w.pkg(w.bob, false), func(c *connection.RequestConfig) {
				c.Client = &identity.Client{Suite: s, Key: eve.Key, Certificate: w.alice.Certificate}
			})
			return sealed
		})
		refused("another recipient beside it", connection.ErrRecipient, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), nil)
			sealed.Target = w.b.Person(t, "ben", "phone").User
			return sealed
		})
		refused("made before its package", connection.ErrRequestAge, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), func(c *connection.RequestConfig) {
				c.Clock = mimi.NewManualClock(identitytest.Start.Truncate(day).Add(-day - time.Second))
			})
			return sealed
		})
		refused("made after its package", connection.ErrRequestAge, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), func(c *connection.RequestConfig) {
				c.Clock = mimi.NewManualClock(identitytest.Start.Add(91 * day))
			})
			return sealed
		})
		refused("over 30 days old", connection.ErrRequestAge, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, false), nil)
			w.b.Clock.Advance(connection.RequestLifetime + time.Second)
			return sealed
		})
		refused("replayed", connection.ErrReplay, func(w *world) *connection.SealedRequest {
			sealed, _ := w.ask(w.pkg(w.bob, true), nil)
			if err := w.receive(sealed); err != nil {
				t.Fatal(err)
			}
			w.shown = nil
			return sealed
		})
		refused("blocked", connection.ErrBlocked, func(w *world) *connection.SealedRequest {
			w.blocked = true
			sealed, _ := w.ask(w.pkg(w.bob, false), nil)
			return sealed
		})
	})
}

// TestForwardedRequest: a recipient cannot pass a request on to somebody else.
func TestForwardedRequest(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	bobs := w.pkg(w.bob, false)
	sealed, _ := w.ask(bobs, nil)
	bound := func(p *connection.PrivatePackage) []byte {
		return encode(t, &connection.ConnectionRequestContext{Recipient: p.Package.TBS.User, Package: p.Ref})
	}
	plaintext := must[[]byte](t)(w.s.DecryptWithLabel(bobs.Private, "ConnectionRequest", bound(bobs), sealed.Request))
	bens := w.pkg(w.b.Person(t, "ben", "phone"), false)
	again := must[suite.HPKECiphertext](t)(w.s.EncryptWithLabel(bens.Package.TBS.PublicKey, "ConnectionRequest", bound(bens), plaintext))
	wantError(t, w.receive(&connection.SealedRequest{Target: bens.Package.TBS.User, Package: bens.Ref, Request: again}), connection.ErrRequestSignature)

	// The control: sent to Bob once more, it is his.
	again = must[suite.HPKECiphertext](t)(w.s.EncryptWithLabel(bobs.Package.TBS.PublicKey, "ConnectionRequest", bound(bobs), plaintext))
	if err := w.receive(&connection.SealedRequest{Target: w.bob.User, Package: bobs.Ref, Request: again}); err != nil {
		t.Error(err)
	}
}

// TestReceiveIsAtomic: what could not be shown may come again.
func TestReceiveIsAtomic(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	sealed, _ := w.ask(w.pkg(w.bob, false), nil)
	w.showErr = errors.New("the disk is full")
	wantError(t, w.receive(sealed), w.showErr)
	w.showErr = nil
	for n := 1; ; n++ {
		w.store.Faults.Crash(n)
		err := w.receive(sealed)
		if !w.store.Faults.Restart() {
			if err != nil && !errors.Is(err, connection.ErrReplay) && !errors.Is(err, connection.ErrPackageUsed) {
				t.Fatal(err)
			}
			break
		}
	}
	if len(w.shown) == 0 {
		t.Error("the request is lost")
	}
}

func TestRequestFormat(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	p := w.pkg(w.bob, true)
	bound := encode(t, &connection.ConnectionRequestContext{Recipient: w.bob.User, Package: p.Ref})
	for name, plaintext := range map[string][]byte{
		"empty": make([]byte, 4096), "not padded": {1, 2}, "no request": must[[]byte](t)(identity.Pad([]byte("hello"), 4096)),
	} {
		ct := must[suite.HPKECiphertext](t)(w.s.EncryptWithLabel(p.Package.TBS.PublicKey, "ConnectionRequest", bound, plaintext))
		t.Run(name, func(t *testing.T) {
			wantError(t, w.receive(&connection.SealedRequest{Target: w.bob.User, Package: p.Ref, Request: ct}), connection.ErrRequestFormat)
		})
	}
}

// TestVerifyPackageRefuses changes one thing of a package at a time.
func TestVerifyPackageRefuses(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		w := newWorld(t, s)
		good := w.pkg(w.bob, false).Package
		now, day := w.a.Clock.Now(), 24*time.Hour
		eve := w.b.Person(t, "eve", "phone")
		otherCA := must[*identity.CA](t)(identity.NewCA(identity.CAConfig{Suite: s, Domain: "b.example", Clock: w.b.Clock, Random: identitytest.Random("x")}))
		other := must[*identity.Authority](t)(identity.ParseAuthority("b.example", otherCA.PEM()))
		signed := func(change func(p *connection.ConnectionEstablishmentPackageTBS)) connection.ConnectionEstablishmentPackage {
			p := good
			change(&p.TBS)
			p.Signature = must[[]byte](t)(w.bob.SignWithLabel("ConnectionEstablishmentPackageTBS", encode(t, &p.TBS)))
			return p
		}
		type tbs = connection.ConnectionEstablishmentPackageTBS
		for name, test := range map[string]struct {
			pkg       connection.ConnectionEstablishmentPackage
			user      mimi.URI
			authority *identity.Authority
			at        time.Time
			want      error
		}{
			"good":                {good, w.bob.User, w.b.Authority, now, nil},
			"asked for another":   {good, eve.User, w.b.Authority, now, connection.ErrPackageUser},
			"another CA":          {good, w.bob.User, other, now, identity.ErrIssuer},
			"too early":           {good, w.bob.User, w.b.Authority, now.Add(-2 * day), connection.ErrPackageValidity},
			"too late":            {good, w.bob.User, w.b.Authority, now.Add(90 * day), connection.ErrPackageValidity},
			"certificate expired": {good, w.bob.User, w.b.Authority, now.Add(32 * day), identity.ErrValidity},
			"unknown suite":       {signed(func(p *tbs) { p.CipherSuite = 7 }), w.bob.User, w.b.Authority, now, connection.ErrPackageSuite},
			"no HPKE key":         {signed(func(p *tbs) { p.PublicKey = []byte{1} }), w.bob.User, w.b.Authority, now, connection.ErrPackageFormat},
			"user of another":     {signed(func(p *tbs) { p.User = eve.User }), eve.User, w.b.Authority, now, connection.ErrPackageUser},
			"another's credential": {
				signed(func(p *tbs) { p.Client = eve.Certificate }), w.bob.User, w.b.Authority, now, connection.ErrPackageSignature,
			},
			"key replaced": {func() connection.ConnectionEstablishmentPackage {
				p := good
				p.TBS.PublicKey = w.pkg(w.bob, false).Package.TBS.PublicKey
				return p
			}(), w.bob.User, w.b.Authority, now, connection.ErrPackageSignature},
			"made last resort": {func() connection.ConnectionEstablishmentPackage {
				p := good
				p.TBS.LastResort = true
				return p
			}(), w.bob.User, w.b.Authority, now, connection.ErrPackageSignature},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := test.pkg.Verify(test.user, test.authority, test.at)
				wantError(t, err, test.want)
			})
		}
	})
}

func TestPackageFormat(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	good := w.pkg(w.bob, false).Package
	if _, err := connection.ParsePackage(nil); !errors.Is(err, connection.ErrNoPackage) {
		t.Errorf("no package: %v", err)
	}
	type tbs = connection.ConnectionEstablishmentPackageTBS
	for name, change := range map[string]func(*tbs){
		"not_before within a day": func(p *tbs) { p.NotBefore++ },
		"not_after within a day":  func(p *tbs) { p.NotAfter-- },
		"no lifetime":             func(p *tbs) { p.NotAfter = p.NotBefore },
		"of a client":             func(p *tbs) { p.User = w.bob.URI },
	} {
		p := good
		change(&p.TBS)
		if _, err := wire.Marshal(&p); !errors.Is(err, connection.ErrPackageFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := encode(t, &good)
	b[1] = 2
	_, err := connection.ParsePackage(b)
	wantError(t, err, connection.ErrPackageFormat)
}

func TestRowConnectionRoomResponder(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	sealed, _ := w.ask(w.pkg(w.bob, false), nil)
	if err := w.receive(sealed); err != nil {
		t.Fatal(err)
	}
	in := w.shown[0]
	alices := opened(t, w.s, w.a, w.alice.Leaf(t, mimi.URI{}, nil))
	eves := opened(t, w.s, w.a, w.a.Person(t, "eve", "phone").Leaf(t, mimi.URI{}, nil))
	policy := identity.ConnectionRoomPolicy()
	group := identity.MinimalMetadataPolicy{Mode: identity.WrapperEpochRotated, MaxUsers: 2}
	id := identity.GroupID(w.room)
	links := func(o ...*identity.OpenedLink) map[mls.LeafIndex]*identity.OpenedLink {
		m := map[mls.LeafIndex]*identity.OpenedLink{}
		for i, l := range o {
			m[mls.LeafIndex(i)] = l
		}
		return m
	}
	wantError(t, in.CheckRoom([]byte("x"), []mls.LeafIndex{0}, links(alices), &policy), connection.ErrNotConnectionRoom)
	wantError(t, in.CheckRoom(identity.GroupID(identitytest.Room(t, "a.example", w.a.Random)), []mls.LeafIndex{0}, links(alices), &policy), connection.ErrNotConnectionRoom)
	wantError(t, in.CheckRoom(id, nil, links(alices), &policy), connection.ErrStranger)
	wantError(t, in.CheckRoom(id, []mls.LeafIndex{0, 1}, links(alices), &policy), connection.ErrStranger)
	wantError(t, in.CheckRoom(id, []mls.LeafIndex{0, 1}, links(alices, eves), &policy), connection.ErrStranger)
	wantError(t, in.CheckRoom(id, []mls.LeafIndex{0}, links(alices), nil), connection.ErrNotConnectionRoom)
	wantError(t, in.CheckRoom(id, []mls.LeafIndex{0}, links(alices), &group), connection.ErrNotConnectionRoom)
}

// TestRowConnectionRoomRequester makes one of the requester's checks fail at a time.
func TestRowConnectionRoomRequester(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		w := newWorld(t, s)
		p := w.pkg(w.bob, true)
		sealed, out := w.ask(p, nil)
		_, otherOut := w.ask(p, nil)
		if err := w.receive(sealed); err != nil {
			t.Fatal(err)
		}
		in := w.shown[0]
		bobs, leaf, otherLeaf := must[connection.Keys](t)(connection.NewKeys(w.b.Random)), w.bob.Leaf(t, mimi.URI{}, nil), w.bob.Leaf(t, mimi.URI{}, nil)
		link, otherLink := opened(t, s, w.b, leaf), opened(t, s, w.b, otherLeaf)
		item := must[mls.SafeAADItem](t)(in.Respond(leaf.TBS(), bobs))
		eveLeaf := w.b.Person(t, "eve", "phone").Leaf(t, mimi.URI{}, nil)
		eves := must[mls.SafeAADItem](t)(in.Respond(eveLeaf.TBS(), bobs))
		accept := func(o *connection.OutgoingRequest, aad mls.SafeAAD, added ...*identity.OpenedLink) error {
			_, err := o.Accept(added, aad)
			return err
		}
		if err := accept(out, mls.SafeAAD{item}, link); err != nil {
			t.Fatal(err)
		}
		changed := mls.SafeAADItem{ID: item.ID, Data: slices.Clone(item.Data)}
		changed.Data[len(changed.Data)-1] ^= 1
		wantError(t, accept(out, mls.SafeAAD{item}), connection.ErrNewLeaves)
		wantError(t, accept(out, mls.SafeAAD{item}, link, otherLink), connection.ErrNewLeaves)
		wantError(t, accept(out, mls.SafeAAD{item}, nil), connection.ErrOtherPerson)
		wantError(t, accept(out, mls.SafeAAD{}, link), connection.ErrResponse)
		wantError(t, accept(out, mls.SafeAAD{changed}, link), connection.ErrResponse)
		wantError(t, accept(out, mls.SafeAAD{item}, otherLink), connection.ErrResponse)
		wantError(t, accept(otherOut, mls.SafeAAD{item}, link), connection.ErrResponse)
		wantError(t, accept(out, mls.SafeAAD{eves}, opened(t, s, w.b, eveLeaf)), connection.ErrOtherPerson)
	})
}

func TestContact(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.P256AES128))
	_, out := w.ask(w.pkg(w.bob, false), nil)
	theirs := must[connection.Keys](t)(connection.NewKeys(w.b.Random))
	for _, c := range []connection.Contact{
		{Peer: w.bob.User, State: connection.Requested, Room: w.room, Ours: &w.keys, Asked: out},
		{Peer: w.bob.User, State: connection.Incoming, Room: w.room, Theirs: &theirs},
		{Peer: w.bob.User, State: connection.Connected, Room: w.room, Ours: &w.keys, Theirs: &theirs},
		{Peer: w.bob.User, State: connection.Blocked},
	} {
		var got connection.Contact
		b := encode(t, &c)
		if err := wire.Unmarshal(b, &got); err != nil {
			t.Errorf("state %d: %v", c.State, err)
		} else if string(encode(t, &got)) != string(b) || got.State != c.State || got.Room != c.Room {
			t.Errorf("state %d is stored as %v", c.State, &got)
		}
	}
	for _, bad := range []connection.Contact{
		{Peer: w.bob.User},
		{Peer: w.bob.User, State: connection.Requested, Ours: &w.keys},
		{Peer: w.bob.User, State: connection.Connected, Ours: &w.keys},
		{Peer: w.bob.User, State: connection.Blocked, Theirs: &theirs},
	} {
		if _, err := wire.Marshal(&bad); err == nil {
			t.Errorf("a contact in state %d has keys that do not fit", bad.State)
		}
	}
}
