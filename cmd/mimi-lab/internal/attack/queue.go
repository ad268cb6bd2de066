package attack

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func queueAttacks() []Attack { return slices.Concat(peerAttacks(), fanOutAttacks(), messageAttacks()) }

// peerAttacks do not prove who sends.
func peerAttacks() []Attack {
	as := func(name, what, check string, change func(w *world, e *wiretap.Exchange)) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "10", play: func(w *world) success {
			body := must(wire.Marshal(&protocol.ConnectionPackageRequest{User: w.anna}))
			a := w.postAs(protocol.EndpointConnectionPackage, "", body, func(e *wiretap.Exchange) { change(w, e) })
			return w.granted(a, http.StatusOK, "the gateway answers whoever it is")
		}}
	}
	return []Attack{
		as("from-another", "says that it is another provider than its certificate's", "peer-name", func(_ *world, e *wiretap.Exchange) {
			e.RequestHeader.Set("From", protocol.FromHeader("honest.example"))
		}),
		as("from-nobody", "does not say who it is", "peer-from", func(_ *world, e *wiretap.Exchange) { e.RequestHeader.Del("From") }),
	}
}

// fanOutAttacks send out what a hub must not.
func fanOutAttacks() []Attack {
	sends := func(name, what, check, section string, message func(w *world, im *implant) *protocol.FanoutMessage) Attack {
		return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
			im := w.implant(w.lair)
			epoch := w.epoch(w.victim, w.lair)
			w.fanOut(im, message(w, im))
			return func() string {
				if w.epoch(w.victim, w.lair) > epoch {
					return "Alice follows the Commit"
				}
				return ""
			}
		}}
	}
	public := func(m *mls.MLSMessage) *protocol.FanoutMessage {
		return &protocol.FanoutMessage{Accepted: time.Now(), Message: *m}
	}
	return []Attack{
		{
			Name: "hub-of-another-room", What: "sends out a message for a room that it does not host", Check: "notify-hub", Section: "10",
			play: func(w *world) success {
				im := w.implant(w.room)
				req := im.commit(w.mallory)
				a := w.post(protocol.EndpointNotify, w.room.String(), w.fanOutBody(im, im.victimLeaf(), public(&req.ProposalOrCommit)))
				return w.granted(a, http.StatusCreated, "the gateway takes the Commit for one of its own hub's")
			},
		},
		{
			Name: "queue-of-another-provider", What: "names a queue of another provider than the pseudonym's", Check: "target-domain", Section: "10",
			play: func(w *world) success {
				im := w.implant(w.lair)
				req := im.commit(w.mallory)
				body := w.fanOutBody(im, im.victimLeaf(), public(&req.ProposalOrCommit))
				i := strings.Index(string(body), string(rune(len(w.victim.Domain)))+w.victim.Domain)
				if i < 0 {
					panic(failure{errors.New("the queue reference is not in the body")})
				}
				body[i+1] = 'n'
				return w.granted(w.post(protocol.EndpointNotify, w.lair.String(), body), http.StatusCreated, "the gateway takes it")
			},
		},
		sends("changed-membership-tag", "sends out a Commit that no member has sent", "mls-membership-tag", "8", func(w *world, im *implant) *protocol.FanoutMessage {
			req := im.commit(w.mallory)
			req.ProposalOrCommit.PublicMessage.MembershipTag[5] ^= 1
			return public(&req.ProposalOrCommit)
		}),
		sends("hub-puts-a-leaf-in", "puts a leaf of its own in, without the wrapper key", "mls-confirmation-tag", "3", func(w *world, im *implant) *protocol.FanoutMessage {
			im.wrongPSK = true
			n := w.newcomer(w.stranger(), mimi.URI{}, nil)
			req := im.join(n, false)
			return public(&req.ProposalOrCommit)
		}),
		sends("ahead-of-the-room", "sends out a Commit of an epoch that is not reached", "mls-epoch-future", "8", func(w *world, im *implant) *protocol.FanoutMessage {
			req := im.commit(w.mallory)
			req.ProposalOrCommit.PublicMessage.Content.Epoch += 5
			return public(&req.ProposalOrCommit)
		}),
		sends("behind-the-room", "sends out a Commit of an epoch that is over", "mls-epoch-past", "8", func(w *world, im *implant) *protocol.FanoutMessage {
			req := im.commit(w.mallory)
			req.ProposalOrCommit.PublicMessage.Content.Epoch--
			return public(&req.ProposalOrCommit)
		}),
		says("false-sender", "sends a message of Mallory's that claims to be Eve's", "content-claimed-sender", "10", func(w *world, im *implant) []byte {
			return w.text(im, im.uri, w.eve, "I am Eve")
		}),
		says("message-of-another-room", "sends a message of Mallory's that was written in another room", "content-claimed-room", "10", func(w *world, im *implant) []byte {
			return w.text(im, w.lair, w.mallory, "as I said elsewhere")
		}),
		{
			Name: "repeated-message", What: "sends a message of a member once more", Check: "mls-replay", Section: "8",
			play: func(w *world) success {
				im := w.implant(w.gather(w.evil, w.mallory, w.alice))
				said := w.said(im.uri)
				before := said()
				m := &protocol.FanoutMessage{Accepted: time.Now(), Message: *im.protect(w.mallory, w.text(im, im.uri, w.mallory, "once"))}
				w.fanOut(im, m)
				w.until(patience, func() bool { return said() > before })
				m.Accepted = m.Accepted.Add(time.Second) // not the same body
				w.fanOut(im, m)
				return func() string {
					if said() > before+1 {
						return "Alice sees the message twice"
					}
					return ""
				}
			},
		},
	}
}

// says is an attack by which Mallory writes what nobody may, in a room of its own:
// its gateway does not know which keys the attacker has used.
func says(name, what, check, section string, data func(w *world, im *implant) []byte) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		im := w.implant(w.gather(w.evil, w.mallory, w.alice, w.eve))
		said := w.said(im.uri)
		before := said()
		w.fanOut(im, &protocol.FanoutMessage{Accepted: time.Now(), Message: *im.protect(w.mallory, data(w, im))})
		return func() string {
			if said() > before {
				return "Alice sees the message"
			}
			return ""
		}
	}}
}

// text is a message that says who has sent it, and in which room.
func (w *world) text(im *implant, in, sender mimi.URI, text string) []byte {
	author := content.Author{Origin: content.Origin{Sender: im.tbs(sender).UserPseudonym, Room: in}, Random: w.random}
	return must(author.Compose(content.Text(content.PlainPart(text)))).Data
}

// ahead is how many message keys the implant skips: those that its gateway may be
// using at the moment, for names.
const ahead = 50

// protect encrypts a message of one's own.
func (im *implant) protect(from mimi.URI, data []byte) *mls.MLSMessage {
	for range ahead {
		must(im.group.Protect(im.own[from], nil, mls.AuthenticatedData{}))
	}
	return &mls.MLSMessage{PrivateMessage: must(im.group.Protect(im.own[from], data, mls.AuthenticatedData{}))}
}

// said counts messages in a room.
func (w *world) said(uri mimi.URI) func() int {
	return func() int {
		return w.victim.Count(func(e *client.Event) bool { return e.Kind == client.EventMessage && e.Room == uri })
	}
}

// messageAttacks submit messages that the victim's hub must not deliver.
func messageAttacks() []Attack {
	submits := func(name, what, check string, bend func(w *world, im *implant, r *protocol.SubmitMessageRequest)) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "10", play: func(w *world) success {
			im := w.implant(w.room)
			req := &protocol.SubmitMessageRequest{Message: *im.protect(w.mallory, []byte("anything")), Sender: im.tbs(w.mallory).UserPseudonym}
			bend(w, im, req)
			a := w.send(protocol.EndpointSubmitMessage, w.room.String(), req)
			var resp protocol.SubmitMessageResponse
			if a.status == http.StatusOK && wire.Unmarshal(a.body, &resp) == nil && resp.Code == protocol.SubmitAccepted {
				return once("the hub delivers the message")
			}
			return once("")
		}}
	}
	return []Attack{
		submits("message-of-another-provider", "sends a message under Alice's pseudonym", "message-domain", func(_ *world, im *implant, r *protocol.SubmitMessageRequest) {
			tbs, _ := im.room().Leaf(im.victimLeaf())
			r.Sender = tbs.UserPseudonym
		}),
		submits("message-of-nobody", "sends a message under a pseudonym that is not in the room", "message-member", func(w *world, _ *implant, r *protocol.SubmitMessageRequest) {
			r.Sender = must(mimi.NewID(w.evil.Domain, mimi.KindUser, w.random))
		}),
		submits("message-for-another-group", "sends a message of another group", "message-group", func(w *world, _ *implant, r *protocol.SubmitMessageRequest) {
			r.Message.PrivateMessage.GroupID = w.implant(w.lair).groupID
		}),
		submits("message-of-the-future", "sends a message of an epoch that is not reached", "message-epoch-ahead", func(_ *world, _ *implant, r *protocol.SubmitMessageRequest) {
			r.Message.PrivateMessage.Epoch += 3
		}),
		submits("message-of-the-past", "sends a message of an epoch that is over", "message-epoch-past", func(_ *world, _ *implant, r *protocol.SubmitMessageRequest) {
			r.Message.PrivateMessage.Epoch--
		}),
	}
}
