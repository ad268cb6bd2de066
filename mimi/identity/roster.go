package identity

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// The ways in which the leaves of a group contradict each other
// (docs/mmr-profile.md, section 1).
var (
	// ErrDuplicatePseudonym reports two leaves with one client pseudonym.
	ErrDuplicatePseudonym = errors.New("identity: client pseudonym is already in the group")
	// ErrTwoUsers reports leaves of one user pseudonym that open to different
	// people.
	ErrTwoUsers = errors.New("identity: one user pseudonym stands for two people")
	// ErrTwoPseudonyms reports two user pseudonyms that open to one person.
	ErrTwoPseudonyms = errors.New("identity: two user pseudonyms stand for one person")
)

// A Roster is the credentials of a group's leaves, as everybody sees them.
type Roster map[mls.LeafIndex]*PseudonymousCredentialTBS

// ParseRoster reads the credentials of a group's leaves. It fails with the
// errors of [ParseCredential] and with [ErrDuplicatePseudonym].
func ParseRoster(leaves map[mls.LeafIndex]*PseudonymousCredential) (Roster, error) {
	r, seen := Roster{}, map[mimi.URI]mls.LeafIndex{}
	for i, p := range leaves {
		if other, ok := seen[p.ClientPseudonym]; ok {
			return nil, fmt.Errorf("%w: leaves %d and %d", ErrDuplicatePseudonym, min(i, other), max(i, other))
		}
		seen[p.ClientPseudonym] = i
		r[i] = &p.PseudonymousCredentialTBS
	}
	return r, nil
}

// An Entry says how a new leaf comes into a group, for [Roster.CheckNew].
type Entry struct {
	// Committer is the leaf that adds it, or nil for an external Commit.
	Committer *mls.LeafIndex
	// Proof is the sibling proof of an external Commit, or nil.
	Proof *SiblingProof
	// Replaces is the leaf that a resync removes, or nil.
	Replaces *mls.LeafIndex
}

// CheckNew checks a leaf that a Commit brings into a group with this roster,
// before the Commit. It fails with [ErrDuplicatePseudonym], and with
// [ErrSibling] if the user pseudonym is there already and none of its leaves
// vouches: by adding, by a proof, or by being replaced (docs/mmr-profile.md,
// section 1).
//
// The verify function checks a proof: p.Verify with the group's suite and id.
func (r Roster) CheckNew(newcomer *PseudonymousCredentialTBS, how Entry, verify func(p *SiblingProof, sibling, newcomer *PseudonymousCredentialTBS) error) error {
	known := false
	for i, tbs := range r {
		if tbs.ClientPseudonym == newcomer.ClientPseudonym {
			return mimi.Refuse("client-pseudonym-taken", fmt.Errorf("%w: leaf %d", ErrDuplicatePseudonym, i))
		}
		known = known || tbs.UserPseudonym == newcomer.UserPseudonym
	}
	if how.Replaces != nil {
		old, ok := r[*how.Replaces]
		if !ok || !SameClient(old, newcomer) {
			return mimi.Refuse("resync-user", fmt.Errorf("%w: a resync may replace the own leaf alone", ErrSibling))
		}
		return nil
	}
	if how.Proof != nil {
		// Whoever offers a proof stands by it, needed or not.
		sibling, ok := r[how.Proof.Leaf]
		if !ok || how.Committer != nil {
			return mimi.Refuse("sibling-leaf", fmt.Errorf("%w: the proof names leaf %d", ErrSibling, how.Proof.Leaf))
		}
		return verify(how.Proof, sibling, newcomer)
	}
	if how.Committer != nil {
		if by, ok := r[*how.Committer]; ok && by.UserPseudonym == newcomer.UserPseudonym {
			return nil
		}
	}
	if known {
		return mimi.Refuse("second-leaf", ErrSibling)
	}
	return nil
}

// A Contradiction is a leaf whose opened link does not agree with another's.
type Contradiction struct {
	Leaf mls.LeafIndex
	Err  error // [ErrTwoUsers] or [ErrTwoPseudonyms]
}

// Contradictions compares the opened links of a group: all leaves of one user
// pseudonym open to one user, and no two user pseudonyms to the same. The leaf
// with the lower index is believed: it was there first, or cannot be told from
// who was. Leaves that are named are treated as if their link had not opened.
func Contradictions(opened map[mls.LeafIndex]*OpenedLink) []Contradiction {
	leaves := make([]mls.LeafIndex, 0, len(opened))
	for i := range opened {
		leaves = append(leaves, i)
	}
	slices.SortFunc(leaves, func(a, b mls.LeafIndex) int { return cmp.Compare(a, b) })
	var out []Contradiction
	byPseudonym, byUser := map[mimi.URI]mimi.URI{}, map[mimi.URI]mimi.URI{}
	for _, i := range leaves {
		pseudonym, user := opened[i].tbs.UserPseudonym, opened[i].User()
		known, okPseudonym := byPseudonym[pseudonym]
		other, okUser := byUser[user]
		switch {
		case okPseudonym && known != user:
			out = append(out, Contradiction{i, ErrTwoUsers})
		case okUser && other != pseudonym:
			out = append(out, Contradiction{i, ErrTwoPseudonyms})
		default:
			byPseudonym[pseudonym], byUser[user] = user, pseudonym
		}
	}
	return out
}
