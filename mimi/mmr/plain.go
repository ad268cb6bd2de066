package mmr

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// Plain rooms (draft-ietf-mimi-protocol-06 without its section "Minimal metadata
// rooms"; docs/mmr-profile.md, section 11, "Plain rooms") have the rules of this
// package that follow from the room's policy, and none that hide something:
// participants are named by their real addresses, and there are no identity
// links, wrapper keys or join PSKs. A room is of one kind from its first epoch to
// its last.

// IsPlain reports whether a group is a plain room, by its GroupContext: it has no
// minimal_metadata_policy, and asks its members for x509 credentials.
func IsPlain(context *mls.GroupContext) (bool, error) {
	policy, _, err := context.Extensions.Component(identity.ComponentPolicy)
	if err != nil || policy != nil {
		return false, err
	}
	required, err := context.Extensions.RequiredCapabilities()
	return slices.Contains(required.Credentials, mls.CredentialX509), err
}

// Plain reports whether r is a plain room.
func (r *Room) Plain() bool { return r.plain }

// checkPlainContext checks that a GroupContext is that of a plain room. Rooms of
// other programs may ask for more than ours.
func checkPlainContext(context *mls.GroupContext) error {
	required, err := context.Extensions.RequiredCapabilities()
	if err != nil {
		return err
	}
	want := identity.PlainRequiredCapabilities()
	if !slices.Equal(required.Credentials, want.Credentials) ||
		!contains(required.Extensions, want.Extensions) || !contains(required.Proposals, want.Proposals) {
		return mimi.Refuse("plain-capabilities", fmt.Errorf("%w: other required_capabilities", ErrGroup))
	}
	if err := checkExternalSenders(context); err != nil {
		return err
	}
	return identity.CheckNoProfile(context.Extensions)
}

func contains[T comparable](have, want []T) bool {
	return !slices.ContainsFunc(want, func(w T) bool { return !slices.Contains(have, w) })
}

// ParseLeaf is the function [ParseLeaf] for a room of either kind: a leaf of the
// other kind is refused. In a plain room the leaf's real addresses stand in the
// places of pseudonyms. Nobody but members can tell who issued its certificate:
// for hubs, the provider of the addresses vouches with its mutual TLS.
func (r *Room) ParseLeaf(leaf *mls.LeafNode) (*identity.PseudonymousCredentialTBS, error) {
	return parseLeaf(r.suite, leaf, r.plain)
}

func parseLeaf(s *suite.Suite, leaf *mls.LeafNode, plain bool) (*identity.PseudonymousCredentialTBS, error) {
	if plain {
		return identity.ParsePlainCredential(s, leaf.Credential, leaf.SignatureKey)
	}
	cred, err := ParseLeaf(s, leaf)
	if err != nil {
		return nil, err
	}
	return &cred.PseudonymousCredentialTBS, nil
}

// ParseRequester reads the credential of somebody who asks a hub for something,
// which may be of either kind.
func ParseRequester(s *suite.Suite, credential mls.Credential, signatureKey []byte) (*identity.PseudonymousCredentialTBS, error) {
	if credential.Type == mls.CredentialX509 {
		return identity.ParsePlainCredential(s, credential, signatureKey)
	}
	cred, err := identity.ParseCredential(s, credential, signatureKey)
	if err != nil {
		return nil, err
	}
	return &cred.PseudonymousCredentialTBS, nil
}

// nextPlainRoster is nextRoster for a plain room: a certificate says whose leaf it
// is, so that nobody has to vouch for a second one.
func (r *Room) nextPlainRoster(view *mls.CommitView) (roster, error) {
	next := r.roster.clone()
	for _, removed := range view.Removed {
		next.drop(removed.Index)
	}
	for _, changed := range view.Updated {
		tbs, err := r.ParseLeaf(changed.New)
		if err != nil {
			return roster{}, fmt.Errorf("changed leaf %d: %w", changed.Index, err)
		}
		next.drop(changed.Index)
		if err := next.put(changed.Index, tbs); err != nil {
			return roster{}, err
		}
	}
	for _, added := range view.Added {
		tbs, err := r.ParseLeaf(added.Leaf)
		if err != nil {
			return roster{}, fmt.Errorf("added leaf %d: %w", added.Index, err)
		}
		if err := next.put(added.Index, tbs); err != nil {
			return roster{}, err
		}
	}
	return next, nil
}

// checkNewPlain is CheckNew for a plain room.
func (r *Room) checkNewPlain(creator string) error {
	participants := r.state.Participants()
	limit := r.state.Base().MaxUsers
	switch tbs := r.roster.byLeaf[0]; {
	case r.epoch != 0 || len(r.roster.byLeaf) != 1 || tbs == nil:
		return mimi.Refuse("plain-new-leaf", fmt.Errorf("%w: a new room has one leaf at epoch 0", ErrGroup))
	case tbs.Domain() != creator:
		return mimi.Refuse("plain-new-domain", fmt.Errorf("%w: its creator is of another provider", ErrGroup))
	case len(participants) != 1 || participants[0].User != tbs.UserPseudonym:
		return mimi.Refuse("plain-new-participant", fmt.Errorf("%w: a new room has its creator for its only participant", ErrGroup))
	case limit == nil:
		return mimi.Refuse("plain-new-limit", fmt.Errorf("%w: a plain room says how many users it may have", ErrGroup))
	}
	return room.Plain(*limit).Check(r.state)
}
