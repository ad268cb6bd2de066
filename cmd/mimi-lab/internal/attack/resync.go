package attack

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func resyncAttacks() []Attack {
	return slices.Concat(externalAttacks(), siblingAttacks(), shownAttacks(), leavingAttacks())
}

// rejoins is an attack by which Mallory replaces a leaf with a bad external Commit.
func rejoins(name, what, check, section string, bends ...func(w *world, im *implant) bend) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		im := w.implant(w.room)
		var all []bend
		for _, b := range bends {
			all = append(all, b(w, im))
		}
		return w.update(w.room, im.resync(w.mallory, all...))
	}}
}

// externalAttacks are resyncs that do more than replace the own leaf, or do not
// prove that the joiner knows the wrapper key.
func externalAttacks() []Attack {
	psks := func(ids func(im *implant) []mls.PreSharedKeyID) func(*world, *implant) bend {
		return func(_ *world, im *implant) bend { return func(d *draft) { d.external.PSKs = ids(im) } }
	}
	join := func(g identity.Generation) mls.PreSharedKeyID {
		return mls.PreSharedKeyID{Type: mls.PSKExternal, ID: identity.JoinPSKID(g)}
	}
	return []Attack{
		rejoins("leaf-of-another", "replaces Eve's leaf with one of Mallory's", "mls-successor", "1", func(w *world, im *implant) bend {
			eve := im.own[w.eve]
			return func(d *draft) { d.external.Resync = &eve }
		}),
		rejoins("no-psk", "comes back without proving that it knows the wrapper key", "join-psk-count", "3",
			psks(func(*implant) []mls.PreSharedKeyID { return nil })),
		rejoins("other-psk", "comes back with a PSK of its own choice", "join-psk-kind", "3",
			psks(func(*implant) []mls.PreSharedKeyID {
				return []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: []byte("mine")}}
			})),
		rejoins("old-psk", "comes back with the join PSK of another generation", "join-psk-generation", "3",
			psks(func(im *implant) []mls.PreSharedKeyID {
				return []mls.PreSharedKeyID{join(im.ring.Newest().Generation + 9)}
			})),
		{
			Name: "renames-on-the-way", What: "renames the room by the Commit with which it enters, after a rotation", Check: "joiner-metadata", Section: "3",
			play: func(w *world) success {
				target := w.gather(w.victim, w.alice, w.mallory, w.eve)
				w.check(w.victim.Node.Client().Kick(w.ctx, w.alice, target, w.eve))
				im := w.implant(target)
				n := w.newcomer(w.stranger(), mimi.URI{}, nil)
				w.admit(target, im, n)
				return w.update(target, im.join(n, false, propose(im.name(im.ring.Newest(), "a name of a joiner"))))
			},
		},
		rejoins("proof-with-resync", "brings a sibling proof where it replaces a leaf", "resync-proof", "1", func(w *world, im *implant) bend {
			return func(d *draft) { vouch(w.mallory)(d) }
		}),
	}
}

// vouch adds a sibling proof by an own leaf.
func vouch(by mimi.URI) bend {
	return func(d *draft) {
		im := d.im
		proof := must(identity.NewSiblingProof(im.w.suite, im.groupID, im.own[by], im.key(by), d.self.id.TBS()))
		d.safe = append(d.safe, must(proof.SafeAADItem()))
	}
}

// siblingAttacks enter under Mallory's pseudonym without Mallory.
func siblingAttacks() []Attack {
	sibling := func(name, what, check string, bend bend) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "1", play: func(w *world) success {
			im := w.implant(w.room)
			n := w.newcomer(w.mallory, im.tbs(w.mallory).UserPseudonym, nil)
			w.admit(w.room, im, n)
			return w.update(w.room, im.join(n, true, bend))
		}}
	}
	return []Attack{
		sibling("no-proof", "enters under a pseudonym that is there, without a proof", "second-leaf", func(*draft) {}),
		sibling("proof-of-another-user", "enters under Mallory's pseudonym with a proof of Eve's", "sibling-user", func(d *draft) { vouch(d.im.w.eve)(d) }),
		sibling("changed-proof", "enters with a proof that Mallory's leaf has not signed", "sibling-signature", func(d *draft) {
			im := d.im
			proof := must(identity.NewSiblingProof(im.w.suite, im.groupID, im.own[im.w.mallory], im.key(im.w.eve), d.self.id.TBS()))
			d.safe = append(d.safe, must(proof.SafeAADItem()))
		}),
		sibling("proof-of-no-leaf", "enters with a proof of a leaf that is not there", "sibling-leaf", func(d *draft) {
			im := d.im
			proof := must(identity.NewSiblingProof(im.w.suite, im.groupID, 77, im.key(im.w.mallory), d.self.id.TBS()))
			d.safe = append(d.safe, must(proof.SafeAADItem()))
		}),
	}
}

// admit registers a joining code, as a member may, and shows the newcomer the room.
func (w *world) admit(uri mimi.URI, im *implant, n *newcomer) {
	code := must(identity.NewJoinLink(uri, w.random)).Code
	a := w.register(im, code, func(*protocol.JoinCodeRegistration) {})
	if a.status != http.StatusCreated {
		panic(failure{errors.New("the joining code is refused")})
	}
	if info, _ := w.shown(uri, n, code, func(*protocol.GroupInfoRequest) {}); info == nil {
		panic(failure{errors.New("the newcomer is not shown the room")})
	}
}

// register registers a joining code for Mallory.
func (w *world) register(im *implant, code suite.Secret, bend func(*protocol.JoinCodeRegistration)) answer {
	req := &protocol.JoinCodeRegistration{
		Room: im.uri, CodeHash: protocol.HashJoiningCode(code.Bytes()), NotAfter: time.Now().Add(time.Hour).Truncate(time.Second), Uses: 1,
	}
	bend(req)
	w.check(req.Sign(w.suite, im.key(w.mallory)))
	return w.send(protocol.EndpointJoinCode, "", req)
}

// shownAttacks want to see a room without a right to, or to open it to others.
func shownAttacks() []Attack {
	sees := func(name, what, check string, ask func(w *world, im *implant) *protocol.GroupInfoRatchetTreeTBE) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "10", play: func(w *world) success {
			if ask(w, w.implant(w.room)) != nil {
				return once("the hub shows the room, its table and its tree")
			}
			w.stopped = errors.New("the hub shows nothing")
			return once("")
		}}
	}
	registers := func(name, what, check string, ask func(w *world, im *implant, code suite.Secret) answer) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "10", play: func(w *world) success {
			im := w.implant(w.room)
			code := must(identity.NewJoinLink(w.room, w.random)).Code
			return w.granted(ask(w, im, code), http.StatusCreated, "the hub takes the joining code")
		}}
	}
	member := func(w *world, im *implant) *newcomer {
		return &newcomer{id: &identity.LeafIdentity{Key: im.key(w.mallory)}, params: mls.LeafParams{Credential: im.credential(im.own[w.mallory])}}
	}
	asIs := func(*protocol.GroupInfoRequest) {}
	return []Attack{
		sees("no-code", "asks for the room without a leaf and a code", "group-info-member", func(w *world, _ *implant) *protocol.GroupInfoRatchetTreeTBE {
			info, _ := w.shown(w.room, w.newcomer(w.stranger(), mimi.URI{}, nil), suite.Secret{}, asIs)
			return info
		}),
		sees("unsigned-request", "asks with Mallory's credential and without her signature", "group-info-signature", func(w *world, im *implant) *protocol.GroupInfoRatchetTreeTBE {
			info, _ := w.shown(w.room, member(w, im), suite.Secret{}, func(r *protocol.GroupInfoRequest) { r.Signature[5] ^= 1 })
			return info
		}),
		sees("credential-of-another-provider", "asks with Alice's credential", "group-info-domain", func(w *world, im *implant) *protocol.GroupInfoRatchetTreeTBE {
			m, _ := im.group.View().Member(im.victimLeaf())
			info, _ := w.shown(w.room, member(w, im), suite.Secret{}, func(r *protocol.GroupInfoRequest) {
				r.Credential, r.SignatureKey = m.Leaf.Credential, m.Leaf.SignatureKey
			})
			return info
		}),
		sees("two-codes", "uses a second code for one credential", "group-info-one-code", func(w *world, im *implant) *protocol.GroupInfoRatchetTreeTBE {
			n := w.newcomer(w.stranger(), mimi.URI{}, nil)
			w.admit(w.room, im, n)
			code := must(identity.NewJoinLink(w.room, w.random)).Code
			w.register(im, code, func(*protocol.JoinCodeRegistration) {})
			info, _ := w.shown(w.room, n, code, asIs)
			return info
		}),
		sees("many-eyes", "shows the room to more people than the code lets in", "group-info-joiners", func(w *world, im *implant) (info *protocol.GroupInfoRatchetTreeTBE) {
			code := must(identity.NewJoinLink(w.room, w.random)).Code
			w.register(im, code, func(*protocol.JoinCodeRegistration) {})
			for range 5 {
				info, _ = w.shown(w.room, w.newcomer(w.stranger(), mimi.URI{}, nil), code, asIs)
			}
			return info
		}),
		registers("expired-code", "registers a code that has expired", "join-code-expired", func(w *world, im *implant, code suite.Secret) answer {
			return w.register(im, code, func(r *protocol.JoinCodeRegistration) { r.NotAfter = time.Now().Add(-time.Hour).Truncate(time.Second) })
		}),
		registers("taken-code", "registers a code again, with more uses", "join-code-taken", func(w *world, im *implant, code suite.Secret) answer {
			w.register(im, code, func(*protocol.JoinCodeRegistration) {})
			return w.register(im, code, func(r *protocol.JoinCodeRegistration) { r.Uses = 50 })
		}),
		registers("code-of-a-stranger", "registers a code that no member has signed", "join-code-member", func(w *world, im *implant, code suite.Secret) answer {
			req := &protocol.JoinCodeRegistration{
				Room: w.room, CodeHash: protocol.HashJoiningCode(code.Bytes()), NotAfter: time.Now().Add(time.Hour).Truncate(time.Second), Uses: 1,
			}
			w.check(req.Sign(w.suite, must(w.suite.GenerateSignatureKey(w.random))))
			return w.send(protocol.EndpointJoinCode, "", req)
		}),
	}
}

// leavingAttacks use the time in which a removal is pending.
func leavingAttacks() []Attack {
	return []Attack{
		{
			Name: "while-a-removal-is-pending", What: "adds somebody before the removal of Alice, who leaves, is committed", Check: "removal-pending", Section: "3",
			play: func(w *world) success {
				target, im := w.pendingRemoval(w.alice)
				n := w.newcomer(w.stranger(), mimi.URI{}, nil)
				a := w.send(protocol.EndpointUpdate, target.String(), im.commit(w.mallory, add(n, false)))
				return w.accepted(a, "somebody was let in whom Alice could recognise")
			},
		},
		{
			Name: "commit-of-who-leaves", What: "commits as somebody whose removal is pending", Check: "update-departing", Section: "3",
			play: func(w *world) success {
				target, im := w.pendingRemoval(w.eve)
				return w.accepted(w.send(protocol.EndpointUpdate, target.String(), im.commit(w.eve)), "who is gone has changed the room")
			},
		},
		{
			Name: "message-of-who-leaves", What: "writes as somebody whose removal is pending", Check: "message-departing", Section: "3",
			play: func(w *world) success {
				target, im := w.pendingRemoval(w.eve)
				a := w.send(protocol.EndpointSubmitMessage, target.String(), &protocol.SubmitMessageRequest{
					Message: *im.early, Sender: im.tbs(w.eve).UserPseudonym,
				})
				var resp protocol.SubmitMessageResponse
				if a.status == http.StatusOK && wire.Unmarshal(a.body, &resp) == nil && resp.Code == protocol.SubmitAccepted {
					return once("the hub delivers what somebody writes who is gone")
				}
				return once("")
			},
		},
	}
}

// accepted is the success of an update whose consequences nobody is there to see.
func (w *world) accepted(a answer, what string) success {
	if w.taken(a) {
		return once(what)
	}
	return once("")
}

// pendingRemoval is a room in which somebody's removal waits: Alice has left, and
// Mallory's gateway, which would have to commit it, is kept from the hub.
func (w *world) pendingRemoval(also mimi.URI) (mimi.URI, *implant) {
	target := w.gather(w.victim, w.alice, w.mallory, w.eve)
	im := w.implant(target)
	im.early = im.protect(w.eve, []byte("anything")) // later, MLS asks for a Commit first
	w.victim.Tap.SetHand(func(e *wiretap.Exchange, pass func() error) error {
		if strings.Contains(e.Target, "/update/") {
			return errors.New("kept from the hub")
		}
		return pass()
	})
	w.check(w.victim.Node.Client().Leave(w.ctx, w.alice, target))
	if also != w.alice {
		index, ok := im.room().State().Find(im.tbs(also).UserPseudonym)
		if !ok {
			panic(failure{errors.New("nobody to leave")})
		}
		op := must(room.ParticipantListUpdate{Removed: []uint32{index}}.Operation())
		req := &protocol.UpdateRequest{}
		for i, body := range []mls.ProposalBody{&mls.SelfRemove{}, update(mls.ComponentID(op.ID), op.Data)} {
			m, _, err := im.group.Propose(w.ctx, im.own[also], body, mls.AuthenticatedData{})
			w.check(err)
			if i == 0 {
				req.ProposalOrCommit = mls.MLSMessage{PublicMessage: m}
			} else {
				req.MoreProposals = append(req.MoreProposals, mls.MLSMessage{PublicMessage: m})
			}
		}
		if !w.taken(w.send(protocol.EndpointUpdate, target.String(), req)) {
			panic(failure{fmt.Errorf("the hub has not taken the leave: %w", w.stopped)})
		}
	}
	return target, im
}
