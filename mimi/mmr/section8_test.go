package mmr_test

import (
	"cmp"
	"errors"
	"maps"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
)

// The tests of this file are those of the rows of docs/mmr-profile.md, section 8,
// that are checked with the rules of this package: for the members who receive a
// Commit, for the adder who makes it, and for the joiner who is shown the room.

func TestRowLeavesMembers(t *testing.T)         { membersRefuse(t, mmrtest.RowLeaves) }
func TestRowSecondLeafMembers(t *testing.T)     { membersRefuse(t, mmrtest.RowSecondLeaf) }
func TestRowAddAADMembers(t *testing.T)         { membersRefuse(t, mmrtest.RowAddAAD) }
func TestRowRolesMembers(t *testing.T)          { membersRefuse(t, mmrtest.RowRoles) }
func TestRowProposalsMembers(t *testing.T)      { membersRefuse(t, mmrtest.RowProposals) }
func TestRowConnectionRoomMembers(t *testing.T) { membersRefuse(t, mmrtest.RowConnectionRoom) }

func TestRowLeavesAdder(t *testing.T)     { adderRefuses(t, mmrtest.RowLeaves) }
func TestRowSecondLeafAdder(t *testing.T) { adderRefuses(t, mmrtest.RowSecondLeaf) }
func TestRowAddAADAdder(t *testing.T)     { adderRefuses(t, mmrtest.RowAddAAD) }
func TestRowRolesAdder(t *testing.T)      { adderRefuses(t, mmrtest.RowRoles) }
func TestRowProposalsAdder(t *testing.T)  { adderRefuses(t, mmrtest.RowProposals) }
func TestRowJoinPSKAdder(t *testing.T)    { adderRefuses(t, mmrtest.RowJoinPSK) }

// TestRowJoinPSKMembers: beside what the hub can see of the PSK, members notice
// that a joiner does not know the wrapper key. None of them moves.
func TestRowJoinPSKMembers(t *testing.T) {
	membersRefuse(t, mmrtest.RowJoinPSK)
	t.Run("a joiner knows the newest wrapper key", func(t *testing.T) {
		hub := mmrtest.NewPublicHub()
		w := mmrtest.New(t, hub, mmrtest.GroupPolicy(), alice)
		mmrtest.Trio(w)
		poisoned := w.Join(dave, mmrtest.Ignorant)
		if err := poisoned.Send(); err != nil {
			t.Fatalf("the hub cannot know: %v", err)
		}
		for _, domain := range []string{"a.example", "b.example", "c.example"} {
			if err := w.MemberRefuses(domain, poisoned.Message()); !errors.Is(err, mls.ErrConfirmationTag) {
				t.Errorf("%s says %v, want %v", domain, err, mls.ErrConfirmationTag)
			}
			if epoch := w.Nodes[domain].Group.Epoch(); epoch+1 != hub.Group.Epoch() {
				t.Errorf("%s is in epoch %d, the hub in %d", domain, epoch, hub.Group.Epoch())
			}
		}
	})
}

// membersRefuse: hub and members refuse the same Commits for the same reason, and
// are as they were.
func membersRefuse(t *testing.T, row mmrtest.Row) {
	eachCase(t, row, func(t *testing.T, c mmrtest.Case) {
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

// adderRefuses: who keeps to the rules does not make such a Commit.
func adderRefuses(t *testing.T, row mmrtest.Row) {
	eachCase(t, row, func(t *testing.T, c mmrtest.Case) {
		w := mmrtest.New(t, nil, c.RoomPolicy(), alice)
		c.Room(w)
		w.Obedient = true
		if a := c.Make(w); !errors.Is(a.Refused, c.Want) {
			t.Errorf("the committer says %v, want %v", a.Refused, c.Want)
		}
		w.Obedient = false
		w.Check()
	})
}

// TestRowLeavesJoiner: whoever is let into a room refuses it for the leaves that
// hub and members refuse one by one.
func TestRowLeavesJoiner(t *testing.T) {
	eachCase(t, mmrtest.RowLeaves, func(t *testing.T, c mmrtest.Case) {
		want := cmp.Or(c.Joiner, c.Want)
		w := mmrtest.New(t, nil, c.RoomPolicy(), alice)
		c.Room(w)
		a := c.Make(w)
		if err := a.Open(); !errors.Is(err, want) {
			t.Errorf("the joiner says %v, want %v", err, want)
		}
		a.Drop()
	})
}

func eachCase(t *testing.T, row mmrtest.Row, test func(*testing.T, mmrtest.Case)) {
	t.Helper()
	cases := mmrtest.CasesOf(row)
	if len(cases) < 2 {
		t.Fatalf("row %s has %d cases", row, len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}
