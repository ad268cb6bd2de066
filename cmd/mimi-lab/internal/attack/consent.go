package attack

import (
	"net/http"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A consentDraft is an entry about consent that is about to be sent.
type consentDraft struct {
	entry    protocol.ConsentEntry
	endpoint protocol.Endpoint
	path     string
}

// consents is an attack by a request of a stranger's for Anna's consent.
func consents(name, what, check string, bend func(w *world, d *consentDraft)) Attack {
	return Attack{Name: name, What: what, Check: check, Section: "11", play: func(w *world) success {
		d := &consentDraft{
			entry: protocol.ConsentEntry{Operation: protocol.ConsentRequest, ConsentScope: protocol.ConsentScope{
				Requester: w.stranger(), Target: w.anna,
			}},
			endpoint: protocol.EndpointRequestConsent, path: w.anna.String(),
		}
		bend(w, d)
		taken := w.granted(w.send(d.endpoint, d.path, &d.entry), http.StatusCreated, "the gateway has taken the entry")
		if d.endpoint == protocol.EndpointRequestConsent && d.entry.Operation == protocol.ConsentRequest && d.entry.Target == w.anna {
			return w.asked(d.entry.Requester)
		}
		return taken
	}}
}

// consentAttacks are about consent to plain rooms.
func consentAttacks() []Attack {
	return []Attack{
		consents("consent-in-anothers-name", "asks Anna for consent in the name of another provider's user", "consent-sender", func(w *world, d *consentDraft) {
			d.entry.Requester = mimi.URI{Domain: "elsewhere.example", Kind: mimi.KindUser, ID: w.stranger().ID}
		}),
		consents("consent-of-others", "asks the victim for consent of another provider's user", "consent-receiver", func(_ *world, d *consentDraft) {
			d.entry.Target = mimi.URI{Domain: "elsewhere.example", Kind: mimi.KindUser, ID: "bob"}
			d.path = d.entry.Target.String()
		}),
		consents("grant-as-a-request", "sends a grant where requests go", "consent-endpoint", func(_ *world, d *consentDraft) {
			d.entry.Operation = protocol.ConsentGrant
			d.entry.Requester, d.entry.Target = d.entry.Target, d.entry.Requester
		}),
		consents("consent-to-another", "asks Anna on a path that names Alice", "consent-path", func(w *world, d *consentDraft) {
			d.path = w.alice.String()
		}),
		consents("consent-when-blocked", "asks Anna, who has blocked it, for consent", "consent-blocked", func(w *world, d *consentDraft) {
			asker := d.entry.Requester
			secret := append(must(wire.Marshal(&connection.Contact{Peer: asker, State: connection.Blocked})), 0) // nothing unsent
			w.check(w.victim.Store.Client().PutContact(w.ctx, &client.Contact{
				ID: asker.ID, Account: w.anna, Peer: asker, State: client.ContactBlocked, Changed: time.Now(), Secret: secret,
			}))
		}),
	}
}
