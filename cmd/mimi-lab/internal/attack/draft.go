package attack

import (
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A draft is a Commit that is about to be made: a good one, until it is bent.
type draft struct {
	im   *implant
	from mls.LeafIndex
	// commit is what a member commits; external is set instead for a joiner.
	commit   mls.CommitOptions
	external *mls.ExternalOptions
	// entries become the AddAAD, if there are any, or if emptyAAD is set.
	entries  []*identity.EncryptedIdentityLinkKey
	emptyAAD bool
	// safe are further components of the SafeAAD, ascending.
	safe mls.SafeAAD
	list room.ParticipantListUpdate
	// keepMetadata leaves out what a rotation makes necessary.
	keepMetadata bool
	// info bends the public GroupInfo, welcome what is inside the Welcome, request
	// the whole at last.
	info    func(*infoDraft)
	welcome func(*identity.WelcomeKeys)
	inside  func(mls.AppDataDictionary) mls.AppDataDictionary
	request func(*protocol.UpdateRequest)
	// self is the committer's new leaf.
	self *newcomer
}

// infoDraft is what the public GroupInfo will say.
type infoDraft struct {
	state       *identity.IdentityLinkState
	others      mls.AppDataDictionary
	externalPub bool
	tree        bool
}

// A bend changes a draft.
type bend func(d *draft)

// commit makes an update of a member.
func (im *implant) commit(account mimi.URI, bends ...bend) *protocol.UpdateRequest {
	return im.make(&draft{im: im, from: im.own[account]}, bends)
}

// resync makes an update that replaces a member's leaf.
func (im *implant) resync(account mimi.URI, bends ...bend) *protocol.UpdateRequest {
	leaf := im.own[account]
	d := im.entering(im.w.newcomer(account, im.tbs(account).UserPseudonym, nil))
	d.external.Resync = &leaf
	return im.make(d, bends)
}

// join makes an update by which a newcomer enters; listed says that its user is in
// the participant list already.
func (im *implant) join(n *newcomer, listed bool, bends ...bend) *protocol.UpdateRequest {
	d := im.entering(n)
	if !listed {
		d.list.Added = append(d.list.Added, room.Participant{User: n.id.TBS().UserPseudonym, Role: room.RoleMember})
	}
	return im.make(d, bends)
}

func (im *implant) entering(n *newcomer) *draft {
	return &draft{
		im: im, self: n, entries: []*identity.EncryptedIdentityLinkKey{im.wrap(n.id)},
		external: &mls.ExternalOptions{
			Leaf: n.params, PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: identity.JoinPSKID(im.ring.Newest().Generation)}},
		},
	}
}

// wrap makes the entry of a leaf under the newest key.
func (im *implant) wrap(id *identity.LeafIdentity) *identity.EncryptedIdentityLinkKey {
	return must(id.Wrap(im.w.suite, im.groupID, im.ring.Newest(), im.w.random))
}

// make makes the Commit, whatever the rules say.
func (im *implant) make(d *draft, bends []bend) *protocol.UpdateRequest {
	for _, b := range bends {
		b(d)
	}
	pending := must(d.pending())
	req := &protocol.UpdateRequest{
		ProposalOrCommit: *pending.MLSMessage(), Welcome: pending.Welcome,
		GroupInfo: protocol.GroupInfoOption{Full: pending.GroupInfo}, RatchetTree: protocol.HubTree(),
	}
	if d.request != nil {
		d.request(req)
	}
	return req
}

func (d *draft) pending() (*mls.PendingCommit, error) {
	ctx, safe := d.im.w.ctx, d.safe
	if len(d.entries) > 0 || d.emptyAAD {
		item := must((&identity.AddAAD{Keys: d.entries}).SafeAADItem())
		safe = append(mls.SafeAAD{item}, d.safe...)
	}
	aad := mls.AuthenticatedData{Safe: safe}
	if d.external == nil {
		opts := d.commit
		opts.Proposals, opts.AAD, opts.GroupInfo = d.proposals(opts.Proposals), aad, d.groupInfos
		return d.im.group.Commit(ctx, d.from, opts)
	}
	opts := *d.external
	opts.Proposals, opts.AAD, opts.GroupInfo = d.proposals(opts.Proposals), aad, d.groupInfos
	// A group of its own: what replaces an own leaf is no Commit of that group.
	info, tree := d.im.info, d.im.tree
	if d.im.group != nil {
		info = must(d.im.group.GroupInfo(d.im.anyOwn(), mls.GroupInfoOptions{ExternalPub: true}))
		tree = d.im.group.RatchetTree()
	}
	_, pending, err := mls.ExternalJoin(ctx, d.im.cfg, again(info), again(tree), opts)
	return pending, err
}

func (im *implant) anyOwn() mls.LeafIndex { return im.group.OwnLeaves()[0] }

// again sends a message through its encoding.
func again[T any, P interface {
	*T
	wire.Message
}](m P) P {
	out := P(new(T))
	if err := wire.Unmarshal(must(wire.Marshal(m)), out); err != nil {
		panic(failure{err})
	}
	return out
}

// proposals are all by value, with the change of the participant list and, if it is
// due, the re-encrypted metadata.
func (d *draft) proposals(given []mls.ProposalBody) []mls.ProposalBody {
	out := slices.Clone(given)
	if len(d.list.Added)+len(d.list.Removed)+len(d.list.Changed) > 0 {
		op := must(d.list.Operation())
		out = append(out, update(mls.ComponentID(op.ID), op.Data))
	}
	before, newest := d.im.room().Metadata(), d.im.ring.Newest()
	if before != nil && before.Generation != newest.Generation && d.external == nil && !d.keepMetadata && !d.removes() {
		out = append(out, d.im.name(newest, "the same room"))
	}
	return out
}

func (d *draft) removes() bool {
	return d.commit.AllPending || slices.ContainsFunc(d.commit.Proposals, func(b mls.ProposalBody) bool {
		return b.ProposalType() == mls.ProposalRemove
	})
}

func update(id mls.ComponentID, data []byte) *mls.AppDataUpdate {
	return &mls.AppDataUpdate{Component: id, Operation: mls.AppDataUpdateUpdate, Update: data}
}

// name is an update of the encrypted name.
func (im *implant) name(key identity.WrapperKey, name string) *mls.AppDataUpdate {
	plaintext := must(room.Encode(&room.RoomMetadata{URI: im.uri.String(), Name: name}))
	sealed := must(key.SealMetadata(im.w.suite, im.groupID, plaintext, im.w.random))
	return update(identity.ComponentRoomMetadata, must(wire.Marshal(sealed)))
}

// groupInfos makes the two GroupInfos. If the rules do not say what comes after the
// Commit, because it breaks them, they are those of a hub that does not mind.
func (d *draft) groupInfos(next *mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
	im, view := d.im, next.Commit()
	before := im.room()
	table, newest, epoch := d.tableAfter(view), before.Newest(), view.After.Context().Epoch
	ring := im.ring
	if len(view.Removed) > 0 && before.Policy().Mode == identity.WrapperEpochRotated {
		newest = identity.Generation(epoch)
		if ring, err = ring.Derive(im.w.suite, before.Policy().Mode, epoch, next); err != nil {
			return public, welcome, err
		}
	}
	info := &infoDraft{externalPub: true, state: must(identity.NewLinkState(im.w.suite, table, ring.Newest()))}
	info.state.NewestGeneration = newest
	if d.info != nil {
		d.info(info)
	}
	public = mls.GroupInfoOptions{Extensions: info.extensions(), ExternalPub: info.externalPub, RatchetTree: info.tree}
	keys := identity.WelcomeKeys{Keys: ring.Keys(), Table: table}
	if d.welcome != nil {
		d.welcome(&keys)
	}
	components, err := keys.ForWelcome(im.w.suite)
	if err != nil {
		return public, welcome, err
	}
	dictionary := components.Dictionary()
	if d.inside != nil {
		dictionary = d.inside(dictionary)
	}
	welcome.Extensions = mls.Extensions{must(dictionary.Extension())}
	return public, welcome, nil
}

// tableAfter is the table that a hub without checks would have after the Commit.
func (d *draft) tableAfter(view *mls.CommitView) *identity.IdentityLinkTable {
	ch := identity.TableChange{Epoch: view.After.Context().Epoch}
	for _, removed := range view.Removed {
		ch.Removed = append(ch.Removed, removed.Index)
	}
	rest := d.entries
	take := func() (key *identity.EncryptedIdentityLinkKey) {
		if len(rest) > 0 {
			key, rest = rest[0], rest[1:]
		}
		return key
	}
	for _, added := range view.Added {
		ch.Added = append(ch.Added, identity.IdentityLinkEntry{Leaf: added.Index, Key: take()})
	}
	if len(rest) > 0 && !view.External {
		ch.Renewed = &identity.IdentityLinkEntry{Leaf: view.Committer, Key: take()}
	}
	return must(d.im.room().Table().Apply(ch))
}

func (i *infoDraft) extensions() mls.Extensions {
	dictionary := i.others
	if i.state != nil {
		for _, c := range must(i.state.PublicComponents()) {
			dictionary = dictionary.With(c.ID, c.Data)
		}
	}
	return mls.Extensions{must(dictionary.Extension())}
}

// add adds a newcomer with its entry; listed says that its user is in the
// participant list already.
func add(n *newcomer, listed bool) bend {
	return func(d *draft) {
		if n.keys == nil {
			d.im.w.keyPackage(n)
		}
		d.commit.Proposals = append(d.commit.Proposals, &mls.Add{KeyPackage: n.keys.KeyPackage})
		d.entries = append(d.entries, d.im.wrap(n.id))
		if !listed {
			d.list.Added = append(d.list.Added, room.Participant{User: n.id.TBS().UserPseudonym, Role: room.RoleMember})
		}
	}
}

// remove removes a leaf and its user.
func remove(leaf mls.LeafIndex) bend {
	return func(d *draft) {
		d.commit.Proposals = append(d.commit.Proposals, &mls.Remove{Removed: leaf})
		tbs, _ := d.im.room().Leaf(leaf)
		index, _ := d.im.room().State().Find(tbs.UserPseudonym)
		d.list.Removed = append(d.list.Removed, index)
	}
}

// renew gives the committer another leaf, with its own entry.
func renew(n *newcomer) bend {
	return func(d *draft) {
		d.self, d.commit.NewLeaf = n, &n.params
		d.entries = append(d.entries, d.im.wrap(n.id))
	}
}

// propose adds a proposal by value.
func propose(body mls.ProposalBody) bend {
	return func(d *draft) {
		if d.external != nil {
			d.external.Proposals = append(d.external.Proposals, body)
			return
		}
		d.commit.Proposals = append(d.commit.Proposals, body)
	}
}

// list puts a user into the participant list.
func list(d *draft, user mimi.URI) {
	d.list.Added = append(d.list.Added, room.Participant{User: user, Role: room.RoleMember})
}
