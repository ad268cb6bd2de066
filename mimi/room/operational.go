package room

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ExtendedCapabilities lists what clients may be asked to support, or not to use
// (draft-ietf-mimi-room-policy-03, section 7.1). The numbers are those of the
// MLS registries.
type ExtendedCapabilities struct {
	Versions, CipherSuites, Extensions, Proposals, Credentials, WireFormats []uint16
	Components, SafeAAD                                                     []ComponentID
	MediaTypes                                                              []MediaType
	// ContentTypes are of RFC 9420, section 6: application, proposal, commit.
	ContentTypes []uint8
}

// Wire codes the capabilities as
//
//	struct {
//	  ProtocolVersion versions<V>;
//	  CipherSuite cipher_suites<V>;
//	  ExtensionType extensions<V>;
//	  ProposalType proposals<V>;
//	  CredentialType credentials<V>;
//	  WireFormats wire_formats<V>;
//	  ComponentID component_ids<V>;
//	  ComponentID safe_aad_types<V>;
//	  MediaType media_types<V>;
//	  ContentType content_types<V>;
//	} ExtendedCapabilities;
func (e *ExtendedCapabilities) Wire(c *wire.Codec) {
	for _, list := range []*[]uint16{
		&e.Versions, &e.CipherSuites, &e.Extensions, &e.Proposals, &e.Credentials, &e.WireFormats,
	} {
		numbers(c, list)
	}
	numbers(c, &e.Components)
	numbers(c, &e.SafeAAD)
	mediaTypes(c, &e.MediaTypes)
	wire.Vector(c, &e.ContentTypes, func(c *wire.Codec, t *uint8) { wire.Uint8(c, t) })
	check(c, distinctValues("content type", e.ContentTypes))
}

// numbers codes a set of registered numbers.
func numbers[T ~uint16](c *wire.Codec, v *[]T) {
	uint16s(c, v)
	check(c, atMost("numbers", *v, MaxList), distinctValues("number", *v))
}

// PendingProposalStrategy says when members commit the proposals of others
// (draft-ietf-mimi-room-policy-03, section 7.1).
type PendingProposalStrategy uint8

// The values of PendingProposalStrategy.
const (
	CommitUnspecified PendingProposalStrategy = 0
	CommitImmediately PendingProposalStrategy = 1
	CommitRandomDelay PendingProposalStrategy = 2
)

// PendingProposalPolicy says when members commit pending proposals.
type PendingProposalPolicy struct {
	Strategy PendingProposalStrategy
	// MinDelay and MaxDelay are milliseconds, and zero unless the strategy is
	// [CommitRandomDelay].
	MinDelay, MaxDelay uint64
}

// Wire codes the policy as
//
//	struct {
//	  PendingProposalStrategy pending_proposal_strategy;
//	  select (pending_proposal_strategy) {
//	    case unspecified:
//	      struct {};
//	    case immediate_commit:
//	      struct {};
//	    case random_delay:
//	      uint64 minimum_delay_ms;
//	      uint64 maximum_delay_ms;
//	    case extension:
//	      ComponentID id_of_strategy_params;
//	  }
//	} PendingProposalPolicy;
//
// The enum has no value for extension, so none is accepted.
func (p *PendingProposalPolicy) Wire(c *wire.Codec) {
	enum(c, &p.Strategy, CommitRandomDelay)
	if p.Strategy != CommitRandomDelay {
		if p.MinDelay != 0 || p.MaxDelay != 0 {
			c.Fail(fmt.Errorf("%w: delays without random_delay", ErrConflict))
		}
		return
	}
	wire.Uint64(c, &p.MinDelay)
	wire.Uint64(c, &p.MaxDelay)
	if p.MinDelay > p.MaxDelay {
		c.Fail(fmt.Errorf("%w: commit delay", ErrRange))
	}
}

// MinDefaultMaxTime is a range of times, and the one to take without a reason for
// another. The draft gives no unit; this project uses seconds.
type MinDefaultMaxTime struct {
	Min, Default, Max uint64
}

// Wire codes the range as
//
//	struct {
//	  uint64 minimum_time;
//	  uint64 default_time;
//	  uint64 maximum_time;
//	} MinDefaultMaxTime;
func (t *MinDefaultMaxTime) Wire(c *wire.Codec) {
	wire.Uint64(c, &t.Min)
	wire.Uint64(c, &t.Default)
	wire.Uint64(c, &t.Max)
	if t.Min > t.Default || t.Default > t.Max {
		c.Fail(fmt.Errorf("%w: times %d, %d, %d are not ascending", ErrRange, t.Min, t.Default, t.Max))
	}
}

// AppMessagePolicy bounds how application messages are sent and received.
type AppMessagePolicy struct {
	// EpochTolerance is how many past epochs' messages are still accepted.
	EpochTolerance uint8
	// PadToSize is the multiple to which messages are padded, in octets.
	PadToSize uint16
	// MaxSkip is how far a ratchet moves forward for one message.
	MaxSkip uint32
}

// Wire codes the policy as
//
//	struct {
//	  uint8  epoch_tolerance;
//	  uint16 pad_to_size;
//	  uint32 max_generations_skipahead;
//	} AppMessagePolicy;
func (p *AppMessagePolicy) Wire(c *wire.Codec) {
	wire.Uint8(c, &p.EpochTolerance)
	wire.Uint16(c, &p.PadToSize)
	wire.Uint32(c, &p.MaxSkip)
}

// OperationalParameters is the component mls_operational_policy, and its own
// update (draft-ietf-mimi-room-policy-03, section 7.1).
type OperationalParameters struct {
	Mandatory, Default, Forbidden ExtendedCapabilities
	// HandshakeFormats are the wire formats of proposals and commits.
	HandshakeFormats        []uint16
	ExternalProposals       bool
	ExternalCommits         bool
	PendingProposals        PendingProposalPolicy
	LeafUpdateTime          MinDefaultMaxTime
	AppMessages             AppMessagePolicy
	MaxKeyPackageLifetime   uint64
	MaxCredentialLifetime   uint64
	ResumptionPSKLifetime   uint64
	SenderKeypairLifetime   MinDefaultMaxTime
	MaxKeypairs             uint32
	BufferIncomingTime      MinDefaultMaxTime
	MaxBufferedMessageCount uint32
}

// Wire codes the parameters as
//
//	struct {
//	  ExtendedCapabilities mandatory_capabilities;
//	  ExtendedCapabilities default_capabilities;
//	  ExtendedCapabilities forbidden_capabilities;
//	  WireFormats handshake_formats<V>;
//	  bool external_proposal_allowed;
//	  bool external_commit_allowed;
//	  PendingProposalPolicy pending_proposal_policy;
//	  MinDefaultMaxTime LeafNode_update_time;
//	  AppMessagePolicy app_message_policy;
//	  unit64 max_kp_lifetime;
//	  uint64 max_credential_lifetime;
//	  uint64 resumption_psk_lifetime;
//	  MinDefaultMaxTime sender_nonce_keypair_lifetime;
//	  uint32 max_keypairs;
//	  MinDefaultMaxTime buffer_incoming_message_time;
//	  uint32 max_buffered_messages;
//	} OperationalParameters;
func (p *OperationalParameters) Wire(c *wire.Codec) {
	p.Mandatory.Wire(c)
	p.Default.Wire(c)
	p.Forbidden.Wire(c)
	numbers(c, &p.HandshakeFormats)
	boolean(c, &p.ExternalProposals)
	boolean(c, &p.ExternalCommits)
	p.PendingProposals.Wire(c)
	p.LeafUpdateTime.Wire(c)
	p.AppMessages.Wire(c)
	wire.Uint64(c, &p.MaxKeyPackageLifetime)
	wire.Uint64(c, &p.MaxCredentialLifetime)
	wire.Uint64(c, &p.ResumptionPSKLifetime)
	p.SenderKeypairLifetime.Wire(c)
	wire.Uint32(c, &p.MaxKeypairs)
	p.BufferIncomingTime.Wire(c)
	wire.Uint32(c, &p.MaxBufferedMessageCount)
}
