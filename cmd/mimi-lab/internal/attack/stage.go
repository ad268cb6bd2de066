package attack

import (
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A stage is a room that only the attacker's hub knows, made as it likes.
type stage struct {
	// groupURI is whose group it is: the room's, unless it is bent.
	groupURI mimi.URI
	policy   identity.MinimalMetadataPolicy
	instance room.Instance
	creator  *newcomer
	// required and components are those of the GroupContext.
	required   mls.RequiredCapabilities
	components func(mls.AppDataDictionary) mls.AppDataDictionary
	// state, table and response bend what the hub shows.
	state    func(*identity.IdentityLinkState)
	table    func(*identity.IdentityLinkTable)
	shown    func(*protocol.GroupInfoRatchetTreeTBE)
	response func(*protocol.GroupInfoResponse)
	// stale seals the answer to a key that nobody asked with.
	stale bool
	// hubKey signs the answer, if it is not that of the group's external sender.
	hubKey suite.SignatureKey
	// guests have leaves as well.
	guests []*newcomer
}

// newStage is one as it should be.
func (w *world) newStage(uri mimi.URI, creator *newcomer, policy identity.MinimalMetadataPolicy) *stage {
	st := &stage{groupURI: uri, policy: policy, creator: creator, required: identity.RequiredCapabilities(), instance: room.Cooperative()}
	if policy.ConnectionRoom {
		st.instance = room.ConnectionRoom()
	}
	return st
}

// build makes the group of a stage, with a table that fits it.
func (w *world) build(st *stage, key identity.WrapperKey) (*implant, *identity.IdentityLinkTable) {
	im := w.newImplant(st.groupURI)
	im.ring = must(identity.NewKeyRing(key))
	dictionary := must(identity.GroupComponents(&st.policy, nil))
	for id, data := range must(room.InitialComponents(st.creator.id.TBS().UserPseudonym, st.instance)) {
		dictionary = dictionary.With(mls.ComponentID(id), data)
	}
	if st.components != nil {
		dictionary = st.components(dictionary)
	}
	sender := w.sender()
	im.group = must(mls.Create(w.ctx, im.cfg, mls.CreateParams{
		CipherSuite: w.suite.ID(), GroupID: im.groupID, Leaf: st.creator.params,
		Extensions: mls.Extensions{must(st.required.Extension()), must(mls.ExternalSendersExtension(sender)), must(dictionary.Extension())},
	}))
	table := &identity.IdentityLinkTable{GroupID: im.groupID, Entries: []identity.IdentityLinkEntry{{Leaf: 0, Key: im.wrap(st.creator.id)}}}
	if public, err := mmr.Open(w.suite, im.group.View(), 0, table); err == nil {
		im.rules.Set(public)
	}
	for _, guest := range st.guests {
		table = w.seat(im, table, guest)
	}
	return im, table
}

// seat adds a guest to a group that has no rules.
func (w *world) seat(im *implant, table *identity.IdentityLinkTable, guest *newcomer) *identity.IdentityLinkTable {
	op := must(room.ParticipantListUpdate{Added: []room.Participant{{User: guest.id.TBS().UserPseudonym, Role: room.RoleMember}}}.Operation())
	w.keyPackage(guest)
	must(im.group.Commit(w.ctx, 0, mls.CommitOptions{Proposals: []mls.ProposalBody{
		&mls.Add{KeyPackage: guest.keys.KeyPackage}, update(mls.ComponentID(op.ID), op.Data),
	}}))
	result := must(im.group.Merge(w.ctx))
	return must(table.Apply(identity.TableChange{
		Epoch: im.group.Epoch(), Added: []identity.IdentityLinkEntry{{Leaf: result.Added[0].Index, Key: im.wrap(guest.id)}},
	}))
}

// sender is the attacker's hub in its rooms.
func (w *world) sender() mls.ExternalSender {
	return mls.ExternalSender{
		SignatureKey: w.hubKey().Public(), Credential: mls.BasicCredential([]byte(mimi.ProviderURI(w.evil.Domain).String())),
	}
}

// show is the hub's answer to who asks for the room.
func (w *world) show(st *stage, uri mimi.URI, key identity.WrapperKey) reply {
	im, table := w.build(st, key)
	if st.table != nil {
		st.table(table)
	}
	state := &identity.IdentityLinkState{
		NewestGeneration: key.Generation, NewestKeyCommitment: must(key.Commitment(w.suite, im.groupID)), TableHash: must(table.Hash(w.suite)),
	}
	if st.state != nil {
		st.state(state)
	}
	info := must(im.group.GroupInfo(0, mls.GroupInfoOptions{
		ExternalPub: true, Extensions: mls.Extensions{must(must(state.PublicComponents()).Extension())},
	}))
	content := &protocol.GroupInfoRatchetTreeTBE{GroupInfo: *info, RatchetTree: protocol.FullTree(*im.group.RatchetTree()), Table: table}
	if st.shown != nil {
		st.shown(content)
	}
	sender, hubKey := w.sender(), w.hubKey()
	if !st.hubKey.IsZero() {
		hubKey = st.hubKey
		sender.SignatureKey = hubKey.Public()
	}
	return func(e *wiretap.Exchange) ([]byte, bool) {
		var req protocol.GroupInfoRequest
		w.check(wire.Unmarshal(e.Request, &req))
		if st.stale {
			req.GroupInfoPublicKey = must(w.suite.GenerateHPKEKey(w.random)).Public()
		}
		resp := must(protocol.NewGroupInfoResponse(w.suite, sender, hubKey, uri, req.GroupInfoPublicKey, content))
		if st.response != nil {
			st.response(resp)
		}
		return must(wire.Marshal(resp)), true
	}
}

// lures is an attack that asks Anna, who accepts, and shows her a connection room
// that is not as it should be.
func lures(name, what, check, section string, bend func(w *world, st *stage)) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		d := w.draftRequest(w.packageFor(w.anna))
		uri := d.request.Room
		st := w.newStage(uri, w.newcomerOf(d.signer, mimi.URI{}, nil), identity.ConnectionRoomPolicy())
		bend(w, st)
		w.ask(d)
		asked := must(w.victim.Await(w.ctx, "a request", func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Peer == d.asker }))
		w.answers(map[protocol.Endpoint]reply{
			protocol.EndpointGroupInfo: w.show(st, uri, identity.WrapperKey{Key: d.request.WrapperKey}),
			protocol.EndpointUpdate:    always(&protocol.UpdateRoomResponse{Accepted: time.Now().Truncate(time.Millisecond)}),
		})
		_, err := w.victim.Node.Client().Accept(w.ctx, w.anna, asked.Request)
		return w.unless(err, "Anna has joined the room and given her connection key")
	}}
}

// stageAttacks are those of a hub on whoever joins one of its rooms.
func stageAttacks() []Attack {
	return []Attack{
		lures("answer-for-another-request", "answers for another cipher suite than Anna has asked for", "group-info-answer-room", "10", func(_ *world, st *stage) {
			st.response = func(r *protocol.GroupInfoResponse) { r.CipherSuite = suite.P256AES128 }
		}),
		lures("replayed-answer", "answers with what it has sealed for an earlier request", "group-info-answer-opens", "10", func(_ *world, st *stage) { st.stale = true }),
		lures("unsigned-answer", "answers without a signature of the hub", "group-info-answer-signature", "10", func(_ *world, st *stage) {
			st.response = func(r *protocol.GroupInfoResponse) { r.Signature[5] ^= 1 }
		}),
		lures("another-hub", "lets another than the room's hub answer", "group-info-hub", "10", func(w *world, st *stage) {
			st.hubKey = must(w.suite.GenerateSignatureKey(w.random))
		}),
		lures("other-group-id", "shows the group of another room", "group-info-room", "1", func(w *world, st *stage) {
			st.groupURI = must(mimi.NewID(w.evil.Domain, mimi.KindRoom, w.random))
		}),
		lures("other-wrapper-key", "shows a room with another wrapper key than the request's", "link-state-key", "3", func(_ *world, st *stage) {
			st.state = func(x *identity.IdentityLinkState) { x.NewestKeyCommitment[0] ^= 1 }
		}),
		lures("later-generation", "shows a room whose newest wrapper key is another", "link-state-generation", "3", func(_ *world, st *stage) {
			st.state = func(x *identity.IdentityLinkState) { x.NewestGeneration = 5 }
		}),
		lures("table-of-another-group", "shows the table of another group", "table-group", "3", func(w *world, st *stage) {
			other := must(mimi.NewID(w.evil.Domain, mimi.KindRoom, w.random))
			st.table = func(t *identity.IdentityLinkTable) { t.GroupID = identity.GroupID(other) }
		}),
		lures("old-table", "shows the table of another epoch", "table-epoch", "3", func(_ *world, st *stage) {
			st.table = func(t *identity.IdentityLinkTable) { t.Epoch += 3 }
		}),
		lures("table-of-others", "shows a table with an entry too many", "table-leaves", "3", func(_ *world, st *stage) {
			st.table = func(t *identity.IdentityLinkTable) {
				t.Entries = append(t.Entries, identity.IdentityLinkEntry{Leaf: 7, Key: t.Entries[0].Key})
			}
		}),
		lures("capabilities-of-the-room", "shows a room that requires something else of everyone", "context-capabilities", "2", func(_ *world, st *stage) {
			st.required.Proposals = nil
		}),
		lures("components-of-the-room", "shows a room that lists other components", "context-components", "2", func(_ *world, st *stage) {
			st.components = func(d mls.AppDataDictionary) mls.AppDataDictionary {
				return d.With(mls.ComponentSafeAAD, must(wire.Marshal(&mls.ComponentsList{identity.ComponentIdentityLink})))
			}
		}),
		lures("eavesdropper", "has Eve sit in the connection room", "connection-room-stranger", "4", func(w *world, st *stage) {
			st.guests = append(st.guests, w.newcomer(w.eve, mimi.URI{}, nil))
		}),
		lures("group-for-two", "shows a group in place of a connection room", "connection-room-policy", "4", func(_ *world, st *stage) {
			st.policy = identity.MinimalMetadataPolicy{Requirement: identity.RequireAll, Mode: identity.WrapperEpochRotated, MaxUsers: 100}
		}),
		lures("other-roles", "shows a connection room in which roles are a group's", "room-other-policy", "4", func(_ *world, st *stage) {
			st.instance = room.Cooperative()
		}),
		lures("other-tree-of-the-room", "shows a tree that is not that of the GroupInfo", "mls-tree-hash", "8", func(w *world, st *stage) {
			other := must(mls.Create(w.ctx, w.newImplant(st.groupURI).cfg, mls.CreateParams{
				CipherSuite: w.suite.ID(), GroupID: []byte("x"), Leaf: st.creator.params,
			}))
			st.shown = func(c *protocol.GroupInfoRatchetTreeTBE) { c.RatchetTree = protocol.FullTree(*other.RatchetTree()) }
		}),
	}
}
