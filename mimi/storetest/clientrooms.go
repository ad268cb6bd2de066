package storetest

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

func roomsSuite(t *testing.T, open func(*testing.T) client.Store) {
	checks(t, open, map[string]func(*testing.T, client.Store){
		"NotFound": func(t *testing.T, s client.Store) {
			wantError(s.Room(t.Context(), room("1")))(t, client.ErrNotFound)
			get(s.Rooms(t.Context()))(t, nil)
			get(s.Rows(t.Context(), room("1")))(t, nil)
			do(t, s.DeleteRows(t.Context(), room("1")))
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			r := &client.Room{URI: room("1"), Kind: client.RoomConnection, Creator: user("alice"), Secret: []byte("name")}
			do(t, s.PutRoom(t.Context(), r))
			get(s.Room(t.Context(), room("1")))(t, r)
			r = &client.Room{URI: room("1"), Kind: client.RoomGroup, Left: true}
			do(t, s.PutRoom(t.Context(), r))
			get(s.Room(t.Context(), room("1")))(t, r)
		},
		"Order": func(t *testing.T, s client.Store) {
			for _, id := range []string{"b", "a", "a-1"} {
				do(t, s.PutRoom(t.Context(), &client.Room{URI: room(id)}))
			}
			get(s.Rooms(t.Context()))(t, []*client.Room{{URI: room("a")}, {URI: room("a-1")}, {URI: room("b")}})
		},
		"Rows":       rowsChange,
		"RowsFail":   rowsAllOrNothing,
		"DeleteRows": rowsDelete,
		"RowsAliasing": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			rows := []mls.Row{{Key: "a", Value: []byte{1}}, {Key: "b", Value: []byte{1}, Secret: true}}
			do(t, s.PutRows(t.Context(), room("1"), rows))
			for range 2 {
				rows[0].Value[0], rows[1].Value[0] = 9, 9
				got, err := s.Rows(t.Context(), room("1"))
				get(got, err)(t, []mls.Row{{Key: "a", Value: []byte{1}}, {Key: "b", Value: []byte{1}, Secret: true}})
				rows = got
			}
		},
	})
}

func rowsChange(t *testing.T, s client.Store) {
	withPeople(t, s)
	do(t, s.PutRows(t.Context(), room("1"), []mls.Row{
		{Key: "tree", Value: []byte{1}},
		{Key: "epoch/0", Value: []byte{2}, Secret: true},
		{Key: "empty", Value: []byte{}},
		{Key: "empty secret", Value: []byte{}, Secret: true},
	}))
	do(t, s.PutRows(t.Context(), room("2"), []mls.Row{{Key: "tree", Value: []byte{9}}}))
	get(s.Rows(t.Context(), room("1")))(t, []mls.Row{
		{Key: "empty", Value: []byte{}},
		{Key: "empty secret", Value: []byte{}, Secret: true},
		{Key: "epoch/0", Value: []byte{2}, Secret: true},
		{Key: "tree", Value: []byte{1}},
	})
	do(t, s.PutRows(t.Context(), room("1"), []mls.Row{
		{Key: "empty"},
		{Key: "empty secret", Secret: true},
		{Key: "unknown"},
		{Key: "epoch/0", Value: []byte{3}}, // public from now on
		{Key: "tree", Value: []byte{4}, Secret: true},
	}))
	get(s.Rows(t.Context(), room("1")))(t, []mls.Row{
		{Key: "epoch/0", Value: []byte{3}}, {Key: "tree", Value: []byte{4}, Secret: true},
	})
	get(s.Rows(t.Context(), room("2")))(t, []mls.Row{{Key: "tree", Value: []byte{9}}})
	do(t, s.PutRows(t.Context(), room("1"), nil))
}

func rowsAllOrNothing(t *testing.T, s client.Store) {
	refused(t, "a row of no room", s.PutRows(t.Context(), room("1"), []mls.Row{{Key: "a", Value: []byte{1}}}))
	get(s.Rows(t.Context(), room("1")))(t, nil)
}

func rowsDelete(t *testing.T, s client.Store) {
	withPeople(t, s)
	for _, id := range []string{"1", "2"} {
		do(t, s.PutRows(t.Context(), room(id), []mls.Row{{Key: "a", Value: []byte{1}, Secret: true}, {Key: "b", Value: []byte{2}}}))
		do(t, s.PutLeaf(t.Context(), &client.Leaf{Room: room(id), Account: user("alice")}))
		do(t, s.PutMember(t.Context(), &client.Member{Room: room(id)}))
	}
	do(t, s.DeleteRows(t.Context(), room("1")))
	get(s.Rows(t.Context(), room("1")))(t, nil)
	get(s.Leaves(t.Context(), room("1")))(t, nil)
	get(s.Members(t.Context(), room("1")))(t, nil)
	if _, err := s.Room(t.Context(), room("1")); err != nil {
		t.Errorf("the room itself is gone: %v", err)
	}
	get(s.Rows(t.Context(), room("2")))(t, []mls.Row{{Key: "a", Value: []byte{1}, Secret: true}, {Key: "b", Value: []byte{2}}})
	get(s.LeavesOf(t.Context(), user("alice")))(t, []*client.Leaf{{Room: room("2"), Account: user("alice")}})
	get(s.Members(t.Context(), room("2")))(t, []*client.Member{{Room: room("2")}})
}

func leavesSuite(t *testing.T, open func(*testing.T) client.Store) {
	leaf := func(id, of string, index uint32) *client.Leaf {
		return &client.Leaf{Room: room(id), Account: user(of), Index: index, State: client.LeafInvited, AddedBy: user("bob")}
	}
	checks(t, open, map[string]func(*testing.T, client.Store){
		"Empty": func(t *testing.T, s client.Store) {
			get(s.Leaves(t.Context(), room("1")))(t, nil)
			get(s.LeavesOf(t.Context(), user("alice")))(t, nil)
			do(t, s.DeleteLeaf(t.Context(), room("1"), user("alice")))
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			do(t, s.PutLeaf(t.Context(), leaf("1", "alice", 1)))
			get(s.Leaves(t.Context(), room("1")))(t, []*client.Leaf{leaf("1", "alice", 1)})
			other := &client.Leaf{Room: room("1"), Account: user("alice"), Index: 1<<32 - 1, State: client.LeafLeaving}
			do(t, s.PutLeaf(t.Context(), other))
			get(s.Leaves(t.Context(), room("1")))(t, []*client.Leaf{other})
		},
		"OrderAndDelete": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			do(t, s.PutLeaf(t.Context(), leaf("2", "alice", 10)))
			do(t, s.PutLeaf(t.Context(), leaf("1", "alice", 10)))
			do(t, s.PutLeaf(t.Context(), leaf("1", "anna", 9)))
			get(s.Leaves(t.Context(), room("1")))(t, []*client.Leaf{leaf("1", "anna", 9), leaf("1", "alice", 10)})
			get(s.LeavesOf(t.Context(), user("alice")))(t, []*client.Leaf{leaf("1", "alice", 10), leaf("2", "alice", 10)})
			do(t, s.DeleteLeaf(t.Context(), room("1"), user("alice")))
			get(s.Leaves(t.Context(), room("1")))(t, []*client.Leaf{leaf("1", "anna", 9)})
			get(s.LeavesOf(t.Context(), user("alice")))(t, []*client.Leaf{leaf("2", "alice", 10)})
		},
		"Unknown": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			refused(t, "a leaf in no room", s.PutLeaf(t.Context(), leaf("3", "alice", 1)))
			refused(t, "a leaf of nobody", s.PutLeaf(t.Context(), leaf("1", "carol", 1)))
		},
	})
}

func membersSuite(t *testing.T, open func(*testing.T) client.Store) {
	member := func(id string, index uint32) *client.Member {
		return &client.Member{
			Room: room(id), Index: index, UserPseudonym: user("p1"), ClientPseudonym: device("p2"),
			User: user("bob"), Client: device("bob"), NotAfter: kept, CommittedBy: 7,
		}
	}
	checks(t, open, map[string]func(*testing.T, client.Store){
		"Empty": func(t *testing.T, s client.Store) {
			get(s.Members(t.Context(), room("1")))(t, nil)
			do(t, s.DeleteMember(t.Context(), room("1"), 0))
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			m := member("1", 1)
			m.NotAfter = precise
			do(t, s.PutMember(t.Context(), m))
			got, err := s.Members(t.Context(), room("1"))
			get(got, err)(t, []*client.Member{member("1", 1)})
			wantUTC(t, got[0].NotAfter)
			quarantined := &client.Member{Room: room("1"), Index: 1, UserPseudonym: user("p3"), ClientPseudonym: device("p4"), CommittedBy: 1<<32 - 1}
			do(t, s.PutMember(t.Context(), quarantined))
			get(s.Members(t.Context(), room("1")))(t, []*client.Member{quarantined})
		},
		"OrderAndDelete": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			for _, index := range []uint32{10, 1<<32 - 1, 9} {
				do(t, s.PutMember(t.Context(), member("1", index)))
			}
			do(t, s.PutMember(t.Context(), member("2", 9)))
			get(s.Members(t.Context(), room("1")))(t, []*client.Member{member("1", 9), member("1", 10), member("1", 1<<32-1)})
			do(t, s.DeleteMember(t.Context(), room("1"), 9))
			get(s.Members(t.Context(), room("1")))(t, []*client.Member{member("1", 10), member("1", 1<<32-1)})
			get(s.Members(t.Context(), room("2")))(t, []*client.Member{member("2", 9)})
		},
		"Behind": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			get(s.MembersBehind(t.Context(), user("p1"), device("p2")))(t, nil)
			other := func(id string, index uint32, user, device mimi.URI) *client.Member {
				m := member(id, index)
				m.UserPseudonym, m.ClientPseudonym = user, device
				do(t, s.PutMember(t.Context(), m))
				return m
			}
			second := other("2", 3, user("p1"), device("p9"))
			tenth := other("1", 10, user("p8"), device("p2"))
			ninth := other("1", 9, user("p1"), device("p2"))
			other("2", 4, user("p8"), device("p9"))
			other("1", 11, user("p2"), device("p1"))
			get(s.MembersBehind(t.Context(), user("p1"), device("p2")))(t, []*client.Member{ninth, tenth, second})
			get(s.MembersBehind(t.Context(), user("p3"), device("p3")))(t, nil)
			do(t, s.DeleteMember(t.Context(), room("1"), 9))
			do(t, s.DeleteRows(t.Context(), room("2")))
			get(s.MembersBehind(t.Context(), user("p1"), device("p2")))(t, []*client.Member{tenth})
		},
		"Unknown": func(t *testing.T, s client.Store) {
			refused(t, "a member of no room", s.PutMember(t.Context(), member("3", 1)))
		},
	})
}
