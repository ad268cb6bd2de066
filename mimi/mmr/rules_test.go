package mmr_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
)

const (
	alice = mmrtest.Alice
	bob   = mmrtest.Bob
	carol = mmrtest.Carol
	dave  = mmrtest.Dave
)

// TestRefused: hub and members refuse the same Commits for the same reason, and are
// as they were (docs/mmr-profile.md, sections 1, 2, 3, 6 and 8).
func TestRefused(t *testing.T) {
	for _, c := range mmrtest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			hub := mmrtest.NewPublicHub()
			w := mmrtest.New(t, hub, c.RoomPolicy(), alice)
			c.Room(w)
			stored, epoch := maps.Clone(hub.Rows), hub.Group.Epoch()
			a := c.Make(w)
			atHub := a.Send()
			if !errors.Is(atHub, c.Want) {
				t.Errorf("the hub says %v, want %v", atHub, c.Want)
			}
			if !maps.EqualFunc(stored, hub.Rows, func(x, y []byte) bool { return string(x) == string(y) }) || hub.Group.Epoch() != epoch {
				t.Error("the hub has changed")
			}
			for domain, n := range w.Nodes {
				if n.Group == nil || domain == a.From {
					continue
				}
				if err := w.MemberRefuses(domain, a.Message()); err == nil || atHub == nil || err.Error() != atHub.Error() {
					t.Errorf("%s says %v, the hub %v", domain, err, atHub)
				}
			}
			a.Drop()
			w.Check()
		})
	}
}
