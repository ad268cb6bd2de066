package mls

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/secrettree"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A Policy decides what only the application can. All hooks are mandatory. They
// are called before anything changes, may be called more than once for one
// message, and must give every member of a group the same answer, or the group
// falls apart. An error refuses the message; it comes back to the caller wrapped
// in [ErrPolicy].
type Policy interface {
	// ValidateCredential checks with the Authentication Service that a
	// credential goes with a signature key (RFC 9420, section 5.3.1).
	ValidateCredential(ctx context.Context, c Credential, signatureKey []byte) error

	// SameClient reports whether the new credential may succeed the old one: in
	// an Update, in the path of a commit, and in an external Commit that removes
	// the old leaf (RFC 9420, sections 5.3.1 and 12.2). Whether a client is added
	// twice is not asked here, but left to ValidateCommit: some credential types
	// let one user have several clients.
	SameClient(old, new Credential) bool

	// ValidateProposal checks one proposal: when it arrives alone, and again when
	// it is committed.
	ValidateProposal(ctx context.Context, v *ProposalView) error

	// ApplyComponent gives the new data of a component after updates, in order.
	// The old data is nil if there is none. An unknown component is an error
	// (draft-ietf-mls-extensions-09, section "Updating Application Data in the
	// GroupContext").
	ApplyComponent(ctx context.Context, id ComponentID, old []byte, updates [][]byte) ([]byte, error)

	// ValidateCommit checks a whole commit, with the epochs before and after it.
	ValidateCommit(ctx context.Context, v *CommitView) error
}

// A Config is what a [Group] or a [PublicGroup] works with.
type Config struct {
	// Policy is mandatory.
	Policy Policy
	// Random is the source of keys and nonces, mandatory for a Group:
	// crypto/rand.Reader.
	Random io.Reader
	// Now is the clock for lifetimes, mandatory.
	Now func() time.Time
	// PSK finds a pre-shared key, or fails with an error that wraps [ErrNoPSK].
	// Nil means that there are none. Resumption PSKs of the group itself are
	// found without it.
	PSK func(ctx context.Context, id PreSharedKeyID) (suite.Secret, error)
	// Limits bound what peers can make us store and compute. A zero field means
	// its value in DefaultLimits.
	Limits Limits
}

// Limits bound time and memory.
type Limits struct {
	// PastEpochs is how many epochs are kept for application messages that come
	// late, and for resumption PSKs.
	PastEpochs int
	// SkippedKeys is how many keys of messages that are missing are kept, for
	// each sender and kind of message.
	SkippedKeys int
	// ForwardKeys is how many messages of a sender may be missing in a row.
	ForwardKeys int
	// MaxLifetime is the longest total lifetime of a leaf node (RFC 9420, section
	// 7.2). Negative means that any is acceptable.
	MaxLifetime time.Duration
	// ClockSkew is how far the clocks of members may be apart.
	ClockSkew time.Duration
	// MaxLeaves is the largest tree, blank leaves included.
	MaxLeaves int
	// PendingProposals is how many proposals are kept for a commit.
	PendingProposals int
	// Padding is the unit of length of application messages, in octets.
	Padding int
}

// DefaultLimits returns the limits that apply where a Config says nothing.
func DefaultLimits() Limits {
	return Limits{
		PastEpochs:       5,
		SkippedKeys:      1000,
		ForwardKeys:      2000,
		MaxLifetime:      100 * 24 * time.Hour,
		ClockSkew:        24 * time.Hour,
		MaxLeaves:        1 << 16,
		PendingProposals: 1000,
		Padding:          256,
	}
}

// complete checks the mandatory fields and fills in the limits.
func (c Config) complete(member bool) (*Config, error) {
	switch {
	case c.Policy == nil:
		return nil, fmt.Errorf("%w: no Policy", ErrConfig)
	case c.Now == nil:
		return nil, fmt.Errorf("%w: no Now", ErrConfig)
	case member && c.Random == nil:
		return nil, fmt.Errorf("%w: no Random", ErrConfig)
	}
	d := DefaultLimits()
	for _, f := range []struct{ have, def *int }{
		{&c.Limits.PastEpochs, &d.PastEpochs},
		{&c.Limits.SkippedKeys, &d.SkippedKeys},
		{&c.Limits.ForwardKeys, &d.ForwardKeys},
		{&c.Limits.MaxLeaves, &d.MaxLeaves},
		{&c.Limits.PendingProposals, &d.PendingProposals},
		{&c.Limits.Padding, &d.Padding},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	if c.Limits.MaxLifetime == 0 {
		c.Limits.MaxLifetime = d.MaxLifetime
	}
	if c.Limits.ClockSkew == 0 {
		c.Limits.ClockSkew = d.ClockSkew
	}
	return &c, nil
}

func (c *Config) treeLimits() secrettree.Limits {
	return secrettree.Limits{Skipped: c.Limits.SkippedKeys, Forward: c.Limits.ForwardKeys}
}

// policyError wraps the answer of a hook.
func policyError(hook string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (%s): %w", ErrPolicy, hook, err)
}
