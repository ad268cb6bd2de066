package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// told is what a transaction has to say once it is done.
type told struct {
	lanes []mimi.URI // with new events
	after []func(ctx context.Context)
}

// tell stores an event.
func (c *Client) tell(ctx context.Context, t *told, e *Event) error {
	t.lanes = append(t.lanes, e.lane())
	return e.store(ctx, c.cfg.Store)
}

// then runs f in a goroutine of its own once the transaction is done.
func (t *told) then(f func(ctx context.Context)) { t.after = append(t.after, f) }

// inRoom runs f in a transaction on a locked room, and stores what f changes of
// its group.
func (c *Client) inRoom(ctx context.Context, r *room, f func(ctx context.Context, t *told) error) error {
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		if err := f(ctx, &t); err != nil {
			return err
		}
		if r.record.Left {
			return c.cfg.Store.DeleteRows(ctx, r.uri())
		}
		return c.save(ctx, r)
	})
	if err != nil {
		return err
	}
	c.finish(&t)
	c.waiters.change(r.uri())
	return nil
}

// finish does what had to wait for the end of a transaction.
func (c *Client) finish(t *told) {
	for _, lane := range t.lanes {
		c.events.wake(lane)
	}
	for _, f := range t.after {
		c.spawn(f)
	}
}

// applied brings everything behind a commit that the group has just applied: the
// public room, wrapper keys, members, and what people are told.
func (c *Client) applied(ctx context.Context, r *room, result *mls.CommitResult, accepted time.Time, t *told) error {
	before := r.public()
	view := &result.CommitView
	if err := c.openCommitter(ctx, r, view, t); err != nil {
		return err
	}
	actor := c.actor(r, view)
	if !result.Active {
		return c.gone(ctx, r, result, actor, accepted, t)
	}
	next, err := r.rules.Next(view)
	if err != nil {
		return fmt.Errorf("client: internal error: an applied commit breaks the rules: %w", err)
	}
	if err := c.rotate(r, before, next); err != nil {
		return err
	}
	if err := r.noteUntold(result, c.cfg.Clock.Now()); err != nil {
		return err
	}
	removed, err := c.removed(ctx, r, result, actor, accepted, t)
	if err != nil {
		return err
	}
	if next.Newest() != before.Newest() {
		if err := c.linksDie(ctx, r, accepted, t); err != nil {
			return err
		}
		uri := r.uri()
		t.then(func(ctx context.Context) { c.renewOldest(ctx, uri) })
	}
	added, opened, err := c.added(ctx, r, view, accepted, t)
	if err != nil {
		return err
	}
	if view.External && len(added) == 1 {
		actor = added[0]
	}
	if err := c.tellMembers(ctx, r, actor, added, removed, c.rolesChanged(r, before), accepted, t); err != nil {
		return err
	}
	if err := c.described(ctx, r, before, view, actor, accepted, t); err != nil {
		return err
	}
	if err := c.loosened(ctx, r, before, actor, accepted, t); err != nil {
		return err
	}
	if view.External {
		if err := c.answered(ctx, r, view, opened, accepted, t); err != nil {
			return err
		}
	}
	if err := c.passedOver(r, t); err != nil {
		return err
	}
	uri := r.uri()
	t.then(func(ctx context.Context) { c.outbox.wake(uri) })
	if len(added) > 0 {
		t.then(func(ctx context.Context) { c.introduce(ctx, uri) })
	}
	return nil
}

// openCommitter opens the link of who made a commit, if it is closed: as the room was
// before it.
func (c *Client) openCommitter(ctx context.Context, r *room, view *mls.CommitView, t *told) error {
	m, ok := view.Before.Member(view.Committer)
	if view.External || !ok || r.members[view.Committer] != nil {
		return nil
	}
	s, err := c.openNode(ctx, r, view.Committer, m.Leaf, identity.LeafInTree(c.cfg.Clock.Now()))
	if err != nil {
		return err
	}
	if err := c.see(ctx, r, s, arrival{}, t); err != nil {
		return err
	}
	if s.failure != nil {
		return c.tellQuarantine(ctx, r, Person{}, c.cfg.Clock.Now(), t)
	}
	return c.tellOpened(ctx, r, []Person{c.personOf(r, s.member)}, t)
}

// passedOver ends what own leaves have asked in the last epoch, and lets those ask
// again whom the commit has not removed.
func (c *Client) passedOver(r *room, t *told) error {
	for i := range r.leaves {
		if err := r.putLeave(i, nil); err != nil {
			return err
		}
	}
	uri := r.uri()
	for _, l := range r.own {
		if l.State == LeafLeaving {
			t.then(func(ctx context.Context) { c.leaveAgain(ctx, uri) })
			return nil
		}
	}
	return nil
}

// departure is somebody whom a commit has removed.
type departure struct {
	Person
	// left says that they asked for it themselves.
	left bool
}

// tellMembers tells who has come and gone: those who left, each by an act of
// their own, whoever committed it; the others by the actor's. changed are those who have
// another role now.
func (c *Client) tellMembers(ctx context.Context, r *room, actor Person, added []Person, gone []departure, changed []Person, accepted time.Time, t *told) error {
	all := &Event{Kind: EventMembers, Time: accepted, Room: r.uri(), Actor: actor, Added: added, Changed: changed}
	for _, d := range gone {
		if !d.left {
			all.Removed = append(all.Removed, d.Person)
			continue
		}
		if err := c.tell(ctx, t, &Event{
			Kind: EventMembers, Time: accepted, Room: r.uri(), Actor: d.Person, Removed: []Person{d.Person},
		}); err != nil {
			return err
		}
	}
	if len(all.Added)+len(all.Removed)+len(all.Changed) == 0 {
		return nil
	}
	return c.tell(ctx, t, all)
}

// rolesChanged returns who has another role in a room than before a commit, of those who
// were in it then.
func (c *Client) rolesChanged(r *room, before *mmr.Room) (changed []Person) {
	for _, p := range r.public().State().Participants() {
		if role := before.State().Role(p.User); role != rules.RoleNone && role != p.Role {
			changed = append(changed, c.personBehind(r, p.User))
		}
	}
	return changed
}

// leaves reports whether a leaf has asked for its own removal in a commit.
func leaves(view *mls.CommitView, leaf mls.LeafIndex) bool {
	return slices.ContainsFunc(view.Proposals, func(p mls.CommittedProposal) bool {
		return p.Proposal.Type() == mls.ProposalSelfRemove && p.Sender.Index == leaf
	})
}

// actor says who made a commit. An external joiner is not known before its link
// is opened.
func (c *Client) actor(r *room, view *mls.CommitView) Person {
	if view.External {
		return Person{}
	}
	return c.person(r, view.Committer)
}

// rotate takes the room to its next state, with a new wrapper key after a removal,
// and without those that nothing needs any more.
func (c *Client) rotate(r *room, before, next *mmr.Room) error {
	if next.Plain() {
		return r.setPublic(next)
	}
	ring := r.ring
	var err error
	if next.Newest() != before.Newest() {
		if ring, err = ring.Needed(next.Table(), next.Metadata()).Derive(r.suite, next.Policy().Mode, next.Epoch(), r.group); err != nil {
			return err
		}
	}
	live, err := ring.Live(next.Table(), next.Metadata())
	if err == nil {
		ring = live
	} else if !errors.Is(err, identity.ErrKeys) {
		return err
	} // a key that is missing opens nothing; the others stay
	if err := r.setPublic(next); err != nil {
		return err
	}
	return r.setRing(ring)
}

// removed drops the members that a commit removed, and tells accounts that are
// out of the room.
func (c *Client) removed(ctx context.Context, r *room, result *mls.CommitResult, actor Person, accepted time.Time, t *told) ([]departure, error) {
	var people []departure
	for _, m := range result.Removed {
		if r.replaced(result, m) {
			continue
		}
		gone := c.person(r, m.Index)
		people = append(people, departure{gone, leaves(&result.CommitView, m.Index)})
		if known := r.members[m.Index]; known != nil {
			if err := c.rememberMember(ctx, r, known); err != nil {
				return nil, err
			}
		}
		if err := c.dropMember(ctx, r, m.Index); err != nil {
			return nil, err
		}
		if err := c.peerLeft(ctx, r, gone, accepted, t); err != nil {
			return nil, err
		}
	}
	for _, index := range result.OwnRemoved {
		if err := c.ownGone(ctx, r, index, actor, accepted, t); err != nil {
			return nil, err
		}
	}
	return people, nil
}

// replaced reports whether a removed leaf makes room for a new one of the same
// user: a resync.
func (r *room) replaced(result *mls.CommitResult, gone mls.Member) bool {
	old, err := mmr.ReadCredential(gone.Leaf.Credential)
	if err != nil || !result.External {
		return false
	}
	for _, added := range result.Added {
		fresh, err := mmr.ReadCredential(added.Leaf.Credential)
		if err == nil && fresh.UserPseudonym == old.UserPseudonym {
			return true
		}
	}
	return false
}

// ownGone ends the membership of the account at a leaf.
func (c *Client) ownGone(ctx context.Context, r *room, index mls.LeafIndex, actor Person, accepted time.Time, t *told) error {
	own, ok := r.ownAt(index)
	if !ok {
		return nil
	}
	return c.out(ctx, r, own, actor, accepted, t)
}

// out ends a membership. Who leaves has done so by themselves, whoever committed it.
func (c *Client) out(ctx context.Context, r *room, own *Leaf, actor Person, at time.Time, t *told) error {
	delete(r.own, own.Account)
	if err := c.cfg.Store.DeleteLeaf(ctx, r.uri(), own.Account); err != nil {
		return err
	}
	if err := c.rememberMembers(ctx, r, own.Account); err != nil {
		return err
	}
	if own.State == LeafLeaving {
		actor = Person{User: own.Account, Local: true}
	}
	account := own.Account
	t.then(func(ctx context.Context) {
		if closing, err := c.closing(ctx, account); closing && err == nil {
			c.closings.wake(account)
		}
	})
	if err := c.tell(ctx, t, &Event{Kind: EventGone, Time: at, Account: own.Account, Room: r.uri(), Actor: actor}); err != nil {
		return err
	}
	return c.disconnected(ctx, r, own.Account)
}

// gone ends a room in which no account is left.
func (c *Client) gone(ctx context.Context, r *room, result *mls.CommitResult, actor Person, accepted time.Time, t *told) error {
	for _, index := range result.OwnRemoved {
		if err := c.ownGone(ctx, r, index, actor, accepted, t); err != nil {
			return err
		}
	}
	r.record.Left = true
	return c.cfg.Store.PutRoom(ctx, r.record)
}

// added opens the leaves that a commit brings or changes.
func (c *Client) added(ctx context.Context, r *room, view *mls.CommitView, accepted time.Time, t *told) (people []Person, opened []*identity.OpenedLink, err error) {
	var named []Person // who had no name before
	committer := c.person(r, view.Committer)
	put := func(i mls.LeafIndex) (sight, error) {
		before := r.members[i]
		s, err := c.openLeaf(ctx, r, i, c.moment(accepted))
		if err != nil {
			return sight{}, err
		}
		s.member.CommittedBy = uint32(view.Committer)
		how := arrival{external: view.External}
		if tbs, ok := r.public().Leaf(view.Committer); ok && view.Committer != i {
			how.by = tbs.UserPseudonym
		}
		if err := c.see(ctx, r, s, how, t); err != nil {
			return sight{}, err
		}
		if s.failure != nil {
			return s, c.tellQuarantine(ctx, r, committer, accepted, t)
		}
		if before != nil && before.User.IsZero() {
			named = append(named, c.personOf(r, s.member))
		}
		return s, nil
	}
	for _, a := range view.Added {
		s, err := put(a.Index)
		if err != nil {
			return nil, nil, err
		}
		opened = append(opened, s.link)
		if _, resync := view.Before.Member(a.Index); !resync || len(view.Removed) == 0 || !view.External {
			people = append(people, c.personOf(r, s.member))
		}
	}
	for _, u := range view.Updated {
		if u.New.Credential.Equal(&u.Old.Credential) {
			continue
		}
		if _, err := put(u.Index); err != nil {
			return nil, nil, err
		}
	}
	again, err := c.reopen(ctx, r, false, t)
	if err != nil {
		return nil, nil, err
	}
	return people, opened, c.tellOpened(ctx, r, append(named, again...), t)
}

// answered looks for the answer to an account's connection request in an external
// Commit.
func (c *Client) answered(ctx context.Context, r *room, view *mls.CommitView, opened []*identity.OpenedLink, accepted time.Time, t *told) error {
	if r.record.Kind != RoomConnection {
		return nil
	}
	contact, err := c.contactIn(ctx, r.uri(), r.record.Creator)
	if errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	secret, err := openContact(contact)
	if err != nil {
		return err
	}
	if contact.State != ContactAsked || secret.Asked == nil {
		return nil
	}
	keys, err := secret.Asked.Accept(opened, view.AuthenticatedData.Safe)
	if err != nil {
		c.refused(ctx, "the answer to a connection request is not acceptable", err, "room", r.uri())
		uri, account, leaf := r.uri(), contact.Account, view.Committer
		t.then(func(ctx context.Context) { c.evict(ctx, uri, account, leaf) })
		return c.tell(ctx, t, &Event{
			Kind: EventRefused, Time: accepted, Account: contact.Account, Peer: contact.Peer, Reason: ReasonWrongPerson,
		})
	}
	secret.Theirs, secret.Asked, secret.State = keys, nil, connection.Connected
	contact.State = ContactConnected
	if err := c.putContact(ctx, contact, secret); err != nil {
		return err
	}
	uri, account := r.uri(), contact.Account
	t.then(func(ctx context.Context) { c.sendProfile(ctx, account, uri) })
	return c.tell(ctx, t, &Event{Kind: EventConnected, Time: accepted, Account: account, Peer: contact.Peer, Room: uri})
}
