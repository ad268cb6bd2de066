package attack

import (
	"bytes"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// commits is an attack by which Mallory, a member, sends a bad Commit to the
// victim's hub.
func commits(name, what, check, section string, bends ...func(w *world) bend) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		return w.update(w.room, w.implant(w.room).commit(w.mallory, each(w, bends)...))
	}}
}

func each(w *world, bends []func(w *world) bend) []bend {
	var out []bend
	for _, b := range bends {
		out = append(out, b(w))
	}
	return out
}

// plain is a bend that needs no world.
func plain(b bend) func(*world) bend { return func(*world) bend { return b } }

// adds adds somebody new, after a change of the leaf.
func adds(changes ...func(w *world, n *newcomer)) func(*world) bend {
	return func(w *world) bend {
		n := w.newcomer(w.stranger(), mimi.URI{}, nil)
		for _, change := range changes {
			change(w, n)
		}
		return add(n, false)
	}
}

// stranger is a user of the attacker's whom nobody has seen.
func (w *world) stranger() mimi.URI {
	return must(mimi.UserURI(w.evil.Domain, "s"+must(mimi.NewID(w.evil.Domain, mimi.KindUser, w.random)).ID[:8]))
}

// patched replaces octets in the encoded credential of a leaf.
func patched(old, with func(n *newcomer) string) func(*world, *newcomer) {
	return func(_ *world, n *newcomer) {
		n.params.Credential.Body = bytes.Replace(n.params.Credential.Body, []byte(old(n)), []byte(with(n)), 1)
	}
}

// sameLeaf gives the committer's leaf another form under the same credential.
func sameLeaf(change func(l *mls.LeafParams)) func(*world) bend {
	return plain(func(d *draft) {
		m, _ := d.im.group.View().Member(d.from)
		key, _ := d.im.group.SignatureKey(d.from)
		params := mls.LeafParams{
			Credential: m.Leaf.Credential, Capabilities: identity.Capabilities(), Extensions: slices.Clone(m.Leaf.Extensions), SignatureKey: key,
		}
		change(&params)
		d.commit.NewLeaf = &params
	})
}

func tableAttacks() []Attack {
	return slices.Concat(entryAttacks(), leafAttacks(), proposalAttacks(), requestAttacks(), rotationAttacks(), policyAttacks())
}

// entryAttacks bend the AddAAD.
func entryAttacks() []Attack {
	lastEntry := func(change func(e *identity.EncryptedIdentityLinkKey) *identity.EncryptedIdentityLinkKey) func(*world) bend {
		return plain(func(d *draft) {
			e := *d.entries[len(d.entries)-1]
			d.entries[len(d.entries)-1] = change(&e)
		})
	}
	own := plain(func(d *draft) { d.entries = append(d.entries, d.entries[len(d.entries)-1]) })
	return []Attack{
		commits("extra-entries", "brings more entries than Adds and the own leaf", "entry-count", "3", adds(), own, own),
		commits("dropped-entry", "leaves out the entry of one of two Adds", "entry-count", "3", adds(), adds(),
			plain(func(d *draft) { d.entries = d.entries[:1] })),
		commits("empty-add-aad", "sends an AddAAD without entries", "add-aad-empty", "3", plain(func(d *draft) { d.emptyAAD = true })),
		commits("no-own-entry", "takes a new credential and leaves the entry of the old one in the table", "own-entry-missing", "3", func(w *world) bend {
			return func(d *draft) {
				renew(w.newcomer(w.mallory, d.im.tbs(w.mallory).UserPseudonym, nil))(d)
				d.entries = nil
			}
		}),
		commits("own-entry-without-path", "renews its entry in a Commit that renews no key", "own-entry-forbidden", "3", adds(), own,
			plain(func(d *draft) { d.commit.NoPath = true })),
		commits("future-generation", "wraps an entry under a generation that nobody has", "entry-generation", "3", adds(),
			lastEntry(func(e *identity.EncryptedIdentityLinkKey) *identity.EncryptedIdentityLinkKey {
				e.Generation++
				return e
			})),
		commits("absent-entry", "adds somebody whom nobody can identify, where the policy is all", "entry-required", "6", adds(),
			lastEntry(func(*identity.EncryptedIdentityLinkKey) *identity.EncryptedIdentityLinkKey { return nil })),
		hidden("permuted-entries", "exchanges the entries of two Adds, which a hub cannot see", "entry-opens", "8", func(w *world, _ *implant) []bend {
			return []bend{adds()(w), adds()(w), func(d *draft) { slices.Reverse(d.entries) }}
		}),
		commits("sibling-proof-of-a-member", "puts what belongs into external Commits into its own", "joiners-component", "3",
			plain(func(d *draft) { d.safe = mls.SafeAAD{{ID: identity.ComponentSiblingProof, Data: []byte{0}}} })),
		commits("name-of-another-generation", "encrypts the room's name under a generation that nobody has", "metadata-generation", "3",
			plain(func(d *draft) {
				key := d.im.ring.Newest()
				key.Generation++
				propose(d.im.name(key, "a name that nobody can read"))(d)
			})),
	}
}

// hidden is an attack that a hub cannot see: Mallory brings people in under names
// that are not theirs. It is played in a room of its own, in which nothing is sent
// any more afterwards, since somebody in it is not verified.
func hidden(name, what, check, section string, bends func(w *world, im *implant) []bend) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		target := w.gather(w.victim, w.alice, w.mallory, w.eve)
		im := w.implant(target)
		begin := time.Now().Truncate(time.Millisecond) // as precise as the hub's times
		w.update(target, im.commit(w.mallory, bends(w, im)...))
		return func() string {
			if w.victim.Count(w.arrivals(target, begin)) > 0 {
				return "Alice is shown a name that is not theirs"
			}
			return ""
		}
	}}
}

// arrivals are events that tell Alice of people who came into a room since, all of
// them by name.
func (w *world) arrivals(uri mimi.URI, since time.Time) func(*client.Event) bool {
	return func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == uri && len(e.Added) > 0 && !e.Time.Before(since) &&
			!slices.ContainsFunc(e.Added, func(p client.Person) bool { return p.User.IsZero() })
	}
}
