package mapping_test

import (
	"sync"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
)

func person(name string) mimi.URI {
	return mimi.URI{Domain: "beta.example", Kind: mimi.KindUser, ID: name}
}

// wantGhost checks whose ghost an id is.
func wantGhost(t *testing.T, b *mapping.Bridge, id string, wantRoom, wantUser mimi.URI) {
	t.Helper()
	room, user, err := b.GhostOwner(t.Context(), id)
	if err != nil || room != wantRoom || user != wantUser {
		t.Errorf("ghost %q is of %v in %v (%v), and should be of %v in %v", id, user, room, err, wantUser, wantRoom)
	}
}

// bridgeSuite is what package bridge expects of its store.
func bridgeSuite(t *testing.T, open func(t testing.TB) *mapping.Bridge) {
	t.Run("a ghost keeps its id", func(t *testing.T) {
		b := open(t)
		for range 2 {
			id, err := b.Ghost(t.Context(), mimi.URI{}, person("bob"), "fresh")
			if err != nil || id != "fresh" {
				t.Fatalf("got %q, %v", id, err)
			}
		}
		if id, err := b.Ghost(t.Context(), mimi.URI{}, person("bob"), "other"); err != nil || id != "fresh" {
			t.Errorf("the second time it is %q (%v)", id, err)
		}
		wantGhost(t, b, "fresh", mimi.URI{}, person("bob"))
		wantGhost(t, b, "other", mimi.URI{}, mimi.URI{})
	})
	t.Run("a pseudonym has a ghost in its room alone", func(t *testing.T) {
		b := open(t)
		// A pseudonym may look like somebody's address.
		for id, in := range map[string]mimi.URI{"person": {}, "first": room("1"), "second": room("2")} {
			if got, err := b.Ghost(t.Context(), in, person("x"), id); err != nil || got != id {
				t.Errorf("got %q, %v; want %q", got, err, id)
			}
		}
		wantGhost(t, b, "second", room("2"), person("x"))
	})
	t.Run("concurrent callers agree", func(t *testing.T) {
		b := open(t)
		ids := make([]string, 8)
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() {
				var err error
				if ids[i], err = b.Ghost(t.Context(), mimi.URI{}, person("bob"), string(rune('a'+i))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Errorf("there are ghosts %q", ids)
			}
		}
	})
	t.Run("links", func(t *testing.T) { linkSuite(t, open(t)) })
	t.Run("requests", func(t *testing.T) { requestSuite(t, open(t)) })
	t.Run("revisions", func(t *testing.T) {
		b := open(t)
		version, first, liked := [32]byte{1}, [32]byte{2}, [32]byte{3}
		for range 2 {
			if err := b.PutRevision(t.Context(), room("1"), version, first, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.PutRevision(t.Context(), room("1"), liked, first, "👍"); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			room     mimi.URI
			id       [32]byte
			first    [32]byte
			reaction string
		}{
			{room("1"), version, first, ""},
			{room("1"), liked, first, "👍"},
			{room("2"), version, [32]byte{}, ""},
			{room("1"), first, [32]byte{}, ""},
		} {
			got, reaction, err := b.Revision(t.Context(), test.room, test.id)
			if err != nil || got != test.first || reaction != test.reaction {
				t.Errorf("%x in %v is %x, %q (%v)", test.id[:1], test.room, got[:1], reaction, err)
			}
		}
	})
}

func linkSuite(t *testing.T, b *mapping.Bridge) {
	link := func(in, pseudonym, user mimi.URI, wantBefore, wantAfter string) {
		t.Helper()
		before, after, err := b.LinkGhost(t.Context(), in, pseudonym, user)
		if err != nil || before != wantBefore || after != wantAfter {
			t.Errorf("%v is %v: got %q, %q (%v); want %q, %q", pseudonym, user, before, after, err, wantBefore, wantAfter)
		}
	}
	link(room("1"), person("x"), person("bob"), "", "")
	if _, err := b.Ghost(t.Context(), room("1"), person("x"), "g1"); err != nil {
		t.Fatal(err)
	}
	link(room("1"), person("x"), person("bob"), "g1", "g1")
	wantGhost(t, b, "g1", mimi.URI{}, person("bob"))
	link(room("1"), person("x"), person("bob"), "", "g1") // repeated
	if _, err := b.Ghost(t.Context(), room("2"), person("y"), "g2"); err != nil {
		t.Fatal(err)
	}
	link(room("2"), person("y"), person("bob"), "g2", "g1")
	wantGhost(t, b, "g2", room("2"), person("y"))
}

func requestSuite(t *testing.T, b *mapping.Bridge) {
	alice := mimi.URI{Domain: "alpha.example", Kind: mimi.KindUser, ID: "alice"}
	ref := [32]byte{7}
	want := func(mxid string) {
		t.Helper()
		if got, err := b.RequestRoom(t.Context(), ref); err != nil || got != mxid {
			t.Errorf("the room of the request is %q (%v)", got, err)
		}
		got, of, err := b.RequestOf(t.Context(), alice, person("bob"))
		if err != nil || of != mxid || (got == ref) != (mxid != "") {
			t.Errorf("the request of Bob is %x in %q (%v)", got[:1], of, err)
		}
		in, account, peer, err := b.RequestIn(t.Context(), "!1:x")
		if known := mxid == "!1:x"; err != nil || (in == ref) != known || (account == alice) != known || (peer == person("bob")) != known {
			t.Errorf("the request in the room is %x of %v to %v (%v)", in[:1], peer, account, err)
		}
	}
	want("")
	for range 2 {
		if err := b.PutRequestRoom(t.Context(), ref, alice, person("bob"), "!1:x"); err != nil {
			t.Fatal(err)
		}
	}
	want("!1:x")
	if _, mxid, err := b.RequestOf(t.Context(), alice, person("ben")); err != nil || mxid != "" {
		t.Errorf("Ben's request is in %q (%v)", mxid, err)
	}
	for range 2 {
		if err := b.DeleteRequestRoom(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	want("")
}

func TestBridge(t *testing.T) {
	bridgeSuite(t, func(t testing.TB) *mapping.Bridge { return open(t).Bridge() })
}
