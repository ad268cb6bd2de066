package attack

import (
	"bytes"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
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
		{
			Name: "permuted-entries", What: "exchanges the entries of two Adds, which a hub cannot see",
			Check: "entry-opens", Section: "8", play: func(w *world) success {
				target := w.gather(w.victim, w.alice, w.mallory)
				before := w.victim.Count(w.arrivals(target))
				req := w.implant(target).commit(w.mallory, adds()(w), adds()(w), func(d *draft) { slices.Reverse(d.entries) })
				w.update(target, req)
				return func() string {
					if w.victim.Count(w.arrivals(target)) >= before+2 {
						return "Alice is shown both, by name"
					}
					return ""
				}
			},
		},
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

// arrivals counts people who came into a room and whom Alice knows by name.
func (w *world) arrivals(uri mimi.URI) func(*client.Event) bool {
	return func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == uri && slices.ContainsFunc(e.Added, func(p client.Person) bool { return !p.User.IsZero() })
	}
}

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

// proposalAttacks use proposals that are not legal, or not legal so.
func proposalAttacks() []Attack {
	alone := func(name, what, check string, body func(w *world, im *implant) mls.ProposalBody) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "3", play: func(w *world) success {
			im := w.implant(w.room)
			m, _, err := im.group.Propose(w.ctx, im.own[w.mallory], body(w, im), mls.AuthenticatedData{})
			w.check(err)
			return w.update(w.room, &protocol.UpdateRequest{ProposalOrCommit: mls.MLSMessage{PublicMessage: m}})
		}}
	}
	return []Attack{
		commits("group-context-extensions", "sets the GroupContext anew", "proposal-type", "3", plain(func(d *draft) {
			propose(&mls.GroupContextExtensions{Extensions: d.im.group.View().Context().Extensions})(d)
		})),
		commits("psk-of-a-member", "injects a PSK that only joiners use", "joiners-proposal", "3", plain(func(d *draft) {
			propose(&mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: identity.JoinPSKID(0)}})(d)
		})),
		alone("add-by-reference", "proposes an Add that somebody else would have to make the entry of", "add-by-reference", func(w *world, _ *implant) mls.ProposalBody {
			return &mls.Add{KeyPackage: *w.keyPackage(w.newcomer(w.stranger(), mimi.URI{}, nil))}
		}),
		alone("name-by-reference", "proposes a name that somebody else would have to encrypt", "component-by-reference", func(_ *world, im *implant) mls.ProposalBody {
			return im.name(im.ring.Newest(), "another name")
		}),
		commits("removal-by-a-member", "removes Eve without being an administrator", "room-capability", "8", func(w *world) bend {
			return func(d *draft) { remove(d.im.own[w.eve])(d) }
		}),
		commits("unlisted-leaf", "adds a leaf that is in no participant list", "room-not-participant", "3", func(w *world) bend {
			n := w.newcomer(w.stranger(), mimi.URI{}, nil)
			return add(n, true)
		}),
		commits("plain-name", "names the room in the clear", "room-plain-metadata", "3", plain(func(d *draft) {
			data := must(wire.Marshal(&room.RoomMetadata{URI: d.im.uri.String(), Name: "a secret name"}))
			propose(update(mls.ComponentID(room.ComponentRoomMetadata), data))(d)
		})),
	}
}

// requestAttacks bend what comes with a Commit.
func requestAttacks() []Attack {
	info := func(change func(i *infoDraft)) func(*world) bend { return plain(func(d *draft) { d.info = change }) }
	request := func(change func(r *protocol.UpdateRequest)) func(*world) bend {
		return plain(func(d *draft) { d.request = change })
	}
	return []Attack{
		commits("old-table-hash", "signs the hash of another table", "link-state-table", "3", info(func(i *infoDraft) {
			i.state.TableHash = make([]byte, len(i.state.TableHash))
		})),
		commits("no-link-state", "leaves identity_link_state out", "link-state-missing", "3", info(func(i *infoDraft) { i.state = nil })),
		commits("other-generation", "signs another newest generation", "group-info-generation", "3", info(func(i *infoDraft) { i.state.NewestGeneration += 7 })),
		commits("wrapper-keys-in-public", "gives the hub the wrapper keys", "wrapper-keys-public", "3", info(func(i *infoDraft) {
			i.others = i.others.With(identity.ComponentWrapperKeys, []byte("keys"))
		})),
		commits("no-external-pub", "leaves external_pub out, so that nobody can join or come back", "group-info-external-pub", "3",
			info(func(i *infoDraft) { i.externalPub = false })),
		commits("other-tree", "sends another ratchet tree than the Commit leads to", "tree-other", "10", plain(func(d *draft) {
			d.request = func(r *protocol.UpdateRequest) { r.RatchetTree = protocol.FullTree(*d.im.group.RatchetTree()) }
		})),
		commits("tree-by-url", "lets the hub fetch the tree from a URL", "tree-option", "11", request(func(r *protocol.UpdateRequest) {
			r.RatchetTree = protocol.RatchetTreeOption{Representation: protocol.TreeHTTPSURI, URL: "https://evil.example/tree", Signature: []byte("x")}
		})),
		commits("no-welcome", "adds somebody without a Welcome", "welcome-missing", "3", adds(), request(func(r *protocol.UpdateRequest) { r.Welcome = nil })),
		commits("welcome-for-nobody", "adds two and lets one in", "welcome-adds", "3", adds(), adds(), request(func(r *protocol.UpdateRequest) {
			r.Welcome.Secrets = r.Welcome.Secrets[:1]
		})),
		commits("welcome-for-another", "adds one and lets another in", "welcome-key-package", "3", adds(), request(func(r *protocol.UpdateRequest) {
			r.Welcome.Secrets[0].NewMember[0] ^= 1
		})),
		{
			Name: "other-group", What: "sends a Commit of its own room to Alice's", Check: "update-group", Section: "10",
			play: func(w *world) success { return w.update(w.room, w.implant(w.lair).commit(w.mallory)) },
		},
		{
			Name: "old-commit", What: "sends a Commit of an epoch that is over", Check: "update-epoch", Section: "10",
			play: func(w *world) success {
				req := w.implant(w.room).commit(w.mallory)
				w.check(w.victim.Node.Client().Rename(w.ctx, w.alice, w.room, "renamed "+time.Now().Format(time.StampNano)))
				return w.update(w.room, req)
			},
		},
		{
			Name: "sender-of-another-provider", What: "sends a Commit in the name of Alice's leaf", Check: "update-domain", Section: "1",
			play: func(w *world) success {
				im := w.implant(w.room)
				req := im.commit(w.mallory)
				req.ProposalOrCommit.PublicMessage.Content.Sender.Index = im.victimLeaf()
				return w.update(w.room, req)
			},
		},
		{
			Name: "changed-commit", What: "changes a Commit of Eve's on its way", Check: "mls-signature", Section: "8",
			play: func(w *world) success {
				req := w.implant(w.room).commit(w.eve)
				req.ProposalOrCommit.PublicMessage.Content.Sender.Index = w.implant(w.room).own[w.mallory]
				return w.update(w.room, req)
			},
		},
	}
}

// rotationAttacks are made by a hub that lets its administrator do what no rule
// allows: the members have to refuse it.
func rotationAttacks() []Attack {
	return []Attack{
		inLair("remove-and-add", "adds somebody in the Commit that rotates the wrapper key, which the removed one can compute", "rotation-add", "3",
			removesEve, adds()),
		inLair("remove-and-renew", "takes a new credential in a Commit that removes", "rotation-credential", "3", removesEve, func(w *world) bend {
			return func(d *draft) { renew(w.newcomer(w.mallory, d.im.tbs(w.mallory).UserPseudonym, nil))(d) }
		}),
		inLair("remove-and-rename", "encrypts the name in a Commit that removes", "rotation-metadata", "3", removesEve, plain(func(d *draft) {
			propose(d.im.name(d.im.ring.Newest(), "another name"))(d)
		})),
		{
			Name: "stale-name", What: "leaves the name under the key that a removed member has", Check: "metadata-stale", Section: "3",
			play: func(w *world) success {
				target := w.gather(w.victim, w.alice, w.mallory, w.eve)
				w.check(w.victim.Node.Client().Kick(w.ctx, w.alice, target, w.eve))
				im := w.implant(target)
				return w.update(target, im.commit(w.mallory, adds()(w), func(d *draft) { d.keepMetadata = true }))
			},
		},
	}
}

func removesEve(w *world) bend { return func(d *draft) { remove(d.im.own[w.eve])(d) } }

// inLair is an attack by which Mallory's hub sends out a Commit that it should have
// refused.
func inLair(name, what, check, section string, bends ...func(w *world) bend) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		im := w.implant(w.lair)
		before := w.epoch(w.victim, w.lair)
		req := im.commit(w.mallory, each(w, bends)...)
		w.fanOut(im, &protocol.FanoutMessage{Accepted: time.Now(), Message: req.ProposalOrCommit})
		return func() string {
			if w.epoch(w.victim, w.lair) > before {
				return "Alice follows the Commit"
			}
			return ""
		}
	}}
}

// fanOut sends messages to Alice, as the hub of a room.
func (w *world) fanOut(im *implant, messages ...*protocol.FanoutMessage) answer {
	return w.post(protocol.EndpointNotify, im.uri.String(), w.fanOutBody(im, im.victimLeaf(), messages...))
}

func (w *world) fanOutBody(im *implant, leaf mls.LeafIndex, messages ...*protocol.FanoutMessage) []byte {
	m, _ := im.group.View().Member(leaf)
	tbs, _ := im.room().Leaf(leaf)
	queue := must(identity.QueueFrom(m.Leaf.Extensions, tbs))
	var out []*protocol.MinimalMetadataFanout
	for _, message := range messages {
		message.Accepted = message.Accepted.Truncate(time.Millisecond)
		out = append(out, &protocol.MinimalMetadataFanout{Message: *message, Targets: []protocol.FanoutTarget{{Queue: *queue, TBS: *tbs}}})
	}
	return must(protocol.MarshalFanout(out...))
}

// policyAttacks change the room's policy as it must not change.
func policyAttacks() []Attack {
	policy := func(name, what, check string, change func(p *identity.MinimalMetadataPolicy)) Attack {
		return inLair(name, what, check, "6", plain(func(d *draft) {
			next := d.im.room().Policy()
			change(&next)
			propose(update(identity.ComponentPolicy, must(wire.Marshal(&next))))(d)
		}))
	}
	raw := func(name, what, check string, data ...byte) Attack {
		return inLair(name, what, check, "6", plain(func(d *draft) { propose(update(identity.ComponentPolicy, data))(d) }))
	}
	return []Attack{
		policy("forbidden", "forbids identity links in a room that has them", "policy-forbidden", func(p *identity.MinimalMetadataPolicy) {
			p.Requirement = identity.Forbidden
		}),
		policy("becomes-connection-room", "makes a connection room of a group", "policy-fixed", func(p *identity.MinimalMetadataPolicy) {
			*p = identity.ConnectionRoomPolicy()
		}),
		raw("static", "stops the rotation of the wrapper key", "policy-static", 1, 0, 0, 0, 0, 0, 0x03, 0xe8),
		raw("nobody", "allows nobody in the room", "policy-users", 1, 0, 1, 0, 0, 0, 0, 0),
		inLair("no-policy", "removes the policy, so that no rule is left", "policy-missing", "6",
			plain(propose(&mls.AppDataUpdate{Component: identity.ComponentPolicy, Operation: mls.AppDataUpdateRemove}))),
		policy("too-many", "lowers max_users below those who are there", "max-users", func(p *identity.MinimalMetadataPolicy) { p.MaxUsers = 2 }),
	}
}
