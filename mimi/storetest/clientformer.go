package storetest

import (
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func formerSuite(t *testing.T, open func(*testing.T) client.Store) {
	former := func(of string, pseudonym, room byte) *client.FormerPseudonym {
		return &client.FormerPseudonym{Account: user(of), Pseudonym: [32]byte{pseudonym}, Room: [32]byte{room}, Since: kept}
	}
	put := func(t *testing.T, s client.Store, all ...*client.FormerPseudonym) {
		t.Helper()
		for _, f := range all {
			do(t, s.PutFormerPseudonym(t.Context(), f))
		}
	}
	checks(t, open, map[string]func(*testing.T, client.Store){
		"Empty": func(t *testing.T, s client.Store) {
			get(s.FormerPseudonyms(t.Context(), [32]byte{1}))(t, nil)
			do(t, s.DeleteFormerPseudonym(t.Context(), user("alice"), [32]byte{1}, [32]byte{2}))
			do(t, s.TrimFormerPseudonyms(t.Context(), user("alice"), 1))
			do(t, s.ForgetFormerPseudonyms(t.Context(), kept))
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			first := former("alice", 1, 1)
			first.Since = kept.Add(-time.Hour)
			again := former("alice", 1, 1)
			again.Since = precise
			put(t, s, first, again)
			got, err := s.FormerPseudonyms(t.Context(), [32]byte{1})
			get(got, err)(t, []*client.FormerPseudonym{former("alice", 1, 1)})
			wantUTC(t, got[0].Since)
		},
		"OrderAndDelete": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			put(t, s, former("anna", 1, 1), former("alice", 1, 2), former("alice", 1, 1), former("alice", 2, 1))
			get(s.FormerPseudonyms(t.Context(), [32]byte{1}))(t, []*client.FormerPseudonym{former("alice", 1, 1), former("alice", 1, 2), former("anna", 1, 1)})
			do(t, s.DeleteFormerPseudonym(t.Context(), user("alice"), [32]byte{1}, [32]byte{1}))
			get(s.FormerPseudonyms(t.Context(), [32]byte{1}))(t, []*client.FormerPseudonym{former("alice", 1, 2), former("anna", 1, 1)})
			get(s.FormerPseudonyms(t.Context(), [32]byte{2}))(t, []*client.FormerPseudonym{former("alice", 2, 1)})
		},
		// The newest stay, and of several with one time as many as fit.
		"Trim": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			left := func(of string, want ...byte) {
				t.Helper()
				var have []byte
				for p := range byte(8) {
					all, err := s.FormerPseudonyms(t.Context(), [32]byte{p})
					do(t, err)
					for _, f := range all {
						if f.Account == user(of) {
							have = append(have, p)
						}
					}
				}
				if string(have) != string(want) {
					t.Errorf("%s: %v are left, want %v", of, have, want)
				}
			}
			put(t, s, former("anna", 1, 1))
			for p := byte(7); p > 0; p-- {
				f := former("alice", p, 1)
				if p == 1 {
					f.Since = kept.Add(time.Hour)
				}
				put(t, s, f)
			}
			do(t, s.TrimFormerPseudonyms(t.Context(), user("alice"), 7))
			left("alice", 1, 2, 3, 4, 5, 6, 7)
			do(t, s.TrimFormerPseudonyms(t.Context(), user("alice"), 3))
			left("alice", 1, 6, 7)
			do(t, s.TrimFormerPseudonyms(t.Context(), user("alice"), 0))
			left("alice")
			left("anna", 1)
		},
		"Forget": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			old := former("alice", 1, 1)
			old.Since = kept.Add(-time.Millisecond)
			put(t, s, old, former("alice", 1, 2))
			do(t, s.ForgetFormerPseudonyms(t.Context(), kept))
			get(s.FormerPseudonyms(t.Context(), [32]byte{1}))(t, []*client.FormerPseudonym{former("alice", 1, 2)})
		},
		"Unknown": func(t *testing.T, s client.Store) {
			refused(t, "a pseudonym that nobody has seen", s.PutFormerPseudonym(t.Context(), former("carol", 1, 1)))
		},
	})
}
