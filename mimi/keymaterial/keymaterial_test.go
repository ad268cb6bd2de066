package keymaterial_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
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

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

// world is Bob's provider b.example, and Alice at a.example, whom Bob has given
// a key and a token, and who is in a room at hub.example.
type world struct {
	t          testing.TB
	s          *suite.Suite
	a, b       *identitytest.Provider
	alice, bob *identitytest.Person
	adder      *identity.LeafIdentity
	key        identity.ConnectionKey
	token      identity.ConnectionToken
	queueKeys  identity.ProviderKeyRing
	tokenKeys  identity.ProviderKeyRing
	room       mimi.URI
	store      *storetest.PeopleStore // Bob's provider
	seen       *storetest.PeopleStore // Alice's
	slots      []uint32
	uploadKey  suite.SignatureKey
	issuers    keymaterial.IssuerKeyRing
	issuer     *keymaterial.Issuer
	wallet     keymaterial.Wallet
	sequence   uint64
	made       int
	want       keymaterial.Stock // of Bob's clients
	unknown    bool
	broken     error
	reused     []uint64
	provider   *keymaterial.Provider
}

func newWorld(t testing.TB, s *suite.Suite) *world {
	t.Helper()
	w := &world{t: t, s: s, a: identitytest.NewProvider(t, s, "a.example"), b: identitytest.NewProvider(t, s, "b.example"), slots: []uint32{0}, want: want}
	w.alice, w.bob = w.a.Person(t, "alice", "laptop"), w.b.Person(t, "bob", "phone")
	w.adder = w.alice.Leaf(t, mimi.URI{}, nil)
	w.key = must[identity.ConnectionKey](t)(identity.NewConnectionKey(w.b.Random))
	w.token = must[identity.ConnectionToken](t)(identity.NewConnectionToken(w.b.Random))
	now := w.b.Clock.Now()
	w.queueKeys = must[identity.ProviderKeyRing](t)(w.queueKeys.Rotate(s, now, now.Add(90*24*time.Hour), 90*24*time.Hour, w.b.Random))
	w.tokenKeys = must[identity.ProviderKeyRing](t)(w.tokenKeys.Rotate(s, now, now.Add(90*24*time.Hour), time.Hour, w.b.Random))
	w.room = identitytest.Room(t, "hub.example", w.a.Random)
	w.store, w.seen = storetest.NewPeople(), storetest.NewPeople()
	w.uploadKey = must[suite.SignatureKey](t)(s.GenerateSignatureKey(w.b.Random))
	w.issuers = must[keymaterial.IssuerKeyRing](t)(w.issuers.Rotate(now, w.b.Random))
	w.issuer = keymaterial.NewIssuer(keymaterial.IssuerConfig{
		Keys:       func(context.Context) (keymaterial.IssuerKeyRing, error) { return w.issuers, nil },
		Allowances: w.store, Spent: w.store, Limit: 1 << 20, Clock: w.b.Clock,
	})
	w.provider = keymaterial.NewProvider(w.config())
	return w
}

func (w *world) config() keymaterial.ProviderConfig {
	return keymaterial.ProviderConfig{
		Domain: "b.example", Store: w.store, Registrations: w.store, Nonces: w.store, Tokens: w.issuer, Atomically: w.store.Atomically,
		Keys:       func(context.Context) (identity.ProviderKeyRing, error) { return w.tokenKeys, nil },
		LastResort: func(_ context.Context, _ keymaterial.TokenHash, before uint64) { w.reused = append(w.reused, before) },
		Clock:      w.b.Clock, Log: slog.New(slog.DiscardHandler),
	}
}

// MakeSet makes w a keymaterial.Maker.
func (w *world) MakeSet(ctx context.Context, token keymaterial.TokenHash, _ mls.CipherSuite) error {
	if w.unknown || token != keymaterial.HashToken(w.token) {
		return keymaterial.ErrUnknownToken
	}
	if w.broken != nil {
		return w.broken
	}
	w.made++
	rows, _ := w.newSet(false, mimi.URI{}, 0)
	return w.provider.Upload(ctx, w.signed(rows, nil))
}

func (w *world) newSet(lastResort bool, set mimi.URI, slots ...uint32) ([]keymaterial.Row, []keymaterial.Private) {
	w.t.Helper()
	queueKey, _ := w.queueKeys.Newest()
	cfg := keymaterial.SetConfig{
		Suite: w.s, Account: w.bob.User, Peer: w.alice.User, Key: w.key, Token: w.token, Set: set, QueueKey: queueKey,
		LastResort: lastResort, Clock: w.b.Clock, Random: w.b.Random,
	}
	for _, n := range slots {
		cfg.Slots = append(cfg.Slots, keymaterial.Slot{Number: n, Client: w.bob, Queue: identity.QueueID{ID: []byte{'q', byte(n)}, NotAfter: uint64(identitytest.Start.Unix() + 90*24*3600)}})
	}
	rows, privates, err := keymaterial.NewSet(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return rows, privates
}

// tokens gets upload tokens for Bob.
func (w *world) tokens(n int) []keymaterial.UploadToken {
	w.t.Helper()
	for {
		if tokens, ok := w.wallet.Take(n, w.b.Clock.Now()); ok {
			return tokens
		}
		key, _ := w.issuers.Newest()
		w.wallet.Add(key, w.issue(w.bob.User, key, keymaterial.MaxTokenBatch))
	}
}

// issue gets upload tokens for somebody.
func (w *world) issue(account mimi.URI, key keymaterial.IssuerKey, n int) []keymaterial.UploadToken {
	w.t.Helper()
	request, pending, err := keymaterial.RequestTokens(key, n, w.b.Random)
	if err != nil {
		w.t.Fatal(err)
	}
	response := must[*keymaterial.UploadTokenResponse](w.t)(w.issuer.Issue(w.t.Context(), account, request))
	return must[[]keymaterial.UploadToken](w.t)(pending.Finish(response))
}

// signed makes an upload of rows that is paid and signed; change may break it
// before that.
func (w *world) signed(rows []keymaterial.Row, change func(*keymaterial.KeyMaterialUpload)) *keymaterial.KeyMaterialUpload {
	w.t.Helper()
	u := must[*keymaterial.KeyMaterialUpload](w.t)(keymaterial.NewUpload(w.token, w.slots, rows))
	w.sequence++
	u.Sequence, u.Tokens = w.sequence, w.tokens(len(rows))
	if change != nil {
		change(u)
	}
	if err := u.Sign(w.s, w.uploadKey); err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) upload(rows []keymaterial.Row) {
	w.t.Helper()
	if err := w.provider.Upload(w.t.Context(), w.signed(rows, nil)); err != nil {
		w.t.Fatal(err)
	}
}

// request makes Alice's request; change may break it before it is signed.
func (w *world) request(change func(r *protocol.AnonymousKeyMaterialRequest, c *protocol.ConnectionTokenContent)) (*protocol.AnonymousKeyMaterialRequest, suite.HPKEPrivateKey) {
	w.t.Helper()
	t := w.t
	response := must[suite.HPKEPrivateKey](t)(w.s.GenerateHPKEKey(w.a.Random))
	nonce := make([]byte, protocol.TokenNonceSize)
	if _, err := w.a.Random.Read(nonce); err != nil {
		t.Fatal(err)
	}
	content := &protocol.ConnectionTokenContent{Token: w.token, Nonce: nonce, Created: w.a.Clock.Now(), ResponseKey: response.Public()}
	req := &protocol.AnonymousKeyMaterialRequest{
		RequestingUser: w.adder.TBS().UserPseudonym, Target: protocol.KeyMaterialTarget{Domain: "b.example"}, Room: w.room,
		Requester: protocol.Requester{
			CipherSuites: []mls.CipherSuite{w.s.ID()}, Required: identity.RequiredCapabilities(),
			Credential: must[mls.Credential](t)(w.adder.Credential.Credential()),
		},
	}
	if change != nil {
		change(req, content)
	}
	key, _ := w.tokenKeys.Newest()
	if req.Token.Domain == "" {
		req.Token = *must[*protocol.SealedConnectionToken](t)(protocol.SealConnectionToken("b.example", key, req.Room, w.adder.TBS(), content))
	}
	if err := req.Sign(w.s, w.adder.Key); err != nil {
		t.Fatal(err)
	}
	return req, response
}

// fetch goes from the adder to the provider and back.
func (w *world) fetch() *protocol.KeyMaterialResponse {
	w.t.Helper()
	req, response := w.request(nil)
	sealed := must[*protocol.SealedKeyMaterial](w.t)(w.provider.KeyMaterial(w.t.Context(), "hub.example", req))
	return must[*protocol.KeyMaterialResponse](w.t)(sealed.Open(w.s, response, must[[]byte](w.t)(req.Hash())))
}

func (w *world) check(answer *protocol.KeyMaterialResponse) ([]keymaterial.Checked, uint64, error) {
	return keymaterial.CheckSet(w.t.Context(), w.checkConfig(), answer)
}

func (w *world) checkConfig() keymaterial.CheckConfig {
	return keymaterial.CheckConfig{Suite: w.s, User: w.bob.User, Key: w.key, Authority: w.b.Authority, Pseudonyms: w.seen, Clock: w.a.Clock}
}

func TestFetch(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		w := newWorld(t, s)
		w.slots = []uint32{0, 1}
		rows, privates := w.newSet(false, mimi.URI{}, 0, 1)
		w.upload(rows)
		set, reused, err := w.check(w.fetch())
		if err != nil {
			t.Fatal(err)
		}
		if len(set) != 2 || reused != 0 {
			t.Fatalf("%d KeyPackages, reused %d", len(set), reused)
		}
		for i, c := range set {
			if c.Link.User() != w.bob.User || c.LastResort {
				t.Errorf("KeyPackage of %s", c.Link.User())
			}
			// The private part is found by the reference in a Welcome.
			if ref := must[mls.KeyPackageRef](t)(c.KeyPackage.Ref()); !bytes.Equal(ref, privates[i].Ref[:]) {
				t.Error("private part has another reference")
			}
			private := must[*keymaterial.PrivateKeyPackage](t)(keymaterial.UnmarshalPrivateKeyPackage(privates[i].Secret))
			if private.Account != w.bob.User || private.Peer != w.alice.User || !private.LinkKey.Equal(c.LinkKey.Secret) {
				t.Error("private part is not what was made")
			}
			// The queue is known to Bob's provider alone.
			ref := must[*identity.QueueReference](t)(identity.QueueFrom(c.KeyPackage.LeafNode.Extensions, &c.Credential.PseudonymousCredentialTBS))
			if q := must[*identity.QueueID](t)(w.queueKeys.OpenQueue(&c.Credential.PseudonymousCredentialTBS, ref, identitytest.Start)); string(q.ID) != string([]byte{'q', byte(i)}) {
				t.Errorf("queue is %q", q.ID)
			}
			if c.KeyPackage.LeafNode.NotBefore%86400 != 0 || c.KeyPackage.LeafNode.NotAfter-c.KeyPackage.LeafNode.NotBefore != 90*86400 {
				t.Errorf("lifetime is %d to %d", c.KeyPackage.LeafNode.NotBefore, c.KeyPackage.LeafNode.NotAfter)
			}
		}
		if err := w.fetch().Err(); err == nil {
			t.Error("a set was handed out twice")
		}
	})
}

// TestAnswerSize: a relaying hub cannot tell a refusal from a set
// (docs/mmr-profile.md, section 5).
func TestAnswerSize(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	size := func() int {
		req, _ := w.request(nil)
		return len(must[*protocol.SealedKeyMaterial](t)(w.provider.KeyMaterial(t.Context(), "hub.example", req)).Sealed.Ciphertext)
	}
	refusal := size()
	rows, _ := w.newSet(false, mimi.URI{}, 0)
	w.upload(rows)
	if n := size(); n != refusal {
		t.Errorf("a set has %d octets and a refusal %d", n, refusal)
	}
}

func TestLastResort(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	rows, _ := w.newSet(true, mimi.URI{}, 0)
	w.upload(rows)
	for i := range uint64(3) {
		set, reused, err := w.check(w.fetch())
		if err != nil || !set[0].LastResort || reused != i {
			t.Fatalf("fetch %d: %v, reused %d", i, err, reused)
		}
	}
	if len(w.reused) != 3 || w.reused[2] != 2 {
		t.Errorf("the client was told of re-use %v", w.reused)
	}
	single, _ := w.newSet(false, mimi.URI{}, 0)
	w.upload(single)
	if set, _, err := w.check(w.fetch()); err != nil || set[0].LastResort {
		t.Errorf("a set of last resort is handed out before one of single use: %v", err)
	}
}

// TestMakeOnDemand: within the limit sets are made when fetched, beyond it those
// of last resort are handed out, and with time sets are made again.
func TestMakeOnDemand(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	cfg := w.config()
	cfg.Maker, cfg.MakeLimit, cfg.MakePeriod = w, 2, time.Hour
	w.provider = keymaterial.NewProvider(cfg)
	lastResort, _ := w.newSet(true, mimi.URI{}, 0)
	w.upload(lastResort)
	for i, want := range []bool{false, false, true, true} {
		set, _, err := w.check(w.fetch())
		if err != nil || set[0].LastResort != want {
			t.Fatalf("fetch %d: %v", i, err)
		}
	}
	w.b.Clock.Advance(time.Hour)
	w.a.Clock.Advance(time.Hour)
	if set, _, err := w.check(w.fetch()); err != nil || set[0].LastResort || w.made != 3 {
		t.Errorf("after the period: %v, %d made", err, w.made)
	}
	w.broken = errors.New("no hands")
	w.b.Clock.Advance(time.Hour)
	w.a.Clock.Advance(time.Hour)
	if set, _, err := w.check(w.fetch()); err != nil || !set[0].LastResort {
		t.Errorf("when none can be made: %v", err)
	}
	w.unknown = true
	w.b.Clock.Advance(time.Hour)
	w.a.Clock.Advance(time.Hour)
	var refused *protocol.KeyMaterialError
	if err := w.fetch().Err(); !errors.As(err, &refused) || refused.Code != protocol.KeyMaterialNoConsent {
		t.Errorf("an unknown token is answered with %v", err)
	}
}

// TestNothingYet: a contact for which nothing was uploaded, and nothing can be made,
// is told that there is nothing, and not that it is unwanted.
func TestNothingYet(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	cfg := w.config()
	cfg.Maker, cfg.MakeLimit, cfg.MakePeriod = w, 2, time.Hour
	w.provider, w.broken = keymaterial.NewProvider(cfg), keymaterial.ErrQuota
	var refused *protocol.KeyMaterialError
	if err := w.fetch().Err(); !errors.As(err, &refused) || refused.Code != protocol.KeyMaterialNoCompatibleMaterial {
		t.Errorf("answered with %v", err)
	}
}

// TestProviderRefuses breaks one thing of a request at a time.
func TestProviderRefuses(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		w := newWorld(t, s)
		other := w.alice.Leaf(t, mimi.URI{}, nil)
		otherCredential := must[mls.Credential](t)(other.Credential.Credential())
		elsewhere := identitytest.Room(t, "hub.example", w.a.Random)
		send := func(from string, req *protocol.AnonymousKeyMaterialRequest) error {
			_, err := w.provider.KeyMaterial(t.Context(), from, req)
			return err
		}
		type content = protocol.ConnectionTokenContent
		type request = protocol.AnonymousKeyMaterialRequest
		for name, test := range map[string]struct {
			from   string
			change func(r *request, c *content)
			want   error
		}{
			"another hub":             {"eve.example", nil, keymaterial.ErrRequester},
			"another pseudonym":       {"hub.example", func(r *request, _ *content) { r.RequestingUser = other.TBS().UserPseudonym }, keymaterial.ErrRequester},
			"another leaf":            {"hub.example", func(r *request, _ *content) { r.Requester.Credential = otherCredential }, keymaterial.ErrRequester},
			"basic credential":        {"hub.example", func(r *request, _ *content) { r.Requester.Credential = mls.BasicCredential([]byte("alice")) }, keymaterial.ErrRequester},
			"unknown suite":           {"hub.example", func(r *request, _ *content) { r.Requester.CipherSuites = []mls.CipherSuite{9} }, keymaterial.ErrRequester},
			"old":                     {"hub.example", func(_ *request, c *content) { c.Created = c.Created.Add(-10*time.Minute - time.Millisecond) }, keymaterial.ErrRequestAge},
			"from the future":         {"hub.example", func(_ *request, c *content) { c.Created = c.Created.Add(10*time.Minute + time.Millisecond) }, keymaterial.ErrRequestAge},
			"token of another room":   {"hub.example", func(r *request, c *content) { w.sealFor(r, c, elsewhere, w.adder.TBS(), nil) }, keymaterial.ErrToken},
			"token of another leaf":   {"hub.example", func(r *request, c *content) { w.sealFor(r, c, r.Room, other.TBS(), nil) }, keymaterial.ErrToken},
			"token under unknown key": {"hub.example", func(r *request, c *content) { id := uint8(77); w.sealFor(r, c, r.Room, w.adder.TBS(), &id) }, keymaterial.ErrToken},
		} {
			t.Run(name, func(t *testing.T) {
				req, _ := w.request(test.change)
				wantError(t, send(test.from, req), test.want)
			})
		}
		t.Run("not signed", func(t *testing.T) {
			req, _ := w.request(nil)
			req.Signature[9] ^= 1
			wantError(t, send("hub.example", req), keymaterial.ErrRequester)
		})
		t.Run("replayed", func(t *testing.T) {
			req, _ := w.request(nil)
			if err := send("hub.example", req); err != nil {
				t.Fatal(err)
			}
			wantError(t, send("hub.example", req), keymaterial.ErrReplay)
			var refused *protocol.NotAllowedError
			if err := send("hub.example", req); !errors.As(err, &refused) {
				t.Errorf("%v is no answer of the protocol", err)
			}
		})
	})
}

// sealFor seals a token for another place than the request's.
func (w *world) sealFor(r *protocol.AnonymousKeyMaterialRequest, c *protocol.ConnectionTokenContent, room mimi.URI, tbs *identity.PseudonymousCredentialTBS, id *uint8) {
	w.t.Helper()
	key, _ := w.tokenKeys.Newest()
	if id != nil {
		key.ID = *id
	}
	r.Token = *must[*protocol.SealedConnectionToken](w.t)(protocol.SealConnectionToken("b.example", key, room, tbs, c))
}

// TestCheckSetRefuses changes one thing of an answer at a time.
func TestCheckSetRefuses(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	w := newWorld(t, s)
	w.slots = []uint32{0, 1}
	good := func() *protocol.KeyMaterialResponse {
		rows, _ := w.newSet(false, mimi.URI{}, 0, 1)
		return w.answer(rows)
	}
	if _, _, err := w.check(good()); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(r *protocol.KeyMaterialResponse, cfg *keymaterial.CheckConfig) *protocol.KeyMaterialResponse
		want   error
	}{
		"no KeyPackages": {func(r *protocol.KeyMaterialResponse, _ *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			r.Clients = nil
			return r
		}, keymaterial.ErrSet},
		"the same twice": {func(r *protocol.KeyMaterialResponse, _ *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			r.Clients[1] = r.Clients[0]
			return r
		}, keymaterial.ErrSet},
		"two user pseudonyms": {func(r *protocol.KeyMaterialResponse, _ *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			r.Clients[1] = good().Clients[1]
			return r
		}, keymaterial.ErrSet},
		"client renamed": {func(r *protocol.KeyMaterialResponse, _ *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			r.Clients[0].Client = r.Clients[1].Client
			return r
		}, keymaterial.ErrSet},
		"another domain": {func(r *protocol.KeyMaterialResponse, cfg *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			cfg.User.Domain = "c.example"
			return r
		}, keymaterial.ErrSet},
		"another suite": {func(r *protocol.KeyMaterialResponse, cfg *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			cfg.Suite = identitytest.Suite(t, suite.X25519ChaCha20)
			return r
		}, keymaterial.ErrKeyPackage},
		"init key replaced": {func(r *protocol.KeyMaterialResponse, _ *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			r.Clients[0].KeyPackage.InitKey = r.Clients[1].KeyPackage.InitKey
			return r
		}, keymaterial.ErrKeyPackage},
		"expired": {func(r *protocol.KeyMaterialResponse, cfg *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			cfg.Clock = mimi.NewManualClock(identitytest.Start.Add(91 * 24 * time.Hour))
			return r
		}, keymaterial.ErrLifetime},
		"not yet valid": {func(r *protocol.KeyMaterialResponse, cfg *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			cfg.Clock = mimi.NewManualClock(identitytest.Start.Add(-3 * 24 * time.Hour))
			return r
		}, keymaterial.ErrLifetime},
		"some of last resort": {func(r *protocol.KeyMaterialResponse, _ *keymaterial.CheckConfig) *protocol.KeyMaterialResponse {
			rows, _ := w.newSet(true, r.User, 1)
			r.Clients[1] = w.answer(rows).Clients[0]
			return r
		}, keymaterial.ErrSet},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.checkConfig()
			answer := test.change(good(), &cfg)
			_, _, err := keymaterial.CheckSet(t.Context(), cfg, answer)
			wantError(t, err, test.want)
		})
	}
	t.Run("replayed answer", func(t *testing.T) {
		answer := good()
		if _, _, err := w.check(answer); err != nil {
			t.Fatal(err)
		}
		_, _, err := w.check(answer)
		wantError(t, err, keymaterial.ErrPseudonymSeen)
	})
	t.Run("refusal", func(t *testing.T) {
		var refused *protocol.KeyMaterialError
		if _, _, err := w.check(&protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent}); !errors.As(err, &refused) {
			t.Errorf("error is %v", err)
		}
	})
}

// answer is what the provider would make of these rows.
func (w *world) answer(rows []keymaterial.Row) *protocol.KeyMaterialResponse {
	w.t.Helper()
	r := &protocol.KeyMaterialResponse{User: rows[0].Set}
	for _, row := range rows {
		kp := new(mls.KeyPackage)
		if err := wire.Unmarshal(row.KeyPackage, kp); err != nil {
			w.t.Fatal(err)
		}
		cred := must[*identity.PseudonymousCredential](w.t)(identity.ParseCredential(w.s, kp.LeafNode.Credential, kp.LeafNode.SignatureKey))
		r.Clients = append(r.Clients, protocol.ClientKeyMaterial{Client: cred.ClientPseudonym, KeyPackage: kp})
	}
	return r
}

func FuzzPrivateKeyPackage(f *testing.F) {
	w := newWorld(f, identitytest.Suite(f, suite.X25519AES128))
	_, privates := w.newSet(true, mimi.URI{}, 0)
	f.Add(privates[0].Secret)
	f.Add(privates[0].Secret[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := keymaterial.UnmarshalPrivateKeyPackage(b)
		if err != nil {
			t.Skip("refused")
		}
		// X25519 has many private keys for one, so that b need not come back; but
		// what is stored does.
		stored := must[[]byte](t)(p.Marshal())
		p = must[*keymaterial.PrivateKeyPackage](t)(keymaterial.UnmarshalPrivateKeyPackage(stored))
		if again := must[[]byte](t)(p.Marshal()); !bytes.Equal(again, stored) {
			t.Errorf("%x is stored again as %x", stored, again)
		}
	})
}
