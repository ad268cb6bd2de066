package identity

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// PolicyVersion is the version of [MinimalMetadataPolicy].
const PolicyVersion = 1

// Errors of policies.
var (
	// ErrPolicy reports a policy that contradicts itself or has an unknown value.
	ErrPolicy = errors.New("identity: invalid minimal-metadata policy")
	// ErrPolicyChange reports a policy that may not follow another one
	// (docs/mmr-profile.md, section 6).
	ErrPolicyChange = errors.New("identity: minimal-metadata policy may not change this way")
)

// A LinkRequirement says whose identity links must be openable in a room.
type LinkRequirement uint8

// The requirements of docs/mmr-profile.md, section 6.
const (
	// RequireAll: every leaf has an entry.
	RequireAll LinkRequirement = 0
	// RequireAdmins: every leaf of a user whose role is admin has one.
	RequireAdmins LinkRequirement = 1
	// RequireNone (optional): whoever likes has one.
	RequireNone LinkRequirement = 2
	// Forbidden: nobody has one, nobody opens anything.
	Forbidden LinkRequirement = 3
)

// A WrapperMode says when a room's wrapper key changes.
type WrapperMode uint8

// The modes of docs/mmr-profile.md, section 6.
const (
	// WrapperStatic: never. For connection rooms only.
	WrapperStatic WrapperMode = 0
	// WrapperEpochRotated: whenever a leaf is removed.
	WrapperEpochRotated WrapperMode = 1
)

// A MinimalMetadataPolicy makes a room a minimal-metadata room
// (docs/mmr-profile.md, section 6).
//
//	enum { all(0), admins(1), optional(2), forbidden(3), (255) } IdentityLinkRequirement;
//	enum { static(0), epoch_rotated(1), (255) } WrapperMode;
//	struct {
//	    uint8 version = 1;
//	    IdentityLinkRequirement requirement;
//	    WrapperMode mode;
//	    uint8 connection_room;
//	    uint32 max_users;
//	} MinimalMetadataPolicy;
type MinimalMetadataPolicy struct {
	Requirement    LinkRequirement
	Mode           WrapperMode
	ConnectionRoom bool
	// MaxUsers is how many users the participant list may have; never 0.
	MaxUsers uint32
}

// connectionUsers is how many users a connection room has.
const connectionUsers = 2

// ConnectionRoomPolicy is the policy of every connection room.
func ConnectionRoomPolicy() MinimalMetadataPolicy {
	return MinimalMetadataPolicy{RequireAll, WrapperStatic, true, connectionUsers}
}

// Wire codes the structure and refuses invalid policies with [ErrPolicy].
func (p *MinimalMetadataPolicy) Wire(c *wire.Codec) {
	version, connection := uint8(PolicyVersion), uint8(0)
	if p.ConnectionRoom {
		connection = 1
	}
	wire.Uint8(c, &version)
	wire.Uint8(c, &p.Requirement)
	wire.Uint8(c, &p.Mode)
	wire.Uint8(c, &connection)
	wire.Uint32(c, &p.MaxUsers)
	if version != PolicyVersion {
		c.Fail(fmt.Errorf("%w: version %d", ErrPolicy, version))
	}
	if connection > 1 {
		c.Fail(fmt.Errorf("%w: connection_room is %d", ErrPolicy, connection))
	}
	if c.Decoding() {
		p.ConnectionRoom = connection == 1
	}
	if err := p.Check(); err != nil {
		c.Fail(err)
	}
}

// Check fails with [ErrPolicy] unless the policy is one that a room can have:
// a connection room is for two users, static and requires all links; every other
// room rotates its keys (docs/mmr-profile.md, section 3).
func (p *MinimalMetadataPolicy) Check() error {
	switch {
	case p.Requirement > Forbidden:
		return fmt.Errorf("%w: requirement %d", ErrPolicy, p.Requirement)
	case p.Mode > WrapperEpochRotated:
		return fmt.Errorf("%w: mode %d", ErrPolicy, p.Mode)
	case p.MaxUsers == 0:
		return mimi.Refuse("policy-users", fmt.Errorf("%w: nobody may be in the room", ErrPolicy))
	case p.ConnectionRoom && *p != ConnectionRoomPolicy():
		return mimi.Refuse("policy-connection-form", fmt.Errorf("%w: a connection room is static, for two users and requires all links", ErrPolicy))
	case !p.ConnectionRoom && p.Mode != WrapperEpochRotated:
		return mimi.Refuse("policy-static", fmt.Errorf("%w: only a connection room keeps its wrapper key", ErrPolicy))
	}
	return nil
}

// CheckChange fails with [ErrPolicyChange] unless next may follow p: version,
// mode and connection_room never change, the requirement only weakens, and
// forbidden is neither entered nor left.
func (p *MinimalMetadataPolicy) CheckChange(next *MinimalMetadataPolicy) error {
	if err := next.Check(); err != nil {
		return err
	}
	switch {
	case p.ConnectionRoom:
		return mimi.Refuse("policy-connection-room", fmt.Errorf("%w: it is a connection room", ErrPolicyChange))
	case next.Mode != p.Mode || next.ConnectionRoom != p.ConnectionRoom:
		return mimi.Refuse("policy-fixed", fmt.Errorf("%w: mode and connection_room are fixed", ErrPolicyChange))
	case (next.Requirement == Forbidden) != (p.Requirement == Forbidden):
		return mimi.Refuse("policy-forbidden", fmt.Errorf("%w: forbidden is neither entered nor left", ErrPolicyChange))
	case next.Requirement < p.Requirement:
		return mimi.Refuse("policy-tightened", fmt.Errorf("%w: the requirement only weakens", ErrPolicyChange))
	}
	return nil
}

// PolicyFrom returns the policy in a GroupContext with these extensions, or nil
// if the group is no minimal-metadata room.
func PolicyFrom(groupContext mls.Extensions) (*MinimalMetadataPolicy, error) {
	data, ok, err := groupContext.Component(ComponentPolicy)
	if !ok || err != nil {
		return nil, err
	}
	var p MinimalMetadataPolicy
	if err := wire.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("component minimal_metadata_policy: %w", err)
	}
	return &p, nil
}
