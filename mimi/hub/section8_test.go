package hub_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
)

// The tests of this file are the hub's of the rows of docs/mmr-profile.md, section 8.

func TestRowLeavesHub(t *testing.T)         { hubRefuses(t, mmrtest.RowLeaves) }
func TestRowSecondLeafHub(t *testing.T)     { hubRefuses(t, mmrtest.RowSecondLeaf) }
func TestRowAddAADHub(t *testing.T)         { hubRefuses(t, mmrtest.RowAddAAD) }
func TestRowRolesHub(t *testing.T)          { hubRefuses(t, mmrtest.RowRoles) }
func TestRowProposalsHub(t *testing.T)      { hubRefuses(t, mmrtest.RowProposals) }
func TestRowJoinPSKHub(t *testing.T)        { hubRefuses(t, mmrtest.RowJoinPSK) }
func TestRowConnectionRoomHub(t *testing.T) { hubRefuses(t, mmrtest.RowConnectionRoom) }

// hubRefuses: each rule that everyone can check has its answer, and a rejected
// Commit leaves everything as it is (T15).
func hubRefuses(t *testing.T, row mmrtest.Row) {
	cases := mmrtest.CasesOf(row)
	if len(cases) < 2 {
		t.Fatalf("row %s has %d cases", row, len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			w := start(t, hub.Limits{})
			w.Found(c.RoomPolicy(), alice)
			c.Room(w.World)
			w.refused(c.Make(w.World), func(err error) {
				switch c.Answer {
				case mmrtest.RemovalPending:
					wantRemovalPending(t, err)
				case mmrtest.InvalidProposal:
					wantInvalid(t, err, c.Want.Error())
				default:
					wantNotAllowed(t, err, c.Want.Error())
				}
			})
		})
	}
}

// withInfo changes what the public GroupInfo of a Commit says.
func withInfo(f func(*mmrtest.Info)) mmrtest.Bend { return func(d *mmrtest.Draft) { d.Info = f } }

// TestRowGroupInfoHub: wrapper keys are in no public GroupInfo, and 0x8D47 is that
// of the table.
func TestRowGroupInfoHub(t *testing.T) {
	add := mmrtest.Add(dave)
	refusedRequests(t, []refusedRequest{
		{"no 0x8D41 in a public GroupInfo", identity.ErrLeakedKeys.Error(), []mmrtest.Bend{add, withInfo(func(i *mmrtest.Info) {
			i.Others = i.Others.With(identity.ComponentWrapperKeys, []byte("keys"))
		})}},
		{"0x8D47 has the hash of the table", identity.ErrLinkState.Error() + ": hash of another table", []mmrtest.Bend{add, withInfo(func(i *mmrtest.Info) {
			i.State.TableHash[0] ^= 1
		})}},
		{"0x8D47 has the newest generation", identity.ErrLinkState.Error() + ": newest generation 9, want 0", []mmrtest.Bend{add, withInfo(func(i *mmrtest.Info) {
			i.State.NewestGeneration = 9
		})}},
		{"0x8D47 has the generation that the Commit begins", identity.ErrLinkState.Error() + ": newest generation 0, want 2", []mmrtest.Bend{
			func(d *mmrtest.Draft) {
				d.Commit.Proposals = append(d.Commit.Proposals, &mls.Remove{Removed: d.W.Leaf(carol)})
				d.Unlist(carol)
			}, withInfo(func(i *mmrtest.Info) { i.State.NewestGeneration = 0 }),
		}},
		{"every GroupInfo has 0x8D47", identity.ErrLinkState.Error() + ": the GroupInfo has none", []mmrtest.Bend{withInfo(func(i *mmrtest.Info) { i.State = nil })}},
	})
}

// TestRowPeerHub: the domain of a pseudonym is that of the TLS peer who sends in its
// name.
func TestRowPeerHub(t *testing.T) {
	t.Run("the committer's domain is the TLS peer's", func(t *testing.T) {
		w := trio(t)
		a := w.Make(bob)
		a.From = "c.example"
		w.refused(a, func(err error) { wantNotAllowed(t, err, "another provider") })
	})
	t.Run("a joiner's domain is the TLS peer's", func(t *testing.T) {
		w := trio(t)
		a := w.Join(dave)
		a.From = "b.example"
		w.refused(a, func(err error) { wantNotAllowed(t, err, "another provider") })
	})
	t.Run("a proposer's domain is the TLS peer's", func(t *testing.T) {
		w := trio(t)
		req := w.MakeProposals(bob, w.Leave(bob)...)
		_, err := w.hub.Update(t.Context(), "c.example", w.Room, mmrtest.Again(t, req))
		wantNotAllowed(t, err, "another provider")
	})
}
