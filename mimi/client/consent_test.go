package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// consentWorld is Alice's gateway and Bob's, neither of which has connections as far as
// the other knows.
type consentWorld struct {
	*world
	a, b       *gateway
	alice, bob mimi.URI
}

func newConsentWorld(t *testing.T) *consentWorld {
	w := newWorld(t, "a.example", "b.example")
	x := &consentWorld{world: w, a: w.gateways["a.example"], b: w.gateways["b.example"]}
	x.alice, x.bob = x.a.person("alice", "Alice"), x.b.person("bob", "Bob")
	for _, g := range w.gateways {
		g.set(func(g *gateway) { g.noProfile = true })
	}
	return x
}

// add makes a plain room of somebody, and returns what came of adding a person.
func (x *consentWorld) add(g *gateway, account, peer mimi.URI) (mimi.URI, error) {
	x.t.Helper()
	room, failed, err := g.client.CreateRoom(x.t.Context(), account, client.RoomOptions{Name: "Plans", Plain: true}, []mimi.URI{peer})
	if err != nil {
		x.t.Fatal(err)
	}
	return room, failed[peer]
}

// refuses fails unless a person cannot be added for want of consent.
func (x *consentWorld) refuses(g *gateway, account, peer mimi.URI) {
	x.t.Helper()
	_, err := x.add(g, account, peer)
	if e, ok := errors.AsType[*protocol.KeyMaterialError](err); !ok || e.Code != protocol.KeyMaterialNoConsent {
		x.t.Errorf("%s adds %s: %v", account, peer, err)
	}
}

// aliceAsks lets Alice ask Bob for consent.
func (x *consentWorld) aliceAsks() {
	x.t.Helper()
	if err := x.a.client.AskConsent(x.t.Context(), x.alice, x.bob); err != nil {
		x.t.Fatal(err)
	}
}

// asked waits until a request for consent is shown, and returns its name.
func (x *consentWorld) asked(g *gateway, account, peer mimi.URI) client.Ref {
	x.t.Helper()
	e, _ := g.await("a request for consent", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAsked && e.Account == account && e.Peer == peer && e.Plain
	})
	return e.Request
}

// is waits for an event.
func (x *consentWorld) is(g *gateway, kind client.EventKind, reason client.Reason, account mimi.URI) *client.Event {
	x.t.Helper()
	e, _ := g.await(string(kind)+" "+string(reason), 0, func(e *client.Event) bool {
		return e.Kind == kind && e.Reason == reason && e.Account == account
	})
	return e
}

// none fails if an event of that kind was shown to an account.
func (x *consentWorld) none(g *gateway, kind client.EventKind, account mimi.URI) {
	x.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if e.Kind == kind && e.Account == account {
			x.t.Errorf("%s was shown to %s: %+v", kind, account, e)
		}
	}
}

// says hands an entry to a gateway as the provider at from.
func (x *consentWorld) says(g *gateway, from string, operation protocol.ConsentOperation, requester, target, room mimi.URI) error {
	return g.client.Consent(x.t.Context(), from, &protocol.ConsentEntry{
		Operation: operation, ConsentScope: protocol.ConsentScope{Requester: requester, Target: target, Room: room},
	})
}

// said is what a gateway has told others.
func (g *gateway) said() (all []protocol.ConsentOperation) {
	g.set(func(g *gateway) { all = append(all, g.consents...) })
	return all
}

// settled waits until nobody has to be told anything any more.
func (x *consentWorld) settled() {
	x.t.Helper()
	for _, g := range x.gateways {
		limit := time.After(2 * time.Minute)
		for {
			untold, err := g.stores.Client.UntoldConsents(x.t.Context())
			if err != nil {
				x.t.Fatal(err)
			}
			if len(untold) == 0 {
				break
			}
			select {
			case <-limit:
				x.t.Fatalf("%s: still untold: %+v", g.domain, untold[0])
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// TestConsent: who has asked and was granted consent adds the other to a plain room, and
// the other way round.
func TestConsent(t *testing.T) {
	x := newConsentWorld(t)
	if _, err := x.a.client.Connect(t.Context(), x.alice, x.bob); !errors.Is(err, protocol.ErrNoProfile) {
		t.Fatalf("a connection: %v", err)
	}
	x.refuses(x.a, x.alice, x.bob)
	x.refuses(x.b, x.bob, x.alice)
	x.aliceAsks()
	if err := x.a.client.AskConsent(t.Context(), x.alice, x.bob); !errors.Is(err, client.ErrAlreadyAsked) {
		t.Errorf("asked twice: %v", err)
	}
	ref := x.asked(x.b, x.bob, x.alice)
	requests, err := x.b.client.Requests(t.Context(), x.bob)
	if err != nil || len(requests) != 1 || requests[0].Ref != ref || !requests[0].Plain || requests[0].Peer != x.alice {
		t.Errorf("requests %+v, %v", requests, err)
	}
	x.refuses(x.a, x.alice, x.bob) // he has not answered
	if room, err := x.b.client.Accept(t.Context(), x.bob, ref); err != nil || !room.IsZero() {
		t.Fatal(room, err)
	}
	if e := x.is(x.b, client.EventConsented, "", x.bob); e.Request != ref || e.Peer != x.alice || e.OneRoom {
		t.Errorf("%+v", e)
	}
	if e := x.is(x.a, client.EventGranted, "", x.alice); e.Peer != x.bob || e.OneRoom {
		t.Errorf("%+v", e)
	}
	if _, err := x.b.client.Accept(t.Context(), x.bob, ref); !errors.Is(err, client.ErrNoRequest) {
		t.Errorf("accepted twice: %v", err)
	}
	if err := x.a.client.AskConsent(t.Context(), x.alice, x.bob); !errors.Is(err, client.ErrConsented) {
		t.Errorf("asked after consent: %v", err)
	}
	for _, way := range []struct {
		g, other      *gateway
		account, peer mimi.URI
	}{{x.a, x.b, x.alice, x.bob}, {x.b, x.a, x.bob, x.alice}} {
		room, err := x.add(way.g, way.account, way.peer)
		if err != nil {
			t.Fatalf("%s adds %s: %v", way.account, way.peer, err)
		}
		x.join(way.peer, room)
		x.say(way.account, room, "one", way.peer.Domain)
		x.say(way.peer, room, "two", way.account.Domain)
	}
}

// TestConsentIsTakenBack: after a revocation nobody is added any more, and who had
// consent is told.
func TestConsentIsTakenBack(t *testing.T) {
	x := newConsentWorld(t)
	x.aliceAsks()
	if _, err := x.b.client.Accept(t.Context(), x.bob, x.asked(x.b, x.bob, x.alice)); err != nil {
		t.Fatal(err)
	}
	x.is(x.a, client.EventGranted, "", x.alice)
	if err := x.b.client.RemoveContact(t.Context(), x.bob, x.alice); err != nil {
		t.Fatal(err)
	}
	x.is(x.a, client.EventAlert, client.ReasonConsentRevoked, x.alice)
	x.refuses(x.a, x.alice, x.bob)
	if _, err := x.add(x.b, x.bob, x.alice); err != nil {
		t.Errorf("her consent ended with his: %v", err)
	}
	if err := x.b.client.RemoveContact(t.Context(), x.bob, x.alice); !errors.Is(err, client.ErrNotConnected) {
		t.Errorf("taken back twice: %v", err)
	}
	if all, err := x.a.client.Consents(t.Context(), x.alice); err != nil || len(all) != 1 || all[0].Side != client.ConsentOfAccount {
		t.Errorf("%+v, %v", all, err)
	}
	if err := x.a.client.AskConsent(t.Context(), x.alice, x.bob); err != nil {
		t.Errorf("asked again: %v", err)
	}
}

// TestConsentIsCancelled: a request that is taken back is not shown any more.
func TestConsentIsCancelled(t *testing.T) {
	x := newConsentWorld(t)
	x.aliceAsks()
	ref := x.asked(x.b, x.bob, x.alice)
	if err := x.a.client.RemoveContact(t.Context(), x.alice, x.bob); err != nil {
		t.Fatal(err)
	}
	if e := x.is(x.b, client.EventWithdrawn, "", x.bob); e.Request != ref {
		t.Errorf("%+v", e)
	}
	if _, err := x.b.client.Accept(t.Context(), x.bob, ref); !errors.Is(err, client.ErrNoRequest) {
		t.Errorf("accepted what was taken back: %v", err)
	}
	x.settled()
	x.refuses(x.b, x.bob, x.alice) // what she had offered in turn is taken back too
	if all, err := x.a.stores.Client.Consents(t.Context(), x.alice); err != nil || len(all) != 0 {
		t.Errorf("remembered: %+v, %v", all, err)
	}
}

// TestConsentDeclined: the asker's provider is told nothing, and repeating the request
// does not show it again before a month is over.
func TestConsentDeclined(t *testing.T) {
	x := newConsentWorld(t)
	ask := func() {
		t.Helper()
		if err := x.says(x.b, "a.example", protocol.ConsentRequest, x.alice, x.bob, mimi.URI{}); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	ask()
	if err := x.b.client.Decline(t.Context(), x.bob, x.asked(x.b, x.bob, x.alice)); err != nil {
		t.Fatal(err)
	}
	ask()
	requests, err := x.b.client.Requests(t.Context(), x.bob)
	if err != nil || len(requests) != 0 {
		t.Errorf("asked again: %+v, %v", requests, err)
	}
	x.settled()
	if said := x.b.said(); len(said) != 0 {
		t.Errorf("her provider was told %v", said)
	}
	x.clock.Advance(30 * 24 * time.Hour)
	ask()
	if requests, err = x.b.client.Requests(t.Context(), x.bob); err != nil || len(requests) != 1 {
		t.Errorf("not asked after a month: %+v, %v", requests, err)
	}
}

// TestConsentTellsNothing: a provider gets one answer about people, whether they exist,
// were asked, have declined, or have blocked who asks.
func TestConsentTellsNothing(t *testing.T) {
	x := newConsentWorld(t)
	ben := x.b.person("ben", "Ben")
	if err := x.b.client.Block(t.Context(), ben, x.alice); err != nil {
		t.Fatal(err)
	}
	nobody := mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: "nobody"}
	for _, user := range []mimi.URI{x.bob, ben, nobody} {
		for _, operation := range []protocol.ConsentOperation{protocol.ConsentRequest, protocol.ConsentRequest, protocol.ConsentCancel, protocol.ConsentCancel} {
			if err := x.says(x.b, "a.example", operation, x.alice, user, mimi.URI{}); err != nil {
				t.Errorf("operation %d about %s: %v", operation, user, err)
			}
		}
		for _, operation := range []protocol.ConsentOperation{protocol.ConsentGrant, protocol.ConsentRevoke} {
			if err := x.says(x.b, "a.example", operation, user, x.alice, mimi.URI{}); err != nil {
				t.Errorf("operation %d about %s: %v", operation, user, err)
			}
		}
	}
	x.asked(x.b, x.bob, x.alice)
	x.none(x.b, client.EventAsked, ben)
	x.none(x.b, client.EventGranted, x.bob)
	for _, user := range []mimi.URI{x.bob, ben} {
		if all, err := x.b.stores.Client.Consents(t.Context(), user); err != nil || len(all) != 0 {
			t.Errorf("remembered of %s: %+v, %v", user, all, err)
		}
	}
}

// TestConsentOfOthersIsRefused: a provider speaks for its own users alone, to users here
// alone.
func TestConsentOfOthersIsRefused(t *testing.T) {
	x := newConsentWorld(t)
	carol := mimi.URI{Domain: "c.example", Kind: mimi.KindUser, ID: "carol"}
	for name, err := range map[string]error{
		"a request in another's name": x.says(x.b, "c.example", protocol.ConsentRequest, x.alice, x.bob, mimi.URI{}),
		"a cancel in another's name":  x.says(x.b, "c.example", protocol.ConsentCancel, x.alice, x.bob, mimi.URI{}),
		"a grant in another's name":   x.says(x.b, "c.example", protocol.ConsentGrant, x.bob, x.alice, mimi.URI{}),
		"a revoke in another's name":  x.says(x.b, "c.example", protocol.ConsentRevoke, x.bob, x.alice, mimi.URI{}),
		"a request to others":         x.says(x.b, "a.example", protocol.ConsentRequest, x.alice, carol, mimi.URI{}),
		"a grant to others":           x.says(x.b, "a.example", protocol.ConsentGrant, carol, x.alice, mimi.URI{}),
		"a grant by the requester":    x.says(x.b, "a.example", protocol.ConsentGrant, x.alice, x.bob, mimi.URI{}),
	} {
		if _, ok := errors.AsType[*protocol.NotAllowedError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	x.none(x.b, client.EventAsked, x.bob)
}

// TestConsentForOneRoom: consent for a room is none for another.
func TestConsentForOneRoom(t *testing.T) {
	x := newConsentWorld(t)
	room, err := x.add(x.a, x.alice, x.bob)
	if err == nil {
		t.Fatal("Bob was added without his consent")
	}
	if err := x.says(x.b, "a.example", protocol.ConsentRequest, x.alice, x.bob, room); err != nil {
		t.Fatal(err)
	}
	e, _ := x.b.await("a request for one room", 0, func(e *client.Event) bool { return e.Kind == client.EventAsked && e.OneRoom })
	if _, err := x.b.client.Accept(t.Context(), x.bob, e.Request); err != nil {
		t.Fatal(err)
	}
	x.refuses(x.a, x.alice, x.bob)
	if err := x.a.client.Invite(t.Context(), x.alice, room, x.bob); err != nil {
		t.Fatal(err)
	}
	x.join(x.bob, room)
	x.say(x.bob, room, "one", "a.example")
}

// TestConsentBlocked: who is blocked has no consent, and is not told that it is gone.
func TestConsentBlocked(t *testing.T) {
	x := newConsentWorld(t)
	x.aliceAsks()
	if _, err := x.b.client.Accept(t.Context(), x.bob, x.asked(x.b, x.bob, x.alice)); err != nil {
		t.Fatal(err)
	}
	x.settled()
	before := len(x.b.said())
	if err := x.b.client.Block(t.Context(), x.bob, x.alice); err != nil {
		t.Fatal(err)
	}
	x.settled()
	if said := x.b.said(); len(said) != before {
		t.Errorf("her provider was told %v", said[before:])
	}
	x.refuses(x.a, x.alice, x.bob)
	if err := x.b.client.AskConsent(t.Context(), x.bob, x.alice); !errors.Is(err, client.ErrBlocked) {
		t.Errorf("who is blocked is asked: %v", err)
	}
}

// TestConsentAskedTwice: who asks somebody that has asked them has answered.
func TestConsentAskedTwice(t *testing.T) {
	x := newConsentWorld(t)
	x.aliceAsks()
	ref := x.asked(x.b, x.bob, x.alice)
	if err := x.b.client.AskConsent(t.Context(), x.bob, x.alice); err != nil {
		t.Fatal(err)
	}
	if e := x.is(x.b, client.EventConsented, "", x.bob); e.Request != ref {
		t.Errorf("%+v", e)
	}
	x.is(x.a, client.EventGranted, "", x.alice)
	x.is(x.b, client.EventGranted, "", x.bob) // she had offered it before
	x.none(x.a, client.EventAsked, x.alice)
}

// TestConsentIsToldLater: what a provider that is down has to hear waits for it, also over
// a restart, and is told once it is there.
func TestConsentIsToldLater(t *testing.T) {
	x := newConsentWorld(t)
	down := func(is bool) func(*gateway) {
		return func(g *gateway) {
			g.consenting = nil
			if is {
				g.consenting = func(*protocol.ConsentEntry) error { return errors.New("no answer") }
			}
		}
	}
	x.a.set(down(true))
	if err := x.a.client.AskConsent(t.Context(), x.alice, x.bob); !errors.Is(err, client.ErrQueued) {
		t.Fatalf("asked a provider that does not answer: %v", err)
	}
	x.a.stop()
	x.a.set(down(false))
	x.a.start()
	ref := x.asked(x.b, x.bob, x.alice)
	x.b.set(down(true))
	if _, err := x.b.client.Accept(t.Context(), x.bob, ref); err != nil {
		t.Fatal(err)
	}
	x.b.stop()
	x.b.set(down(false))
	x.b.start()
	x.is(x.a, client.EventGranted, "", x.alice)
}

// TestConsentRefusedForGood: a provider that does not know the person, takes no requests,
// or refuses, is not asked again.
func TestConsentRefusedForGood(t *testing.T) {
	for name, test := range map[string]struct {
		answer, want error
		offered      int // what is left of what Alice has offered
	}{
		"nobody":      {protocol.ErrNoSuchUser, client.ErrNoPerson, 0},
		"not offered": {protocol.ErrNotOffered, client.ErrNotAsked, 1},
		"malformed":   {protocol.ErrMalformed, client.ErrNotAsked, 1},
	} {
		t.Run(name, func(t *testing.T) {
			x := newConsentWorld(t)
			x.a.set(func(g *gateway) { g.consenting = func(*protocol.ConsentEntry) error { return test.answer } })
			if err := x.a.client.AskConsent(t.Context(), x.alice, x.bob); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			x.settled()
			all, err := x.a.client.Consents(t.Context(), x.alice)
			if err != nil || len(all) != test.offered {
				t.Errorf("%d are left, %v", len(all), err)
			}
		})
	}
}

// TestConsentExpires: a request that is not answered in a month has ended, on both sides.
func TestConsentExpires(t *testing.T) {
	x := newConsentWorld(t)
	x.aliceAsks()
	ref := x.asked(x.b, x.bob, x.alice)
	for range 32 {
		x.clock.Advance(24 * time.Hour)
	}
	x.is(x.a, client.EventRefused, client.ReasonExpired, x.alice)
	if e := x.is(x.b, client.EventWithdrawn, "", x.bob); e.Request != ref {
		t.Errorf("%+v", e)
	}
	x.settled()
	for _, g := range []*gateway{x.a, x.b} {
		for _, user := range []mimi.URI{x.alice, x.bob} {
			if all, err := g.stores.Client.Consents(t.Context(), user); err != nil || len(all) != 0 {
				t.Errorf("%s remembers of %s: %+v, %v", g.domain, user, all, err)
			}
		}
	}
}

// TestConsentEndsWithTheAccount: whoever deletes their account takes back their consents
// first.
func TestConsentEndsWithTheAccount(t *testing.T) {
	x := newConsentWorld(t)
	x.aliceAsks()
	if _, err := x.b.client.Accept(t.Context(), x.bob, x.asked(x.b, x.bob, x.alice)); err != nil {
		t.Fatal(err)
	}
	x.is(x.a, client.EventGranted, "", x.alice)
	if _, err := x.b.client.DeleteAccount(t.Context(), x.bob); err != nil {
		t.Fatal(err)
	}
	x.is(x.a, client.EventAlert, client.ReasonConsentRevoked, x.alice)
	x.is(x.b, client.EventDeleted, "", x.bob)
	x.refuses(x.a, x.alice, x.bob)
}

// TestConsentWithoutPlainRooms: where plain rooms are off, nobody can be asked, and
// nobody asks; others get the same answer as ever.
func TestConsentWithoutPlainRooms(t *testing.T) {
	x := newConsentWorld(t)
	x.b.stop()
	x.b.noPlainRooms = true
	x.b.start()
	if err := x.a.client.AskConsent(t.Context(), x.alice, x.bob); err != nil {
		t.Errorf("the answer differs: %v", err)
	}
	if err := x.b.client.AskConsent(t.Context(), x.bob, x.alice); !errors.Is(err, client.ErrPlainRooms) {
		t.Errorf("asked where plain rooms are off: %v", err)
	}
	x.none(x.b, client.EventAsked, x.bob)
	if requests, err := x.b.client.Requests(t.Context(), x.bob); err != nil || len(requests) != 0 {
		t.Errorf("%+v, %v", requests, err)
	}
}

// TestConsentIsForPeersWithoutProfile: where there are connections, they are the way.
func TestConsentIsForPeersWithoutProfile(t *testing.T) {
	x := newConsentWorld(t)
	x.b.set(func(g *gateway) { g.noProfile = false })
	if err := x.a.client.AskConsent(t.Context(), x.alice, x.bob); !errors.Is(err, protocol.ErrNoProfile) {
		t.Errorf("%v", err)
	}
}

// TestConsentRequestsAreLimited: requests for consent and for connections share a limit
// for each account.
func TestConsentRequestsAreLimited(t *testing.T) {
	x := newConsentWorld(t)
	for i := range client.DefaultLimits().Requests + 5 {
		asker := mimi.URI{Domain: "a.example", Kind: mimi.KindUser, ID: "asker" + string(rune('a'+i/26)) + string(rune('a'+i%26))}
		if err := x.says(x.b, "a.example", protocol.ConsentRequest, asker, x.bob, mimi.URI{}); err != nil {
			t.Fatal(err)
		}
	}
	if requests, err := x.b.client.Requests(t.Context(), x.bob); err != nil || len(requests) != client.DefaultLimits().Requests {
		t.Errorf("%d requests, %v", len(requests), err)
	}
}

// TestConsentIsRepeated: a provider that asks again after consent is told again, and the
// person is not asked.
func TestConsentIsRepeated(t *testing.T) {
	x := newConsentWorld(t)
	x.aliceAsks()
	if _, err := x.b.client.Accept(t.Context(), x.bob, x.asked(x.b, x.bob, x.alice)); err != nil {
		t.Fatal(err)
	}
	x.settled()
	before := len(x.b.said())
	if err := x.says(x.b, "a.example", protocol.ConsentRequest, x.alice, x.bob, mimi.URI{}); err != nil {
		t.Fatal(err)
	}
	x.settled()
	if said := x.b.said(); len(said) != before+1 || said[before] != protocol.ConsentGrant {
		t.Errorf("told %v, %d before", said, before)
	}
	if requests, err := x.b.client.Requests(t.Context(), x.bob); err != nil || len(requests) != 0 {
		t.Errorf("asked again: %+v, %v", requests, err)
	}
}
