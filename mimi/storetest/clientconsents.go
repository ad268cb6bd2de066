package storetest

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func consentsSuite(t *testing.T, open func(*testing.T) client.Store) {
	consent := func(ref byte, of string) *client.Consent {
		return &client.Consent{
			Ref: [32]byte{31: ref}, Account: user(of), Peer: user("bob"), Room: room("1"),
			Side: client.ConsentOfPeer, State: client.ConsentAsked, Changed: kept, Untold: true,
		}
	}
	checks(t, open, map[string]func(*testing.T, client.Store){
		"NotFound": func(t *testing.T, s client.Store) {
			wantError(s.Consent(t.Context(), [32]byte{}))(t, client.ErrNotFound)
			get(s.Consents(t.Context(), user("alice")))(t, nil)
			get(s.UntoldConsents(t.Context()))(t, nil)
			do(t, s.DeleteConsent(t.Context(), [32]byte{}))
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			o := consent(1, "alice")
			o.Changed = precise
			do(t, s.PutConsent(t.Context(), o))
			got, err := s.Consent(t.Context(), o.Ref)
			get(got, err)(t, consent(1, "alice"))
			wantUTC(t, got.Changed)
			other := &client.Consent{
				Ref: o.Ref, Account: user("anna"), Peer: user("ben"), Side: client.ConsentOfAccount, State: client.ConsentDeclined, Changed: kept,
			}
			do(t, s.PutConsent(t.Context(), other))
			get(s.Consent(t.Context(), o.Ref))(t, other)
			get(s.Consents(t.Context(), user("alice")))(t, nil)
			get(s.UntoldConsents(t.Context()))(t, nil)
		},
		"InOrder": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			put := func(ref byte, of string, days int, untold bool) *client.Consent {
				o := consent(ref, of)
				o.Changed, o.Untold = kept.AddDate(0, 0, days), untold
				do(t, s.PutConsent(t.Context(), o))
				return o
			}
			five, three := put(5, "anna", 1, true), put(3, "alice", 2, true)
			one, two := put(1, "alice", 3, false), put(2, "alice", 1, true)
			get(s.Consents(t.Context(), user("alice")))(t, []*client.Consent{two, three, one})
			get(s.UntoldConsents(t.Context()))(t, []*client.Consent{two, three, five})
			do(t, s.DeleteConsent(t.Context(), two.Ref))
			get(s.Consents(t.Context(), user("alice")))(t, []*client.Consent{three, one})
			get(s.UntoldConsents(t.Context()))(t, []*client.Consent{three, five})
			do(t, s.DeleteAccount(t.Context(), user("alice")))
			get(s.UntoldConsents(t.Context()))(t, []*client.Consent{five})
			wantError(s.Consent(t.Context(), one.Ref))(t, client.ErrNotFound)
		},
		"UnknownAccount": func(t *testing.T, s client.Store) {
			refused(t, "a consent of nobody", s.PutConsent(t.Context(), consent(1, "alice")))
		},
	})
}
