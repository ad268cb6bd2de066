package client_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// tick moves the clock on until a schedule tick of the gateway is over.
func (g *gateway) tick() {
	g.w.t.Helper()
	ticks := func() (n int) {
		g.set(func(g *gateway) { n = g.ticks })
		return n
	}
	limit := time.After(time.Minute)
	for before := ticks(); ticks() == before; {
		select {
		case <-limit:
			g.w.t.Fatal("no schedule tick")
		case <-time.After(time.Millisecond):
			g.w.clock.Advance(30 * time.Minute)
		}
	}
}

// together puts two people into a room of their own, and returns the pseudonym of
// the one who was added.
func (w *world) together(adder, added mimi.URI, n int) (room, pseudonym mimi.URI) {
	w.t.Helper()
	room, failed, err := w.gateways[adder.Domain].client.CreateRoom(w.t.Context(), adder,
		client.RoomOptions{Name: fmt.Sprintf("room %d", n)}, []mimi.URI{added})
	if err != nil || len(failed) > 0 {
		w.t.Fatalf("room %d: %v %v", n, err, failed)
	}
	w.join(added, room)
	members, err := w.gateways[adder.Domain].stores.Client.Members(w.t.Context(), room)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range members {
		if m.User == added {
			return room, m.UserPseudonym
		}
	}
	w.t.Fatalf("room %d: %s is not in it", n, added)
	return room, pseudonym
}

// TestCornerKeyMaterialExhausted: once a contact has fetched all the sets that are made
// for it in an hour, it is given those of last resort, in turn; the pseudonyms that
// two rooms share are counted; and the next schedule tick replaces what was used.
func TestCornerKeyMaterialExhausted(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	b.stop()
	b.limits.Sets = 2
	b.start()
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	rooms := map[mimi.URI]int{}
	for n := range 10 {
		room, pseudonym := w.together(alice, bob, n)
		rooms[pseudonym]++
		w.say(bob, room, fmt.Sprintf("here %d", n), "a.example")
	}
	// Two of their own, and four that share eight rooms equally.
	if len(rooms) != 6 {
		t.Errorf("10 rooms with %d pseudonyms", len(rooms))
	}
	twice := 0
	for _, n := range rooms {
		if n == 2 {
			twice++
		}
	}
	if twice != 4 {
		t.Errorf("the sets of last resort were not used in turn: %v", rooms)
	}
	if want := []uint64{0, 0, 0, 0, 1, 1, 1, 1}; fmt.Sprint(b.reused) != fmt.Sprint(want) {
		t.Errorf("metrics have %v, want %v", b.reused, want)
	}
	b.tick()
	if b.sets != (keymaterial.Stock{LastResort: 4}) {
		t.Errorf("the stock after a tick is %+v", b.sets)
	}
	b.stop()
	b.limits.Sets = -1 // none is made
	b.start()
	for n := range 4 {
		_, pseudonym := w.together(alice, bob, 10+n)
		if rooms[pseudonym] > 0 {
			t.Errorf("a set of last resort was used again after a tick")
		}
		rooms[pseudonym]++
	}
}

// TestPackageRefill: establishment packages are replaced at schedule ticks, and not
// when one is handed out; whatever happens there is one of last resort.
func TestPackageRefill(t *testing.T) {
	w := newWorld(t, "b.example")
	b := w.gateways["b.example"]
	bob := b.person("bob", "Bob")
	stock := func() (s keymaterial.Stock) {
		var err error
		s.Single, s.LastResort, err = b.stores.People.CountPackages(t.Context(), bob, suite.X25519AES128, identity.HandOutHorizon(w.clock.Now()))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	fetch := func() (encoded []byte, lastResort bool) {
		encoded, err := b.client.ConnectionPackage(t.Context(), "a.example", bob)
		if err != nil {
			t.Fatal(err)
		}
		var p connection.ConnectionEstablishmentPackage
		if err := mls.Unmarshal(encoded, &p); err != nil {
			t.Fatal(err)
		}
		authority, _, err := b.client.IdentityCA()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Verify(bob, authority, w.clock.Now()); err != nil {
			t.Errorf("%v: package: %v", w.clock.Now(), err)
		}
		return encoded, p.TBS.LastResort
	}
	for round := range 40 { // more than a month
		if got := stock(); got.Single < 5 || got.LastResort < 1 {
			t.Fatalf("round %d begins with %+v", round, got)
		}
		seen := map[string]bool{}
		for have := stock().Single; have > 0; have-- {
			encoded, lastResort := fetch()
			if lastResort || seen[string(encoded)] {
				t.Errorf("with %d left, a package of last resort or one that was handed out", have)
			}
			seen[string(encoded)] = true
			if got := stock().Single; got != have-1 {
				t.Errorf("after a fetch there are %d, want %d", got, have-1)
			}
		}
		first, lastResort := fetch()
		if again, _ := fetch(); !lastResort || !bytes.Equal(first, again) {
			t.Error("no package of last resort when all others are gone")
		}
		for range 4 {
			b.tick()
		}
	}
	w.clock.Advance(400 * 24 * time.Hour) // the gateway hangs; nothing is left that is valid
	if _, lastResort := fetch(); !lastResort {
		t.Error("a package that is used once, out of nothing")
	}
}

// TestRemovedContactGetsNothing: whoever is no contact any more is answered as if
// its token had never been given out, and nothing of its key material is left.
func TestRemovedContactGetsNothing(t *testing.T) {
	c := newCouple(t)
	room, failed, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Before"}, []mimi.URI{c.bob})
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	c.join(c.bob, room)
	if err := c.b.client.Leave(t.Context(), c.bob, c.direct); err != nil {
		t.Fatal(err)
	}
	c.b.await("Bob has left", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Room == c.direct })
	other, _, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "After"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.Invite(t.Context(), c.alice, other, c.bob); err == nil {
		t.Error("a contact that was removed was given key material")
	}
	if held, err := c.b.stores.People.AllKeyPackages(t.Context()); err != nil || len(held) != 0 {
		t.Errorf("%d KeyPackages are left, %v", len(held), err)
	}
	if n := c.b.stores.People.PrivateParts(); n != 0 {
		t.Errorf("%d private parts are left", n)
	}
}

// TestUploadQuota: an account whose uploads of a day are used up is added with what
// is there, and with fresh key material the day after.
func TestUploadQuota(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	b.stop()
	b.limits.Uploads = 6
	b.start()
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob) // four of last resort
	for n := range 3 {
		w.together(alice, bob, n)
	}
	if fmt.Sprint(b.reused) != "[0]" {
		t.Errorf("after two sets on demand, those of last resort were used %v", b.reused)
	}
	w.clock.Advance(24 * time.Hour)
	w.together(alice, bob, 3)
	if fmt.Sprint(b.reused) != "[0]" {
		t.Errorf("on the next day, those of last resort were used %v", b.reused)
	}
}

// TestCrashInRefill ends the gateway at every point of a schedule tick that replaces
// everything. At no point is a KeyPackage stored whose private part is not, nor is a
// contact or a user without a set and a package; and the next tick finishes it.
func TestCrashInRefill(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 5
	}
	crashed := true
	n := 1
	for ; crashed; n += stride {
		ok := t.Run(fmt.Sprint(n), func(t *testing.T) { crashed = crashInRefill(t, n) })
		if !ok {
			return
		}
	}
	if n < 20 {
		t.Errorf("a tick that replaces everything has %d points only", n)
	}
}

func crashInRefill(t *testing.T, n int) (crashed bool) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	b.stop()
	b.limits.Sets = -1 // none is made on demand
	b.start()
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	w.together(alice, bob, 0) // one set is worn
	for range 9 {
		w.clock.Advance(24 * time.Hour)
	}
	b.stores.Faults.Crash(n)
	err := b.client.Refill(t.Context())
	crashed = b.stores.Faults.Crashed()
	if err != nil && !crashed {
		t.Fatal(err)
	}
	b.stop()
	b.stores.Faults.Restart()
	b.start()
	whole := func(want int) {
		t.Helper()
		held, err := b.stores.People.AllKeyPackages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(held) != want {
			t.Errorf("%d sets are stored, want %d", len(held), want)
		}
		for _, h := range held {
			var kp mls.KeyPackage
			if err := mls.Unmarshal(h.KeyPackage, &kp); err != nil {
				t.Fatal(err)
			}
			ref, err := kp.Ref()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.stores.People.Private(t.Context(), [32]byte(ref)); err != nil {
				t.Errorf("a KeyPackage is handed out whose private part is not here: %v", err)
			}
		}
		if encoded, err := b.client.ConnectionPackage(t.Context(), "a.example", bob); err != nil || encoded == nil {
			t.Errorf("no establishment package: %v", err)
		}
	}
	whole(4)
	if err := b.client.Refill(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole(4)
	_, pseudonym := w.together(alice, bob, 1)
	if pseudonym.IsZero() {
		t.Error("Bob is not in the room")
	}
	return crashed
}

// TestWelcomeAfterRefill: a Welcome to a set of last resort comes late, when the set
// was replaced already.
func TestWelcomeAfterRefill(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	b.stop()
	b.limits.Sets = -1 // none is made on demand
	b.start()
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	var kept [][]byte
	b.set(func(g *gateway) { g.lose = keep(&kept) })
	room, failed, err := a.client.CreateRoom(t.Context(), alice, client.RoomOptions{Name: "Plans"}, []mimi.URI{bob})
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	w.until("the Welcome is on its way", func() bool { return b.holds(&kept, 1) })
	if err := b.client.Refill(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, err := b.stores.People.AllKeyPackages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		if times, err := b.stores.People.Holdings(t.Context(), h.Token); err != nil || times[0].HandedOut > 0 || len(times) != 4 {
			t.Errorf("%d sets, the first handed out %d times, %v", len(times), times[0].HandedOut, err)
		}
	}
	b.hears("a.example", room, &kept)
	w.join(bob, room)
	w.say(bob, room, "late, and here", "a.example")
}

// TestLastResortIsRenewed: at every moment there are four sets of last resort that
// can be handed out for almost a week to come, whether they are used or not.
func TestLastResortIsRenewed(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	b := w.gateways["b.example"]
	alice, bob := w.gateways["a.example"].person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	sets := map[mimi.URI]bool{}
	begin := w.clock.Now()
	for w.clock.Now().Sub(begin) < 60*24*time.Hour {
		b.tick()
		held, err := b.stores.People.AllKeyPackages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(held) != 4 {
			t.Fatalf("%v: there are %d sets", w.clock.Now(), len(held))
		}
		for _, h := range held {
			sets[h.Set] = true
			if h.NotAfter.Before(identity.HandOutHorizon(w.clock.Now().AddDate(0, 0, 6))) {
				t.Errorf("%v: a set is not handed out any more in six days", w.clock.Now())
			}
		}
	}
	if len(sets) < 4*7 || len(sets) > 4*10 {
		t.Errorf("in 60 days there were %d sets", len(sets))
	}
	// What was never handed out leaves nothing behind.
	if n := b.stores.People.PrivateParts(); n != 4 {
		t.Errorf("%d private parts are kept", n)
	}
}
