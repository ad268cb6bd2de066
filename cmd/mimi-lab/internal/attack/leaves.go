package attack

import (
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// leafAttacks bring leaves that are not everyone's, or take over a pseudonym.
func leafAttacks() []Attack {
	takeOver := func(name, what string, whose func(w *world, im *implant) *identity.PseudonymousCredentialTBS) Attack {
		return Attack{Name: name, What: what, Check: "second-leaf", Section: "1", play: func(w *world) success {
			im := w.implant(w.room)
			n := &newcomer{id: must(identity.NewLeafIdentity(identity.LeafConfig{
				Suite: w.suite, Domain: whose(w, im).Domain(), User: whose(w, im).UserPseudonym, Client: w.signer(w.eve), Random: w.random,
			}))}
			n.params = w.params(n.id)
			return w.update(w.room, im.commit(w.mallory, add(n, true)))
		}}
	}
	extra := mls.Extension{Type: 0x0a0a, Data: []byte("who I am")}
	uuid := func(u mimi.URI) string { return u.ID }
	return []Attack{
		takeOver("take-over", "adds a leaf of its own under Alice's user pseudonym", func(_ *world, im *implant) *identity.PseudonymousCredentialTBS {
			tbs, _ := im.room().Leaf(im.victimLeaf())
			return tbs
		}),
		takeOver("take-over-of-a-colleague", "adds a leaf of its own under Eve's user pseudonym", func(w *world, im *implant) *identity.PseudonymousCredentialTBS {
			return im.tbs(w.eve)
		}),
		hidden("two-people", "adds a leaf under its own pseudonym that is somebody else's", "pseudonym-two-people", "1", func(w *world, im *implant) []bend {
			return []bend{add(w.newcomer(w.stranger(), im.tbs(w.mallory).UserPseudonym, nil), true)}
		}),
		hidden("two-pseudonyms", "comes a second time, under another pseudonym", "person-two-pseudonyms", "1", func(w *world, _ *implant) []bend {
			return []bend{add(w.newcomer(w.mallory, mimi.URI{}, nil), false)}
		}),
		commits("taken-client-pseudonym", "adds somebody under a client pseudonym that is in the room", "client-pseudonym-taken", "1", func(w *world) bend {
			return func(d *draft) {
				n := w.newcomer(w.stranger(), mimi.URI{}, nil)
				n.recredential(func(c *identity.PseudonymousCredential) { c.ClientPseudonym = d.im.tbs(w.eve).ClientPseudonym })
				add(n, false)(d)
			}
		}),
		commits("same-client-pseudonym", "adds two people under one client pseudonym", "client-pseudonym-twice", "1", func(w *world) bend {
			a, b := w.newcomer(w.stranger(), mimi.URI{}, nil), w.newcomer(w.stranger(), mimi.URI{}, nil)
			b.recredential(func(c *identity.PseudonymousCredential) { c.ClientPseudonym = a.id.TBS().ClientPseudonym })
			return func(d *draft) { add(a, false)(d); add(b, false)(d) }
		}),
		commits("other-key", "adds a leaf with another signature key than its credential's", "credential-key", "2", adds(func(w *world, n *newcomer) {
			n.params.SignatureKey = must(w.suite.GenerateSignatureKey(w.random))
		})),
		commits("chosen-pseudonym", "adds a leaf whose pseudonym is not random", "pseudonym-random", "1", adds(patched(
			func(n *newcomer) string { return uuid(n.id.TBS().ClientPseudonym) },
			func(n *newcomer) string {
				id := []byte(uuid(n.id.TBS().ClientPseudonym))
				id[14] = '1'
				return string(id)
			},
		))),
		commits("two-domains", "adds a leaf whose client pseudonym is of another provider", "pseudonym-domains", "1", adds(patched(
			func(n *newcomer) string { return n.id.TBS().ClientPseudonym.Domain },
			func(n *newcomer) string { d := []byte(n.id.TBS().ClientPseudonym.Domain); d[0] = 'n'; return string(d) },
		))),
		commits("capabilities", "adds a leaf that stands out by what it supports", "leaf-capabilities", "2", adds(func(_ *world, n *newcomer) {
			slices.Reverse(n.params.Capabilities.CipherSuites)
		})),
		commits("extensions", "renews its leaf with an extension that says who it is", "leaf-extensions", "2", sameLeaf(func(l *mls.LeafParams) {
			l.Extensions = must(l.Extensions.WithComponents(mls.ComponentData{ID: 0xf00d, Data: extra.Data}))
		})),
	}
}
