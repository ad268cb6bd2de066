package mmr

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A roster is the credentials of all leaves, found by leaf and by pseudonym, so
// that a new leaf is compared with those that matter and not with all. A room
// never changes its roster: the next one has a copy.
type roster struct {
	byLeaf   identity.Roster
	byClient map[mimi.URI]mls.LeafIndex
	byUser   map[mimi.URI][]mls.LeafIndex // ascending
}

func newRoster(size int) roster {
	return roster{
		make(identity.Roster, size), make(map[mimi.URI]mls.LeafIndex, size), make(map[mimi.URI][]mls.LeafIndex, size),
	}
}

func (r roster) clone() roster {
	return roster{maps.Clone(r.byLeaf), maps.Clone(r.byClient), maps.Clone(r.byUser)}
}

// put takes a leaf in, and fails with [identity.ErrDuplicatePseudonym].
func (r roster) put(leaf mls.LeafIndex, tbs *identity.PseudonymousCredentialTBS) error {
	if other, taken := r.byClient[tbs.ClientPseudonym]; taken {
		return mimi.Refuse("client-pseudonym-twice", fmt.Errorf("%w: leaves %d and %d", identity.ErrDuplicatePseudonym, min(leaf, other), max(leaf, other)))
	}
	r.byLeaf[leaf] = tbs
	r.byClient[tbs.ClientPseudonym] = leaf
	leaves := r.byUser[tbs.UserPseudonym]
	at, _ := slices.BinarySearch(leaves, leaf)
	// A copy: the slice belongs to the room before as well.
	r.byUser[tbs.UserPseudonym] = slices.Concat(leaves[:at], []mls.LeafIndex{leaf}, leaves[at:])
	return nil
}

// drop takes a leaf out, if it is there.
func (r roster) drop(leaf mls.LeafIndex) {
	tbs, ok := r.byLeaf[leaf]
	if !ok {
		return
	}
	delete(r.byLeaf, leaf)
	delete(r.byClient, tbs.ClientPseudonym)
	left := slices.DeleteFunc(slices.Clone(r.byUser[tbs.UserPseudonym]), func(i mls.LeafIndex) bool { return i == leaf })
	if len(left) == 0 {
		delete(r.byUser, tbs.UserPseudonym)
	} else {
		r.byUser[tbs.UserPseudonym] = left
	}
}

// clients counts the leaves of each user.
func (r roster) clients() map[mimi.URI]int {
	out := make(map[mimi.URI]int, len(r.byUser))
	for user, leaves := range r.byUser {
		out[user] = len(leaves)
	}
	return out
}

// about returns the part of the roster that [identity.Roster.CheckNew] can need
// for a newcomer: who has one of its pseudonyms, and whom its entry names.
func (r roster) about(newcomer *identity.PseudonymousCredentialTBS, how identity.Entry) identity.Roster {
	leaves := slices.Clone(r.byUser[newcomer.UserPseudonym])
	if i, ok := r.byClient[newcomer.ClientPseudonym]; ok {
		leaves = append(leaves, i)
	}
	for _, named := range []*mls.LeafIndex{how.Committer, how.Replaces} {
		if named != nil {
			leaves = append(leaves, *named)
		}
	}
	if how.Proof != nil {
		leaves = append(leaves, how.Proof.Leaf)
	}
	out := make(identity.Roster, len(leaves))
	for _, i := range leaves {
		if tbs, ok := r.byLeaf[i]; ok {
			out[i] = tbs
		}
	}
	return out
}

// nextRoster checks the leaves that a Commit adds or changes, and returns the
// roster after it (docs/mmr-profile.md, sections 1 and 2).
func (r *Room) nextRoster(view *mls.CommitView) (roster, error) {
	if r.plain {
		return r.nextPlainRoster(view)
	}
	// Newcomers are compared with those who are there before the Commit, the
	// removed ones included; [roster.put] compares them with each other. Several
	// leaves of one new user may come at once: nobody is there to vouch for them.
	next := r.roster.clone()
	for _, removed := range view.Removed {
		next.drop(removed.Index)
	}
	for _, added := range view.Added {
		cred, err := ParseLeaf(r.suite, added.Leaf)
		if err != nil {
			return roster{}, fmt.Errorf("added leaf %d: %w", added.Index, err)
		}
		how, err := entry(view)
		if err != nil {
			return roster{}, err
		}
		tbs := &cred.PseudonymousCredentialTBS
		if err := r.checkPlace(tbs.UserPseudonym, view.External); err != nil {
			return roster{}, fmt.Errorf("added leaf %d: %w", added.Index, err)
		}
		if err := r.roster.about(tbs, how).CheckNew(tbs, how, r.verifySibling); err != nil {
			return roster{}, fmt.Errorf("added leaf %d: %w", added.Index, err)
		}
		if err := next.put(added.Index, tbs); err != nil {
			return roster{}, err
		}
	}
	for _, changed := range view.Updated {
		if err := r.updateLeaf(next, changed); err != nil {
			return roster{}, fmt.Errorf("changed leaf %d: %w", changed.Index, err)
		}
	}
	return next, nil
}

// checkPlace fails with [identity.ErrSibling] if a joiner's pseudonym is that of a
// participant without clients. Pseudonyms are self-asserted and no leaf is there to vouch:
// whoever joined like that would take over the place of another one, role included
// (docs/mmr-profile.md, section 1). The room's policy refuses the banned.
func (r *Room) checkPlace(user mimi.URI, external bool) error {
	if external && r.state.Role(user) != room.RoleNone && !r.state.Banned(user) && len(r.roster.byUser[user]) == 0 {
		return mimi.Refuse("participant-without-leaf", fmt.Errorf("%w: a participant without clients does not come back by itself", identity.ErrSibling))
	}
	return nil
}

func (r *Room) updateLeaf(next roster, changed mls.LeafChange) error {
	cred, err := ParseLeaf(r.suite, changed.New)
	if err != nil || changed.New.Credential.Equal(&changed.Old.Credential) {
		return err
	}
	leaf, tbs := changed.Index, &cred.PseudonymousCredentialTBS
	how := identity.Entry{Replaces: &leaf}
	if err := r.roster.about(tbs, how).CheckNew(tbs, how, r.verifySibling); err != nil {
		return err
	}
	next.drop(leaf)
	return next.put(leaf, tbs)
}

// entry says how the leaves that a Commit adds come into the group. An external
// Commit has one at most, and removes no leaf but the one that it replaces:
// whoever else leaves would know the key under which the joiner's own entry
// stands.
func entry(view *mls.CommitView) (identity.Entry, error) {
	if !view.External {
		return identity.Entry{Committer: &view.Committer}, nil
	}
	var how identity.Entry
	for _, p := range view.Proposals {
		switch body := p.Proposal.Body.(type) {
		case *mls.Remove:
			how.Replaces = &body.Removed
		case *mls.SelfRemove:
			return how, ErrRemovalPending
		}
	}
	var err error
	how.Proof, err = identity.SiblingProofFrom(view.AuthenticatedData.Safe)
	if err == nil && how.Proof != nil && how.Replaces != nil {
		err = mimi.Refuse("resync-proof", fmt.Errorf("%w: a leaf has a proof and replaces another", identity.ErrSibling))
	}
	return how, err
}

func (r *Room) verifySibling(p *identity.SiblingProof, sibling, newcomer *identity.PseudonymousCredentialTBS) error {
	return p.Verify(r.suite, r.groupID, sibling, newcomer)
}

// readRoster reads the leaves of a group with a function that checks as much as
// the caller needs.
func readRoster(view mls.View, read func(*mls.LeafNode) (*identity.PseudonymousCredentialTBS, error)) (roster, error) {
	r := newRoster(view.Len())
	for m := range view.Members() {
		tbs, err := read(m.Leaf)
		if err == nil {
			err = r.put(m.Index, tbs)
		}
		if err != nil {
			return roster{}, fmt.Errorf("leaf %d: %w", m.Index, err)
		}
	}
	return r, nil
}

// ReadCredential reads the credential of a leaf that was checked when it came, or
// whose leaf is checked elsewhere, in a room of either kind.
func ReadCredential(c mls.Credential) (*identity.PseudonymousCredentialTBS, error) {
	if c.Type == mls.CredentialX509 {
		return identity.ReadPlainCredential(c)
	}
	if c.Type != identity.CredentialPseudonymous {
		return nil, fmt.Errorf("%w: 0x%04x in a leaf", identity.ErrCredentialType, uint16(c.Type))
	}
	var cred identity.PseudonymousCredential
	if err := wire.Unmarshal(c.Body, &cred); err != nil {
		return nil, fmt.Errorf("pseudonymous credential: %w", err)
	}
	return &cred.PseudonymousCredentialTBS, nil
}
