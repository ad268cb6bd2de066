package hub_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// shown registers a code and shows the joiner the GroupInfo; it returns the code.
func (w *world) shown(c *mmrtest.Client, change ...func(*protocol.JoinCodeRegistration)) suite.Secret {
	w.t.Helper()
	code := w.register(change...)
	if _, err := w.ask(c.Domain, c.Params.Credential, c.Params.SignatureKey, code); err != nil {
		w.t.Fatal(err)
	}
	return code
}

// TestGroupInfo: a GroupInfo is given only to a current leaf's key or for a valid
// code (docs/mmr-profile.md, section 10).
func TestGroupInfo(t *testing.T) {
	w := trio(t)
	none := suite.Secret{}
	info, err := w.ask("b.example", w.Credential(bob), w.Key(bob), none)
	if err != nil {
		t.Fatal(err)
	}
	if info.Table == nil || len(info.Table.Entries) != 3 || len(info.LinkBundle) > 0 || info.GroupInfo.GroupContext.Epoch != 1 {
		t.Errorf("GroupInfo %+v", info)
	}
	d := w.Client(dave)
	ask := func(from string, credential mls.Credential, key suite.SignatureKey, code suite.Secret) error {
		t.Helper()
		_, err := w.ask(from, credential, key, code)
		return err
	}
	code := w.register()
	_, foreign := w.code(alice)
	for name, err := range map[string]error{
		"no code":                     ask("d.example", d.Params.Credential, d.Params.SignatureKey, none),
		"an unknown code":             ask("d.example", d.Params.Credential, d.Params.SignatureKey, suite.NewSecret([]byte("unknown"))),
		"the hash of a code":          ask("d.example", d.Params.Credential, d.Params.SignatureKey, suite.NewSecret(foreign.CodeHash)),
		"a credential of the pretend": ask("c.example", w.Credential(bob), w.Key(bob), none),
	} {
		var denied *protocol.NotAllowedError
		if !errors.As(err, &denied) {
			t.Errorf("%s: %v", name, err)
		}
		if r, ok := protocol.GroupInfoResult(w.Room, err); !ok || r.Status != protocol.GroupInfoNotAuthorized {
			t.Errorf("%s: the response is not notAuthorized", name)
		}
	}
	key, err := w.Suite.GenerateSignatureKey(w.Random)
	if err != nil {
		t.Fatal(err)
	}
	if err := ask("b.example", w.Credential(bob), key, none); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("with another key than the credential's: %v", err)
	}
	wantNotAllowed(t, ask("d.example", mls.BasicCredential([]byte("dave")), d.Params.SignatureKey, code), identity.ErrCredentialType.Error())
	if info, err := w.ask("d.example", d.Params.Credential, d.Params.SignatureKey, code); err != nil || string(info.LinkBundle) != "bundle" {
		t.Errorf("with a code: %v", err)
	}
	// A former leaf is nobody.
	former, formerKey := w.Credential(carol), w.Key(carol)
	w.Commit(alice, mmrtest.Remove(carol))
	wantNotAllowed(t, ask("c.example", former, formerKey, none), "not a member")
}

func TestGroupInfoRequest(t *testing.T) {
	w := trio(t)
	private, err := w.Suite.GenerateHPKEKey(w.Random)
	if err != nil {
		t.Fatal(err)
	}
	request := func(change func(*protocol.GroupInfoRequest)) error {
		req := &protocol.GroupInfoRequest{Credential: w.Credential(bob), GroupInfoPublicKey: private.Public()}
		if err := req.Sign(w.Suite, w.Key(bob)); err != nil {
			t.Fatal(err)
		}
		change(req)
		_, err := w.hub.GroupInfo(t.Context(), "b.example", w.Room, req)
		return err
	}
	if err := request(func(*protocol.GroupInfoRequest) {}); err != nil {
		t.Fatal(err)
	}
	wantNotAllowed(t, request(func(r *protocol.GroupInfoRequest) { r.Signature[3] ^= 1 }), "signature")
	wantNotAllowed(t, request(func(r *protocol.GroupInfoRequest) { r.JoiningCode = suite.NewSecret([]byte("put in later")) }), "signature")
	wantNotAllowed(t, request(func(r *protocol.GroupInfoRequest) { r.CipherSuite = 0x7777 }), "cipher suite")
	wantNotAllowed(t, request(func(r *protocol.GroupInfoRequest) { r.CipherSuite = suite.X25519ChaCha20 }), "signature")
	if err := request(func(r *protocol.GroupInfoRequest) { r.GroupInfoPublicKey = []byte("short") }); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("a response key that is none: %v", err)
	}
	_, err = w.hub.GroupInfo(t.Context(), "b.example", mimi.URI{Domain: home, Kind: mimi.KindRoom, ID: "nowhere"}, func() *protocol.GroupInfoRequest {
		req := &protocol.GroupInfoRequest{Credential: w.Credential(bob), GroupInfoPublicKey: private.Public()}
		if err := req.Sign(w.Suite, w.Key(bob)); err != nil {
			t.Fatal(err)
		}
		return req
	}())
	if !errors.Is(err, protocol.ErrNoSuchRoom) {
		t.Error(err)
	}
}

// TestJoinerIsTheOneWhoAsked: the request's credential must be byte-identical to the
// leaf later sent (docs/mmr-profile.md, section 10).
func TestJoinerIsTheOneWhoAsked(t *testing.T) {
	join := func(w *world, c *mmrtest.Client) *mmrtest.Attempt {
		w.Joining = nil
		return w.JoinAs(c)
	}
	denied := room.MissingCapability(room.CanOpenJoin).Error()
	t.Run("the same", func(t *testing.T) {
		w := trio(t)
		c := w.Client(dave)
		w.shown(c)
		w.Accept(join(w, c))
	})
	t.Run("without a code", func(t *testing.T) {
		w := trio(t)
		w.refused(join(w, w.Client(dave)), func(err error) { wantNotAllowed(t, err, denied) })
	})
	t.Run("another credential", func(t *testing.T) {
		w := trio(t)
		w.shown(w.Client(dave))
		w.refused(join(w, w.Client("dora@d.example")), func(err error) { wantNotAllowed(t, err, denied) })
	})
	t.Run("the same credential with another link", func(t *testing.T) {
		w := trio(t)
		c := w.Client(dave)
		w.shown(c)
		cred := c.Identity.Credential
		cred.Link.Nonce = slices.Clone(cred.Link.Nonce)
		cred.Link.Nonce[0] ^= 1
		var err error
		if c.Params.Credential, err = cred.Credential(); err != nil {
			t.Fatal(err)
		}
		w.refused(join(w, c), func(err error) { wantNotAllowed(t, err, denied) })
	})
	t.Run("after the code has expired", func(t *testing.T) {
		w := trio(t)
		c := w.Client(dave)
		w.shown(c)
		w.Clock.Advance(25 * time.Hour)
		w.refused(join(w, c), func(err error) { wantNotAllowed(t, err, denied) })
	})
	t.Run("after the code was used", func(t *testing.T) {
		w := trio(t)
		first, second := w.Client(dave), w.Client("dora@d.example")
		code := w.shown(first)
		if _, err := w.ask("d.example", second.Params.Credential, second.Params.SignatureKey, code); err != nil {
			t.Fatal(err)
		}
		w.Accept(join(w, first))
		w.refused(join(w, second), func(err error) { wantNotAllowed(t, err, denied) })
		_, err := w.ask("d.example", second.Params.Credential, second.Params.SignatureKey, code)
		wantNotAllowed(t, err, "no valid joining code")
	})
	t.Run("after a rotation: links die", func(t *testing.T) {
		w := trio(t)
		c := w.Client(dave)
		code := w.shown(c, func(r *protocol.JoinCodeRegistration) { r.Uses = 10 })
		w.Commit(alice, mmrtest.Remove(carol))
		w.refused(join(w, c), func(err error) { wantNotAllowed(t, err, denied) })
		_, err := w.ask("d.example", c.Params.Credential, c.Params.SignatureKey, code)
		wantNotAllowed(t, err, "no valid joining code")
	})
	t.Run("after a restart", func(t *testing.T) {
		w := trio(t)
		c := w.Client(dave)
		w.shown(c)
		w.restart()
		w.Accept(join(w, c))
	})
	t.Run("a second leaf with a proof needs no code", func(t *testing.T) {
		w := trio(t)
		w.Joining = nil
		w.Accept(w.Join("bob@b.example/2", mmrtest.Proof(bob)))
	})
}

// TestMoreJoinersThanAllowed: a code shows the GroupInfo to a few credentials for
// each use that is left.
func TestMoreJoinersThanAllowed(t *testing.T) {
	w := start(t, hub.Limits{Joiners: 2, AllJoiners: 5})
	w.Found(mmrtest.GroupPolicy(), alice)
	code := w.register(func(r *protocol.JoinCodeRegistration) { r.Uses = 2 })
	ask := func(name string) (*mmrtest.Client, error) {
		c := w.ClientAs(name, mimi.URI{})
		_, err := w.ask(c.Domain, c.Params.Credential, c.Params.SignatureKey, code)
		return c, err
	}
	var first *mmrtest.Client
	for i := range 4 {
		c, err := ask(dave)
		if err != nil {
			t.Fatalf("joiner %d: %v", i, err)
		}
		if first == nil {
			first = c
		}
	}
	_, err := ask(dave)
	wantNotAllowed(t, err, "no valid joining code")
	if _, err := w.ask("d.example", first.Params.Credential, first.Params.SignatureKey, code); err != nil {
		t.Errorf("the first joiner asks again: %v", err)
	}
	w.Joining = nil
	w.Accept(w.JoinAs(first))
	// One use is left, and three have been shown the GroupInfo.
	_, err = ask(dave)
	wantNotAllowed(t, err, "no valid joining code")
	// Who has joined is not counted any more.
	code = w.register(func(r *protocol.JoinCodeRegistration) { r.Uses = 2 })
	second, err := ask("dora@d.example")
	if err != nil {
		t.Fatal(err)
	}
	w.Accept(w.JoinAs(second))
	for range 2 {
		if _, err := ask("dora@d.example"); err != nil {
			t.Errorf("a joiner for the use that is left: %v", err)
		}
	}
	_, err = ask("dora@d.example")
	wantNotAllowed(t, err, "no valid joining code")
	w.Commit(alice, mmrtest.Remove(dave)) // codes and joiners are gone
	w.Commit(alice)
	// A room remembers so many, whatever its codes say.
	code = w.register(func(r *protocol.JoinCodeRegistration) { r.Uses = 100 })
	for range 5 {
		if _, err := ask(dave); err != nil {
			t.Fatal(err)
		}
	}
	_, err = ask(dave)
	wantNotAllowed(t, err, "no valid joining code")
}

// TestJoinCode: who registers a code, and which (docs/mmr-profile.md, sections 4 and
// 10).
func TestJoinCode(t *testing.T) {
	w := start(t, hub.Limits{JoinCodes: 3})
	w.Found(mmrtest.GroupPolicy(), alice)
	mmrtest.Trio(w.World)
	send := func(from string, req *protocol.JoinCodeRegistration) error {
		return w.hub.JoinCode(t.Context(), from, mmrtest.Again(t, req))
	}
	_, good := w.code(bob)
	if err := send("b.example", good); err != nil {
		t.Fatalf("a member who may add others: %v", err)
	}
	if err := send("b.example", good); err != nil {
		t.Errorf("the same again: %v", err)
	}
	_, req := w.code(bob)
	wantNotAllowed(t, send("c.example", req), "not signed by a member")
	req.Uses++
	wantNotAllowed(t, send("b.example", req), "not signed by a member")
	_, req = w.code(carol, func(r *protocol.JoinCodeRegistration) { r.CodeHash, r.Bundle = good.CodeHash, []byte("another") })
	wantNotAllowed(t, send("c.example", req), "registered already")
	_, req = w.code(alice, func(r *protocol.JoinCodeRegistration) {
		r.NotAfter = w.Clock.Now().Add(-time.Hour).Truncate(time.Second)
	})
	wantNotAllowed(t, send(home, req), "has expired")
	_, req = w.code(alice, func(r *protocol.JoinCodeRegistration) { r.Room.ID = "0b7c1d3e-0000-4000-8000-000000000000" })
	if err := send(home, req); !errors.Is(err, protocol.ErrNoSuchRoom) {
		t.Error(err)
	}
	w.register()
	w.register()
	_, req = w.code(alice)
	wantNotAllowed(t, send(home, req), "too many joining codes")
	w.Clock.Advance(25 * time.Hour)
	_, req = w.code(alice)
	if err := send(home, req); err != nil {
		t.Errorf("after others have expired: %v", err)
	}
}

// TestJoinCodeIsWithdrawn: by whoever may register codes, and for good; and the code of
// others, whose hash is not known, stays.
func TestJoinCodeIsWithdrawn(t *testing.T) {
	w := trio(t)
	code, req := w.code(alice)
	_, other := w.code(bob)
	send := func(from string, req *protocol.JoinCodeRegistration) error {
		return w.hub.JoinCode(t.Context(), from, mmrtest.Again(t, req))
	}
	withdrawal := func(by string) *protocol.JoinCodeRegistration {
		_, w := w.code(by, func(r *protocol.JoinCodeRegistration) {
			room := r.Room
			*r = *protocol.Withdrawal(req.CodeHash)
			r.Room = room
		})
		return w
	}
	if err := errors.Join(send(home, req), send("b.example", other)); err != nil {
		t.Fatal(err)
	}
	c := w.Client(dave)
	ask := func() error {
		_, err := w.ask("d.example", c.Params.Credential, c.Params.SignatureKey, code)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	forged := withdrawal(alice)
	forged.CodeHash = other.CodeHash
	wantNotAllowed(t, send(home, forged), "not signed by a member")
	wantNotAllowed(t, send("d.example", withdrawal(alice)), "not signed by a member")
	if err := ask(); err != nil {
		t.Errorf("what was refused has withdrawn it: %v", err)
	}
	for range 2 {
		if err := send(home, withdrawal(alice)); err != nil {
			t.Fatal(err)
		}
	}
	wantNotAllowed(t, ask(), "no valid joining code")
	w.Joining = nil
	wantNotAllowed(t, w.JoinAs(c).Send(), "the role lacks canOpenJoin")
	if err := send(home, req); err != nil { // a repeat, which is answered and does nothing
		t.Error(err)
	}
	wantNotAllowed(t, ask(), "no valid joining code")
	w.restart()
	wantNotAllowed(t, ask(), "no valid joining code")
}

// TestUsedCodeStaysUsed: the registration of a code that was used has no effect when
// it comes again.
func TestUsedCodeStaysUsed(t *testing.T) {
	w := trio(t)
	code, req := w.code(alice)
	register := func() {
		t.Helper()
		if err := w.hub.JoinCode(t.Context(), home, mmrtest.Again(t, req)); err != nil {
			t.Fatal(err)
		}
	}
	register()
	c := w.Client(dave)
	if _, err := w.ask("d.example", c.Params.Credential, c.Params.SignatureKey, code); err != nil {
		t.Fatal(err)
	}
	w.Joining = nil
	w.Accept(w.JoinAs(c))
	register()
	w.restart()
	register()
	other := w.Client("dora@d.example")
	_, err := w.ask("d.example", other.Params.Credential, other.Params.SignatureKey, code)
	wantNotAllowed(t, err, "no valid joining code")
}

func TestJoinCodeOfConnectionRoom(t *testing.T) {
	w := start(t, hub.Limits{})
	w.Found(identity.ConnectionRoomPolicy(), alice)
	send := func(from, by string, change ...func(*protocol.JoinCodeRegistration)) error {
		_, req := w.code(by, change...)
		return w.hub.JoinCode(t.Context(), from, mmrtest.Again(t, req))
	}
	wantNotAllowed(t, send(home, alice, func(r *protocol.JoinCodeRegistration) { r.Uses = 2 }), "single use")
	wantNotAllowed(t, send(home, alice, func(r *protocol.JoinCodeRegistration) {
		r.NotAfter = w.Clock.Now().Add(40 * 24 * time.Hour).Truncate(time.Second)
	}), "30 days")
	if err := send(home, alice, func(r *protocol.JoinCodeRegistration) {
		r.NotAfter = w.Clock.Now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	}); err != nil {
		t.Error(err)
	}
	w.Accept(w.Join(bob))
	wantNotAllowed(t, send("b.example", bob), "not signed by a member")
}

// TestRelay: KeyPackages are asked for by members who may add others
// (docs/mmr-profile.md, section 5).
func TestRelay(t *testing.T) {
	w := trio(t)
	request := func(name string, change func(*protocol.AnonymousKeyMaterialRequest), key suite.SignatureKey) *protocol.AnonymousKeyMaterialRequest {
		req := &protocol.AnonymousKeyMaterialRequest{
			RequestingUser: w.Users[name], Target: protocol.KeyMaterialTarget{Domain: "d.example"}, Room: w.Room,
			Requester: protocol.Requester{CipherSuites: []suite.ID{w.Suite.ID()}, Required: identity.RequiredCapabilities(), Credential: w.Credential(name)},
			Token:     protocol.SealedConnectionToken{Domain: "d.example", Sealed: suite.HPKECiphertext{KEMOutput: make([]byte, 32), Ciphertext: make([]byte, 300)}},
		}
		change(req)
		if err := req.Sign(w.Suite, key); err != nil {
			t.Fatal(err)
		}
		return req
	}
	same := func(*protocol.AnonymousKeyMaterialRequest) {}
	relay := func(from string, req *protocol.AnonymousKeyMaterialRequest) error {
		_, err := w.hub.RelayKeyMaterial(t.Context(), from, req)
		return err
	}
	if err := relay("b.example", request(bob, same, w.Key(bob))); err != nil || len(w.net.relayed) != 1 {
		t.Fatalf("a member: %v", err)
	}
	other, err := w.Suite.GenerateSignatureKey(w.Random)
	if err != nil {
		t.Fatal(err)
	}
	wantNotAllowed(t, relay("c.example", request(bob, same, w.Key(bob))), "another provider")
	wantNotAllowed(t, relay("b.example", request(bob, same, other)), "another signature key")
	tampered := request(bob, same, w.Key(bob))
	tampered.Token.KeyID++
	wantNotAllowed(t, relay("b.example", tampered), "does not verify")
	wantNotAllowed(t, relay("b.example", request(bob, func(r *protocol.AnonymousKeyMaterialRequest) {
		r.RequestingUser.ID = w.Users[carol].ID
	}, w.Key(bob))), "another user")
	stranger := w.ClientAs("eve@b.example", mimi.URI{})
	wantNotAllowed(t, relay("b.example", request(bob, func(r *protocol.AnonymousKeyMaterialRequest) {
		r.RequestingUser, r.Requester.Credential = stranger.User(), stranger.Params.Credential
	}, stranger.Params.SignatureKey)), "not a member")
	if err := relay("b.example", request(bob, func(r *protocol.AnonymousKeyMaterialRequest) {
		r.Room.ID = "0b7c1d3e-0000-4000-8000-000000000000"
	}, w.Key(bob))); !errors.Is(err, protocol.ErrNoSuchRoom) {
		t.Error(err)
	}
	departed := request(carol, same, w.Key(carol))
	if err := w.Propose(carol, w.Leave(carol)...); err != nil {
		t.Fatal(err)
	}
	wantNotAllowed(t, relay("c.example", departed), "may not add")
	if len(w.net.relayed) != 1 {
		t.Errorf("%d requests were passed on, want the good one", len(w.net.relayed))
	}

	for name, policy := range map[string]identity.MinimalMetadataPolicy{"connection room": identity.ConnectionRoomPolicy(), "forbidden": {
		Requirement: identity.Forbidden, Mode: identity.WrapperEpochRotated, MaxUsers: 9,
	}} {
		w = start(t, hub.Limits{})
		w.Found(policy, alice)
		if err := relay(home, request(alice, same, w.Key(alice))); err == nil || len(w.net.relayed) > 0 {
			t.Errorf("%s: an Add is prepared where nobody can be added: %v", name, err)
		}
	}
}

// TestSubmitMessage: who may send messages, and when
// (draft-ietf-mimi-protocol-06, section 5.4).
func TestSubmitMessage(t *testing.T) {
	w := trio(t)
	send := func(from string, req *protocol.SubmitMessageRequest) error {
		_, err := w.hub.SubmitMessage(t.Context(), from, w.Room, mmrtest.Again(t, req))
		return err
	}
	stale := w.Say(bob, "of an old epoch")
	w.Commit(alice)
	wantWrongEpoch(t, send("b.example", stale), 2)
	future := w.Say(bob, "of the future")
	future.Message.PrivateMessage.Epoch++
	wantNotAllowed(t, send("b.example", future), "not reached")
	wantNotAllowed(t, send("c.example", w.Say(bob, "by another provider")), "another provider")
	stranger := w.Say(bob, "by nobody in the room")
	stranger.Sender = w.ClientAs("eve@b.example", mimi.URI{}).User()
	wantNotAllowed(t, send("b.example", stranger), room.ErrNotMember.Error())
	other := w.Say(bob, "for another group")
	other.Message.PrivateMessage.GroupID = []byte("mimi://a.example/g/other")
	wantNotAllowed(t, send("b.example", other), "another group")
	long := w.Say(bob, "long")
	long.Message.PrivateMessage.Ciphertext = make([]byte, 1<<20+1)
	wantNotAllowed(t, send("b.example", long), "too long")
	good := w.Say(bob, "hello")
	first, err := w.hub.SubmitMessage(t.Context(), "b.example", w.Room, mmrtest.Again(t, good))
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Minute)
	w.restart()
	second, err := w.hub.SubmitMessage(t.Context(), "b.example", w.Room, mmrtest.Again(t, good))
	if err != nil || !second.Accepted.Equal(first.Accepted) {
		t.Errorf("a repeated message: %v, %v", second, err)
	}
	nowhere := w.Room
	nowhere.ID = "0b7c1d3e-0000-4000-8000-000000000000"
	if _, err := w.hub.SubmitMessage(t.Context(), "b.example", nowhere, w.Say(bob, "nowhere")); !errors.Is(err, protocol.ErrNoSuchRoom) {
		t.Error(err)
	}
}

// TestCreate: a room as it begins (docs/mmr-profile.md, sections 2, 6 and 10).
func TestCreate(t *testing.T) {
	leaf := func(f func(w *world, l *mls.LeafParams)) func(*world, *mls.CreateParams) {
		return func(w *world, p *mls.CreateParams) { f(w, &p.Leaf) }
	}
	group := func(f func(w *world, d mls.AppDataDictionary) mls.AppDataDictionary) func(*world, *mls.CreateParams) {
		return func(w *world, p *mls.CreateParams) {
			dictionary, _ := p.Extensions.AppDataDictionary()
			extension, _ := f(w, dictionary).Extension()
			p.Extensions = p.Extensions.With(extension.Type, extension.Data)
		}
	}
	for _, c := range []struct {
		name   string
		want   error
		params func(*world, *mls.CreateParams)
		change func(*world, *mmr.Creation)
	}{
		{name: "a room"},
		{name: "the creator's leaf is everyone's", want: mmr.ErrLeaf, params: leaf(func(_ *world, l *mls.LeafParams) {
			l.Capabilities.Extensions = append(l.Capabilities.Extensions, 0x0a0a)
		})},
		{name: "all leaves are of type 0xFD4D", want: identity.ErrCredentialType, params: leaf(func(_ *world, l *mls.LeafParams) {
			l.Credential = mls.BasicCredential([]byte("mimi://a.example"))
			l.Capabilities.Credentials = append(l.Capabilities.Credentials, mls.CredentialBasic)
		})},
		{name: "the room is where its creator is", want: mmr.ErrGroup, params: func(w *world, p *mls.CreateParams) {
			c := w.Client(bob)
			p.Leaf = c.Params
			group(func(_ *world, d mls.AppDataDictionary) mls.AppDataDictionary {
				data, _ := room.Encode(&room.ParticipantList{Participants: []room.Participant{{User: c.User(), Role: room.RoleAdmin}}})
				return d.With(mls.ComponentID(room.ComponentParticipantList), data)
			})(w, p)
		}},
		{name: "a room has the profile's policy", want: mmr.ErrNotMinimal, params: group(func(_ *world, d mls.AppDataDictionary) mls.AppDataDictionary {
			return d.Without(identity.ComponentPolicy)
		})},
		{name: "the roles are those of the policy", want: room.ErrOtherPolicy, params: group(func(w *world, d mls.AppDataDictionary) mls.AppDataDictionary {
			roles := room.ConnectionRoom().Roles
			data, _ := room.Encode(&roles)
			return d.With(mls.ComponentID(room.ComponentRolesList), data)
		})},
		{name: "a room has its creator for its only participant", want: mmr.ErrGroup, params: group(func(w *world, d mls.AppDataDictionary) mls.AppDataDictionary {
			data, _ := d.Get(mls.ComponentID(room.ComponentParticipantList))
			list, _ := room.Decode[room.ParticipantList](data)
			list.Participants = append(list.Participants, room.Participant{User: w.Client(bob).User(), Role: room.RoleMember})
			data, _ = room.Encode(&list)
			return d.With(mls.ComponentID(room.ComponentParticipantList), data)
		})},
		{name: "the hub is the external sender", want: mmr.ErrGroup, params: func(w *world, p *mls.CreateParams) {
			e, _ := mls.ExternalSendersExtension(mmrtest.HubSender(t, w.Suite, "b.example"))
			p.Extensions = p.Extensions.With(e.Type, e.Data)
		}},
		{name: "an Extension of the group is no other's", want: mmr.ErrGroup, params: func(_ *world, p *mls.CreateParams) {
			required := identity.RequiredCapabilities()
			required.Proposals = required.Proposals[:1]
			e, _ := required.Extension()
			p.Extensions = p.Extensions.With(e.Type, e.Data)
		}},
		{name: "the table has one entry", want: identity.ErrTable, change: func(_ *world, c *mmr.Creation) { c.Table.Entries = nil }},
		{name: "the policy wants the creator's entry", want: identity.ErrEntryRequired, change: func(_ *world, c *mmr.Creation) { c.Table.Entries[0].Key = nil }},
		{name: "the first generation is 0", want: identity.ErrNotNewest, change: func(_ *world, c *mmr.Creation) { c.Table.Entries[0].Key.Generation = 1 }},
		{name: "the hash is the table's", want: identity.ErrLinkState, change: func(_ *world, c *mmr.Creation) { c.Table.Entries[0].Key.Nonce[0] ^= 1 }},
		{name: "the GroupInfo is signed", want: suite.ErrSignature, change: func(_ *world, c *mmr.Creation) { c.GroupInfo.Signature[0] ^= 1 }},
		{name: "something is missing", want: protocol.ErrMalformed, change: func(_ *world, c *mmr.Creation) { c.Table = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, hub.Limits{})
			creation := w.World.Create(mmrtest.GroupPolicy(), alice, func(p *mls.CreateParams) {
				if c.params != nil {
					c.params(w, p)
				}
			})
			if c.change != nil {
				c.change(w, creation)
			}
			err := w.hub.Create(t.Context(), creation)
			switch {
			case c.want == nil:
				if err != nil {
					t.Error(err)
				}
				if err := w.hub.Create(t.Context(), creation); !errors.Is(err, hub.ErrRoomExists) {
					t.Errorf("the same room again: %v", err)
				}
			case errors.Is(c.want, protocol.ErrMalformed):
				if !errors.Is(err, c.want) {
					t.Error(err)
				}
			default:
				wantNotAllowed(t, err, c.want.Error())
			}
			if _, err := w.hub.Participants(t.Context(), w.Room); c.want != nil && !errors.Is(err, protocol.ErrNoSuchRoom) {
				t.Errorf("the room is there: %v", err)
			}
		})
	}
}

// TestLinkShowsMembersTheKeys: a member with a code is given the bundle, which is no
// use of it. A code that is none changes nothing for a member.
func TestLinkShowsMembersTheKeys(t *testing.T) {
	w := start(t, hub.Limits{Joiners: 1})
	w.Found(mmrtest.GroupPolicy(), alice)
	c := w.ClientAs(dave, mimi.URI{})
	ask := func(code suite.Secret) *protocol.GroupInfoRatchetTreeTBE {
		t.Helper()
		info, err := w.ask(c.Domain, c.Params.Credential, c.Params.SignatureKey, code)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	joins := w.register()
	ask(joins)
	w.Joining = nil
	w.Accept(w.JoinAs(c))
	code := w.register()
	for range 3 {
		if info := ask(code); string(info.LinkBundle) != "bundle" {
			t.Errorf("a member with a code gets the bundle %q", info.LinkBundle)
		}
	}
	for what, other := range map[string]suite.Secret{"none": {}, "one that is used up": joins, "another": suite.NewSecret(make([]byte, 16))} {
		if info := ask(other); len(info.LinkBundle) > 0 {
			t.Errorf("with %s, a member gets the bundle %q", what, info.LinkBundle)
		}
	}
	d := w.ClientAs(dave, mimi.URI{})
	if _, err := w.ask(d.Domain, d.Params.Credential, d.Params.SignatureKey, code); err != nil {
		t.Errorf("a joiner, after the member: %v", err)
	}
	w.Clock.Advance(365 * 24 * time.Hour)
	if info := ask(code); len(info.LinkBundle) > 0 {
		t.Errorf("with one that has expired, a member gets the bundle %q", info.LinkBundle)
	}
}
