package storetest

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func closuresSuite(t *testing.T, open func(*testing.T) client.Store) {
	closure := func(of string) *client.Closure {
		return &client.Closure{Account: user(of), Since: kept, Rooms: 12, Told: 3}
	}
	checks(t, open, map[string]func(*testing.T, client.Store){
		"NotFound": func(t *testing.T, s client.Store) {
			wantError(s.Closure(t.Context(), user("alice")))(t, client.ErrNotFound)
			get(s.Closures(t.Context()))(t, nil)
			do(t, s.DeleteClosure(t.Context(), user("alice")))
			do(t, s.DeleteAccount(t.Context(), user("alice")))
		},
		// A closure needs no account: it is what stays of one.
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			precisely := closure("alice")
			precisely.Since = precise
			do(t, s.PutClosure(t.Context(), precisely))
			do(t, s.PutClosure(t.Context(), closure("anna")))
			got, err := s.Closure(t.Context(), user("alice"))
			get(got, err)(t, closure("alice"))
			wantUTC(t, got.Since)
			done := closure("alice")
			done.Told, done.Done = 12, true
			do(t, s.PutClosure(t.Context(), done))
			get(s.Closure(t.Context(), user("alice")))(t, done)
			get(s.Closure(t.Context(), user("anna")))(t, closure("anna"))
		},
		"NotDoneInOrder": func(t *testing.T, s client.Store) {
			for _, of := range []string{"b", "c", "a"} {
				do(t, s.PutClosure(t.Context(), closure(of)))
			}
			done := closure("b")
			done.Done = true
			do(t, s.PutClosure(t.Context(), done))
			get(s.Closures(t.Context()))(t, []*client.Closure{closure("a"), closure("c")})
			do(t, s.DeleteClosure(t.Context(), user("a")))
			get(s.Closures(t.Context()))(t, []*client.Closure{closure("c")})
		},
		// What belongs to an account goes with it, and nothing else.
		"DeleteAccount": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			for i, of := range []string{"alice", "anna"} {
				do(t, s.PutContact(t.Context(), &client.Contact{ID: of, Account: user(of), Peer: user("bob")}))
				do(t, s.PutRequest(t.Context(), &client.Request{Ref: [32]byte{byte(i)}, Account: user(of), Peer: user("bob")}))
				do(t, s.PutLeaf(t.Context(), &client.Leaf{Room: room("1"), Account: user(of), Index: uint32(i)}))
				do(t, s.PutOutgoing(t.Context(), &client.Outgoing{Room: room("1"), Account: user(of), Source: of}))
				do(t, s.PutClosure(t.Context(), closure(of)))
				do(t, s.SetActive(t.Context(), user(of), kept))
				do(t, s.PutFormerPseudonym(t.Context(), &client.FormerPseudonym{Account: user(of), Since: kept}))
			}
			do(t, s.DeleteAccount(t.Context(), user("alice")))
			wantError(s.Account(t.Context(), user("alice")))(t, client.ErrNotFound)
			wantError(s.Contact(t.Context(), user("alice"), user("bob")))(t, client.ErrNotFound)
			get(s.Requests(t.Context(), user("alice")))(t, nil)
			get(s.LeavesOf(t.Context(), user("alice")))(t, nil)
			wantError(s.Outgoing(t.Context(), room("1"), "alice"))(t, client.ErrNotFound)
			get(s.Closure(t.Context(), user("alice")))(t, closure("alice"))
			if n, err := s.CountActive(t.Context(), kept); err != nil || n != 1 {
				t.Errorf("%d are active, %v", n, err)
			}
			get(s.Account(t.Context(), user("anna")))(t, account("anna"))
			get(s.FormerPseudonyms(t.Context(), [32]byte{}))(t, []*client.FormerPseudonym{{Account: user("anna"), Since: kept}})
			if _, err := s.Contact(t.Context(), user("anna"), user("bob")); err != nil {
				t.Error(err)
			}
			if _, err := s.Outgoing(t.Context(), room("1"), "anna"); err != nil {
				t.Error(err)
			}
			if requests, err := s.Requests(t.Context(), user("anna")); err != nil || len(requests) != 1 {
				t.Errorf("%d requests, %v", len(requests), err)
			}
			if leaves, err := s.LeavesOf(t.Context(), user("anna")); err != nil || len(leaves) != 1 {
				t.Errorf("%d leaves, %v", len(leaves), err)
			}
		},
	})
}
