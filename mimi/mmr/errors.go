package mmr

import "errors"

// The ways in which a handshake message breaks the rules. Errors of package
// identity and package room are wrapped as they are.
var (
	// ErrNotMinimal reports a group that is no minimal-metadata room: its
	// GroupContext has no policy of the profile.
	ErrNotMinimal = errors.New("mmr: not a minimal-metadata room")
	// ErrGroup reports a GroupContext that lacks what every such room has.
	ErrGroup = errors.New("mmr: GroupContext does not fit the profile")
	// ErrProposal reports a proposal of a type that is not legal, or not legal in
	// the way it was sent: all Updates, Adds by reference, proposals from outside.
	ErrProposal = errors.New("mmr: proposal is not legal here")
	// ErrLeaf reports a leaf that differs from everyone's in what it supports or
	// in which extensions it has.
	ErrLeaf = errors.New("mmr: leaf does not fit the profile")
	// ErrAuthenticated reports a component in the SafeAAD of a Commit that has no
	// business there.
	ErrAuthenticated = errors.New("mmr: component is for external Commits alone")
	// ErrStored reports rows that [Rows] has not written.
	ErrStored = errors.New("mmr: malformed stored room")
	// ErrRemovalPending reports an Add or an external Commit while the removal of
	// another leaf waits to be committed.
	ErrRemovalPending = errors.New("mmr: commit the pending removal first")
)
