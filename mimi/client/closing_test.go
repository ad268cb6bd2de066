package client_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// deleted checks that nothing is left of an account.
func (w *world) deleted(account mimi.URI) {
	w.t.Helper()
	g := w.gateways[account.Domain]
	ctx := w.t.Context()
	if _, err := g.stores.Client.Account(ctx, account); !errors.Is(err, client.ErrNotFound) {
		w.t.Errorf("the account is there: %v", err)
	}
	contacts, err := g.stores.Client.Contacts(ctx)
	for _, contact := range contacts {
		if contact.Account == account {
			w.t.Errorf("a contact is left in state %d", contact.State)
		}
	}
	leaves, err2 := g.stores.Client.LeavesOf(ctx, account)
	requests, err3 := g.stores.Client.Requests(ctx, account)
	if len(leaves)+len(requests) > 0 {
		w.t.Errorf("%d leaves and %d requests are left", len(leaves), len(requests))
	}
	single, last, err4 := g.stores.People.CountPackages(ctx, account, suite.X25519AES128, w.clock.Now())
	if single+last > 0 {
		w.t.Errorf("%d establishment packages are left", single+last)
	}
	wallet, err5 := g.stores.People.Wallet(ctx, account)
	if len(wallet) > 0 {
		w.t.Error("upload tokens are left")
	}
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		w.t.Error(err)
	}
	if _, err := g.client.Provision(ctx, account.Localpart(), ""); err != nil {
		w.t.Errorf("who was deleted can't come back: %v", err)
	}
}

// TestDeleteAccount: contacts are told, the rooms are left, key material goes, and the
// address is that of nobody; who comes back has other keys, which their contacts see.
func TestDeleteAccount(t *testing.T) {
	c := quietCouple(t)
	ben := c.b.person("ben", "")
	own, _, err := c.b.client.CreateRoom(t.Context(), c.bob, client.RoomOptions{Name: "Bob's"}, []mimi.URI{ben})
	if err != nil {
		t.Fatal(err)
	}
	c.join(ben, own)
	held, err := c.b.stores.People.AllKeyPackages(t.Context())
	if err != nil || len(held) == 0 {
		t.Fatalf("there is no key material: %v", err)
	}
	if err := c.a.client.Verify(t.Context(), c.alice, c.bob, c.safety(c.alice, c.bob).Code.Digest()); err != nil {
		t.Fatal(err)
	}
	defer c.driveClock()()
	d, err := c.b.client.DeleteAccount(t.Context(), c.bob)
	if err != nil || d.Rooms != 3 {
		t.Fatalf("%+v, %v", d, err)
	}
	if answer, err := (network{c.a}).ConnectionPackage(t.Context(), c.bob); err != nil || answer != nil {
		t.Errorf("asked while it is deleted: %d octets, %v", len(answer), err)
	}
	c.alertedAbout(c.alice, c.bob, client.ReasonPeerClosed)
	if err := sends(c.world, c.alice, c.direct, "anybody"); !errors.Is(err, client.ErrPeerClosed) {
		t.Errorf("said to nobody: %v", err)
	}
	for _, room := range []mimi.URI{c.direct, c.group} {
		c.a.await("Bob leaves", 0, func(e *client.Event) bool {
			return e.Kind == client.EventMembers && e.Room == room && len(e.Removed) == 1 && e.Removed[0].User == c.bob && e.Actor.User == c.bob
		})
	}
	done, _ := c.b.await("deleted", 0, func(e *client.Event) bool { return e.Kind == client.EventDeleted })
	if done.Account != c.bob || done.Total != 3 {
		t.Errorf("told of %+v", done)
	}
	if state := c.stateOf(c.alice, c.bob); state != client.ContactClosed {
		t.Errorf("the contact is in state %d", state)
	}
	if n := c.a.countEvents(func(e *client.Event) bool { return e.Reason == client.ReasonPeerLeft }); n != 0 {
		t.Error("told that he has left, beside that he has closed his account")
	}
	if held, err := c.b.stores.People.AllKeyPackages(t.Context()); err != nil || len(held) > 0 {
		t.Errorf("%d KeyPackages are left, %v", len(held), err)
	}
	if _, err := c.a.client.Connect(t.Context(), c.alice, c.bob); !errors.Is(err, client.ErrNoPerson) {
		t.Errorf("asked who was deleted: %v", err)
	}
	if d, err := c.b.client.Deletion(t.Context(), c.bob); err != nil || !d.Done || d.Left != 3 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := c.b.client.DeleteAccount(t.Context(), c.bob); !errors.Is(err, client.ErrNoAccount) {
		t.Errorf("deleted twice: %v", err)
	}
	c.say(ben, own, "still here")
	c.deleted(c.bob) // and is there again
	c.connectAgain(c.alice, c.bob)
	c.alertedAbout(c.alice, c.bob, client.ReasonVerifiedChanged)
}

// TestDeletionWaitsForItsHub: who can't be told is told later, also over a restart; in
// the meantime nothing can be started, and after a week nobody is waited for.
func TestDeletionWaitsForItsHub(t *testing.T) {
	for name, comesBack := range map[string]bool{"comes back": true, "stays away": false} {
		t.Run(name, func(t *testing.T) {
			c := quietCouple(t)
			c.a.set(func(g *gateway) { g.down = true })
			if _, err := c.b.client.DeleteAccount(t.Context(), c.bob); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.b.client.CreateRoom(t.Context(), c.bob, client.RoomOptions{Name: "Late"}, nil); !errors.Is(err, client.ErrClosing) {
				t.Errorf("made a room: %v", err)
			}
			if _, err := c.b.client.Connect(t.Context(), c.bob, c.alice); !errors.Is(err, client.ErrAlreadyConnected) && !errors.Is(err, client.ErrClosing) {
				t.Errorf("asked somebody: %v", err)
			}
			if _, err := c.b.client.Provision(t.Context(), "bob", ""); !errors.Is(err, client.ErrClosing) {
				t.Errorf("came back: %v", err)
			}
			c.b.stop()
			c.b.start()
			defer c.driveClock()()
			if comesBack {
				c.a.set(func(g *gateway) { g.down = false })
				c.alertedAbout(c.alice, c.bob, client.ReasonPeerClosed)
			} else {
				for range 8 {
					c.clock.Advance(24 * time.Hour)
				}
			}
			c.b.await("deleted", 0, func(e *client.Event) bool { return e.Kind == client.EventDeleted && e.Account == c.bob })
			c.deleted(c.bob)
		})
	}
}

// keysOf returns the names of the rows with private keys of leaves in a room.
func (g *gateway) keysOf(room mimi.URI) (keys []string) {
	rows, err := g.stores.Client.Rows(g.w.t.Context(), room)
	if err != nil {
		g.w.t.Fatal(err)
	}
	for _, row := range rows {
		if strings.HasPrefix(row.Key, "o/") || strings.HasPrefix(row.Key, "k/") {
			keys = append(keys, row.Key)
		}
	}
	return keys
}

// TestDeletionForgetsKeys: the keys of a leaf that could not leave go with its account, also
// where others here stay in the room. These go on; and when the hub is back it hears that
// the account has left.
func TestDeletionForgetsKeys(t *testing.T) {
	c := quietCouple(t)
	ben := c.guest("ben")
	bobs, _, _ := c.b.leafOf(c.bob, c.group)
	bens, _, _ := c.b.leafOf(ben, c.group)
	own := func(leaf mls.LeafIndex) []string {
		return []string{fmt.Sprintf("o/%08x", leaf), fmt.Sprintf("k/%08x", 2*leaf)}
	}
	has := func(keys, some []string) bool {
		return slices.Contains(keys, some[0]) && slices.Contains(keys, some[1])
	}
	if keys := c.b.keysOf(c.group); !has(keys, own(bobs)) || !has(keys, own(bens)) {
		t.Fatalf("before there are keys %v", keys)
	}
	c.a.set(func(g *gateway) { g.down = true })
	if _, err := c.b.client.DeleteAccount(t.Context(), c.bob); err != nil {
		t.Fatal(err)
	}
	stop := c.driveClock()
	for range 8 {
		c.clock.Advance(24 * time.Hour)
	}
	c.b.await("deleted", 0, func(e *client.Event) bool { return e.Kind == client.EventDeleted && e.Account == c.bob })
	stop()
	keys := c.b.keysOf(c.group)
	for _, key := range own(bobs) {
		if slices.Contains(keys, key) {
			t.Errorf("the key %s is still there", key)
		}
	}
	if !has(keys, own(bens)) || len(c.b.keysOf(c.direct)) > 0 {
		t.Errorf("there are keys %v, and of the chat %v", keys, c.b.keysOf(c.direct))
	}
	c.b.stop()
	c.b.start()
	c.a.set(func(g *gateway) { g.down = false })
	defer c.driveClock()()
	c.say(ben, c.group, "still here", "a.example")
	c.say(c.alice, c.group, "and Bob", "b.example")
	c.a.await("Bob leaves", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == c.group && len(e.Removed) == 1 && e.Removed[0].User == c.bob
	})
	c.say(ben, c.group, "has left", "a.example")
}

// TestDeletionProgress is told, four times at most.
func TestDeletionProgress(t *testing.T) {
	w := newWorld(t, "a.example")
	a := w.gateways["a.example"]
	alice := a.person("alice", "")
	for i := range 12 {
		if _, _, err := a.client.CreateRoom(t.Context(), alice, client.RoomOptions{Name: fmt.Sprint(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	defer w.driveClock()()
	if _, err := a.client.DeleteAccount(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	a.await("deleted", 0, func(e *client.Event) bool { return e.Kind == client.EventDeleted && e.Total == 12 })
	if n := a.countEvents(func(e *client.Event) bool { return e.Kind == client.EventDeleting }); n > 4 {
		t.Errorf("told %d times", n)
	}
	w.deleted(alice)
}

// TestCrashWhileDeleting ends the gateway at every point at which the deletion writes,
// and starts it again: the other side is told once, and nothing is left.
func TestCrashWhileDeleting(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 9
	}
	crashed := true
	for n := 1; crashed; n += stride {
		if !t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := quietCouple(t)
			c.b.stores.Faults.Crash(n)
			s := &crashStory{world: c.world, victim: c.b}
			defer c.driveClock()()
			s.do("delete", func() error {
				_, err := c.b.client.DeleteAccount(t.Context(), c.bob)
				return except(err, client.ErrNoAccount)
			})
			s.await(c.a, "closed", func(e *client.Event) bool { return e.Reason == client.ReasonPeerClosed })
			s.await(c.b, "deleted", func(e *client.Event) bool { return e.Kind == client.EventDeleted && e.Account == c.bob })
			for _, room := range []mimi.URI{c.direct, c.group} {
				s.await(c.a, "Bob leaving", func(e *client.Event) bool {
					return e.Kind == client.EventMembers && e.Room == room && len(e.Removed) == 1
				})
			}
			crashed = s.crashed || c.b.stores.Faults.Restart()
			if n := c.a.countEvents(func(e *client.Event) bool { return e.Kind == client.EventAlert }); n != 1 {
				t.Errorf("the other side is alerted %d times", n)
			}
			c.deleted(c.bob)
		}) {
			return
		}
	}
}
