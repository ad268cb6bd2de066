package attack

import (
	"net/http"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func keyMaterialAttacks() []Attack {
	return slices.Concat(relayAttacks(), fetchAttacks(), setAttacks(), plainAttacks())
}

// A fetch is a request for key material that is about to be signed.
type fetch struct {
	room       mimi.URI
	tbs        *identity.PseudonymousCredentialTBS
	credential mls.Credential
	key        suite.SignatureKey
	target     string
	user       mimi.URI
	content    *protocol.ConnectionTokenContent
	response   suite.HPKEPrivateKey
	sealRoom   mimi.URI // for which the token is sealed
	signed     func(*protocol.AnonymousKeyMaterialRequest)
}

// fetch is a good request of one of the attacker's leaves in a room.
func (w *world) fetch(uri mimi.URI, tbs *identity.PseudonymousCredentialTBS, credential mls.Credential, key suite.SignatureKey, target string, token identity.ConnectionToken) *fetch {
	nonce := make([]byte, protocol.TokenNonceSize)
	_ = must(w.random.Read(nonce))
	response := must(w.suite.GenerateHPKEKey(w.random))
	return &fetch{
		room: uri, sealRoom: uri, tbs: tbs, credential: credential, key: key, target: target, user: tbs.UserPseudonym, response: response,
		content: &protocol.ConnectionTokenContent{Token: token, Nonce: nonce, Created: time.Now().Truncate(time.Millisecond), ResponseKey: response.Public()},
	}
}

// request signs a fetch. The key that the token is sealed to is in the directory of
// the target.
func (w *world) request(f *fetch) *protocol.AnonymousKeyMaterialRequest {
	var key identity.ProviderKey
	if f.target == w.victim.Domain {
		_, keys, err := w.victim.Node.Client().IdentityCA()
		w.check(err)
		key = keys[0]
	} else {
		key, _ = w.ring("keymaterial-keys").Newest()
	}
	token := must(protocol.SealConnectionToken(f.target, key, f.sealRoom, f.tbs, f.content))
	req := &protocol.AnonymousKeyMaterialRequest{
		RequestingUser: f.user, Target: protocol.KeyMaterialTarget{Domain: f.target}, Room: f.room, Token: *token,
		Requester: protocol.Requester{CipherSuites: []suite.ID{w.suite.ID()}, Required: identity.RequiredCapabilities(), Credential: f.credential},
	}
	w.check(req.Sign(w.suite, f.key))
	if f.signed != nil {
		f.signed(req)
	}
	return req
}

// relayAttacks ask the victim's hub to relay what it must not.
func relayAttacks() []Attack {
	relay := func(name, what, check string, bend func(w *world, im *implant, f *fetch)) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "5", play: func(w *world) success {
			im := w.implant(w.room)
			_, theirs := w.keys(w.mallory, w.alice)
			f := w.fetch(w.room, im.tbs(w.mallory), im.credential(im.own[w.mallory]), im.key(w.mallory), w.victim.Domain, theirs.Token)
			bend(w, im, f)
			return w.granted(w.send(protocol.EndpointKeyMaterialAnonymous, "", w.request(f)), http.StatusOK, "the hub has relayed the request, and it was answered")
		}}
	}
	return []Attack{
		relay("pseudonym-of-another-provider", "asks under Alice's pseudonym", "relay-domain", func(_ *world, im *implant, f *fetch) {
			tbs, _ := im.room().Leaf(im.victimLeaf())
			f.user = tbs.UserPseudonym
		}),
		relay("stranger", "asks with a credential that has no leaf in the room", "relay-member", func(w *world, _ *implant, f *fetch) {
			n := w.newcomer(w.mallory, mimi.URI{}, nil)
			f.tbs, f.credential, f.key, f.user = n.id.TBS(), n.params.Credential, n.id.Key, n.id.TBS().UserPseudonym
		}),
		relay("pseudonym-of-a-colleague", "asks under Eve's pseudonym with Mallory's leaf", "relay-user", func(w *world, im *implant, f *fetch) {
			f.user = im.tbs(w.eve).UserPseudonym
		}),
		relay("key-of-another", "signs with another key than the leaf's", "relay-key", func(w *world, im *implant, f *fetch) {
			f.key = im.key(w.eve)
		}),
		{
			Name: "who-leaves", What: "asks as somebody whose removal is pending", Check: "relay-permission", Section: "5",
			play: func(w *world) success {
				_, theirs := w.keys(w.eve, w.alice)
				target, im := w.pendingRemoval(w.eve)
				f := w.fetch(target, im.tbs(w.eve), im.credential(im.own[w.eve]), im.key(w.eve), w.victim.Domain, theirs.Token)
				return w.granted(w.send(protocol.EndpointKeyMaterialAnonymous, "", w.request(f)), http.StatusOK, "who is gone is given a KeyPackage")
			},
		},
		relay("changed-request", "changes the request after it was signed", "relay-signature", func(_ *world, _ *implant, f *fetch) {
			f.signed = func(r *protocol.AnonymousKeyMaterialRequest) { r.Signature[5] ^= 1 }
		}),
	}
}

// fetchAttacks ask the victim's provider, as the hub of a room of the attacker's.
func fetchAttacks() []Attack {
	attack := func(name, what, check string, bend func(w *world, im *implant, f *fetch)) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "5", play: func(w *world) success {
			im := w.implant(w.lair)
			_, theirs := w.keys(w.mallory, w.alice)
			f := w.fetch(w.lair, im.tbs(w.mallory), im.credential(im.own[w.mallory]), im.key(w.mallory), w.victim.Domain, theirs.Token)
			bend(w, im, f)
			return w.granted(w.send(protocol.EndpointKeyMaterialAnonymous, "", w.request(f)), http.StatusOK, "a KeyPackage is handed out")
		}}
	}
	return []Attack{
		attack("hub-of-another-room", "asks for a room that it does not host", "key-material-hub", func(w *world, _ *implant, f *fetch) {
			f.room = must(mimi.NewID("hub.example", mimi.KindRoom, w.random))
			f.sealRoom = f.room
		}),
		attack("user-of-another-leaf", "asks for another user than its leaf's", "key-request-user", func(w *world, im *implant, f *fetch) {
			f.user = im.tbs(w.eve).UserPseudonym
		}),
		attack("unsigned", "asks without the leaf's signature", "key-request-signature", func(_ *world, _ *implant, f *fetch) {
			f.signed = func(r *protocol.AnonymousKeyMaterialRequest) { r.Signature[5] ^= 1 }
		}),
		attack("token-of-another-room", "uses a token that was sealed for another room", "token-opens", func(w *world, _ *implant, f *fetch) { f.sealRoom = w.room }),
		attack("old-token", "uses a token of yesterday", "token-age", func(_ *world, _ *implant, f *fetch) {
			f.content.Created = f.content.Created.Add(-24 * time.Hour)
		}),
		attack("replayed-token", "sends a request again", "token-nonce", func(w *world, _ *implant, f *fetch) {
			w.send(protocol.EndpointKeyMaterialAnonymous, "", w.request(f))
		}),
	}
}

// A set is the attacker's answer to Alice, who adds somebody.
type set struct {
	user   mimi.URI // who is asked for
	key    identity.ConnectionKey
	answer *protocol.KeyMaterialResponse
	leaves []*newcomer
}

// setAttacks answer Alice, who adds Mallory, with bad key material.
func setAttacks() []Attack {
	leaf := func(name, what, check, section string, bend func(w *world, s *set) *newcomer, packages ...func(*mls.KeyPackageParams)) Attack {
		return answersWith(name, what, check, section, func(w *world, s *set) {
			n := bend(w, s)
			s.put(n, w.keyPackage(n, packages...))
		})
	}
	good := func(w *world, s *set) *newcomer { return w.newcomer(s.user, mimi.URI{}, &s.key) }
	hidden := func(w *world, s *set, signer *identity.Client) *newcomer {
		return w.newcomerOf(signer, mimi.URI{}, &s.key)
	}
	return []Attack{
		answersWith("two-users", "answers with KeyPackages of two pseudonyms", "set-pseudonyms", "5", func(w *world, s *set) {
			a, b := good(w, s), good(w, s)
			s.put(a, w.keyPackage(a))
			s.put(b, w.keyPackage(b))
		}),
		answersWith("twice-the-same", "answers with one KeyPackage twice", "set-twice", "5", func(w *world, s *set) {
			n := good(w, s)
			kp := w.keyPackage(n)
			s.put(n, kp)
			s.put(n, kp)
		}),
		answersWith("mixed-set", "answers with KeyPackages of both sorts", "set-mixed", "5", func(w *world, s *set) {
			a := good(w, s)
			b := w.newcomer(s.user, a.id.TBS().UserPseudonym, &s.key)
			s.put(a, w.keyPackage(a))
			s.put(b, w.keyPackage(b, func(p *mls.KeyPackageParams) { p.LastResort = true }))
		}),
		answersWith("other-domain", "answers with a user of another domain", "set-domain", "5", func(w *world, s *set) {
			n := good(w, s)
			s.put(n, w.keyPackage(n))
			s.answer.User.Domain = "hub.example"
		}),
		leaf("key-package-of-another", "answers with KeyPackages of Eve's", "key-package-person", "5", func(w *world, s *set) *newcomer {
			return hidden(w, s, w.signer(w.eve))
		}),
		leaf("key-package-of-the-past", "answers with a KeyPackage whose time is over", "key-package-time", "5", good, func(p *mls.KeyPackageParams) {
			p.NotAfter = uint64(time.Now().Add(-24 * time.Hour).Unix())
		}),
		answersWith("changed-key-package", "changes a KeyPackage after it was signed", "key-package-signature", "5", func(w *world, s *set) {
			n := good(w, s)
			kp := w.keyPackage(n)
			kp.Signature[5] ^= 1
			s.put(n, kp)
		}),
		answersWith("key-package-of-a-commit", "answers with a leaf that is for something else", "key-package-form", "5", func(w *world, s *set) {
			n := good(w, s)
			kp := w.keyPackage(n)
			kp.CipherSuite = suite.P256AES128
			s.put(n, kp)
		}),
		leaf("key-of-another-contact", "answers with KeyPackages that were made for another contact", "link-commitment", "2", func(w *world, s *set) *newcomer {
			other := must(identity.NewConnectionKey(w.random))
			return w.newcomer(s.user, mimi.URI{}, &other)
		}),
		leaf("changed-link", "changes a link, whose commitment stays", "link-ciphertext", "2", func(w *world, s *set) *newcomer {
			n := good(w, s)
			n.recredential(func(c *identity.PseudonymousCredential) { c.Link.Ciphertext[9] ^= 1 })
			return n
		}),
		leaf("unsigned-link", "hides a certificate of Mallory's that she has not signed with", "link-signature", "2", func(w *world, s *set) *newcomer {
			signer, other := w.signer(s.user), w.signer(s.user)
			signer.Key = other.Key
			return hidden(w, s, signer)
		}),
		leaf("queue-elsewhere", "answers with a leaf whose messages go to another provider", "queue-domain", "1", func(w *world, s *set) *newcomer {
			n := good(w, s)
			queueKey, _ := w.ring("queue-keys").Newest()
			queue := must(queueKey.SealQueue(n.id.TBS(), identity.QueueID{ID: []byte("queue"), NotAfter: 1 << 40}))
			queue.Domain = w.victim.Domain
			n.params.Extensions = must(identity.LeafExtensions(queue))
			return n
		}),
		leaf("no-queue", "answers with a leaf that has no queue", "queue-missing", "5", func(w *world, s *set) *newcomer {
			n := good(w, s)
			dictionary, err := n.params.Extensions.AppDataDictionary()
			w.check(err)
			n.params.Extensions = mls.Extensions{must(dictionary.Without(identity.ComponentQueueReference).Extension())}
			return n
		}),
		{
			Name: "old-answer", What: "answers with what it has answered before", Check: "key-answer-opens", Section: "5",
			play: func(w *world) success {
				var old []byte
				return w.addsGuest(func(e *wiretap.Exchange, s *set) []byte {
					n := good(w, s)
					s.put(n, w.keyPackage(n))
					other := must(w.suite.GenerateHPKEKey(w.random))
					old = must(wire.Marshal(must(protocol.SealKeyMaterial(w.suite, other.Public(), []byte("another request"), s.answer))))
					return old
				})
			},
		},
		{
			Name: "old-key-package", What: "hands out a KeyPackage for the second time", Check: "set-seen", Section: "5",
			play: func(w *world) success {
				guest := w.guest()
				keys, _ := w.keys(guest, w.alice)
				s := &set{user: guest, key: keys.Key}
				n := w.newcomer(s.user, mimi.URI{}, &s.key)
				give := func(_ *wiretap.Exchange, s *set) []byte {
					s.put(n, &n.keys.KeyPackage)
					return nil
				}
				w.keyPackage(n)
				w.addsTo(w.alone(), guest, give)
				return w.addsTo(w.alone(), guest, give)
			},
		},
	}
}

// put puts a leaf into the answer.
func (s *set) put(n *newcomer, kp *mls.KeyPackage) {
	tbs := n.id.TBS()
	if s.answer == nil {
		s.answer = &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialSuccess, User: tbs.UserPseudonym}
	}
	s.leaves = append(s.leaves, n)
	s.answer.Clients = append(s.answer.Clients, protocol.ClientKeyMaterial{Status: protocol.ClientSuccess, Client: tbs.ClientPseudonym, KeyPackage: kp})
}

// answersWith is an attack on Alice, who adds somebody to a room.
func answersWith(name, what, check, section string, bend func(w *world, s *set)) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		return w.addsGuest(func(_ *wiretap.Exchange, s *set) []byte {
			bend(w, s)
			return nil
		})
	}}
}

// alone is a room in which Alice is alone.
func (w *world) alone() mimi.URI {
	uri, _, err := w.victim.Node.Client().CreateRoom(w.ctx, w.alice, client.RoomOptions{Name: "a new room"}, nil)
	w.check(err)
	return uri
}

// guest is a contact of Alice's whom nobody has added yet.
func (w *world) guest() mimi.URI {
	user := w.person(w.evil, w.stranger().Localpart())
	w.connect(w.alice, user)
	return user
}

// addsGuest lets Alice add a contact to the room, and answers her fetch.
func (w *world) addsGuest(give func(e *wiretap.Exchange, s *set) []byte) success {
	return w.addsTo(w.room, w.guest(), give)
}

func (w *world) addsTo(uri, guest mimi.URI, give func(e *wiretap.Exchange, s *set) []byte) success {
	ours, _ := w.keys(guest, w.alice)
	ring := w.ring("keymaterial-keys")
	w.answers(map[protocol.Endpoint]reply{protocol.EndpointKeyMaterialAnonymous: func(e *wiretap.Exchange) ([]byte, bool) {
		s := &set{user: guest, key: ours.Key}
		if body := give(e, s); body != nil {
			return body, true
		}
		var req protocol.AnonymousKeyMaterialRequest
		w.check(wire.Unmarshal(e.Request, &req))
		adder := must(identity.ParseCredential(w.suite, req.Requester.Credential, req.Requester.SignatureKey))
		content := must(req.Token.Open(ring, req.Room, &adder.PseudonymousCredentialTBS))
		sealed := must(protocol.SealKeyMaterial(w.suite, content.ResponseKey, must(req.Hash()), s.answer))
		return must(wire.Marshal(sealed)), true
	}})
	return w.unless(w.victim.Node.Client().Invite(w.ctx, w.alice, uri, guest), "Alice has added what she was given to the room")
}
