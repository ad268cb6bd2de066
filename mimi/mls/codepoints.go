package mls

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// CipherSuite is the number of a cipher suite (RFC 9420, section 17.1).
type CipherSuite = suite.ID

// ExtensionsDraft is the revision of the extensions draft that this package
// follows for everything that RFC 9420 does not define.
const ExtensionsDraft = "draft-ietf-mls-extensions-09"

// ProtocolVersion is a version of MLS (RFC 9420, section 6).
type ProtocolVersion uint16

// MLS10 is the only version.
const MLS10 ProtocolVersion = 1

// WireFormat says what an [MLSMessage] carries (RFC 9420, section 17.2).
type WireFormat uint16

// The wire formats of RFC 9420.
const (
	WireFormatPublicMessage  WireFormat = 0x0001
	WireFormatPrivateMessage WireFormat = 0x0002
	WireFormatWelcome        WireFormat = 0x0003
	WireFormatGroupInfo      WireFormat = 0x0004
	WireFormatKeyPackage     WireFormat = 0x0005
)

// ContentType says what a [FramedContent] carries (RFC 9420, section 6).
type ContentType uint8

// The content types of RFC 9420.
const (
	ContentApplication ContentType = 1
	ContentProposal    ContentType = 2
	ContentCommit      ContentType = 3
)

// SenderType says who sent a [FramedContent] (RFC 9420, section 6).
type SenderType uint8

// The sender types of RFC 9420.
const (
	SenderMember            SenderType = 1
	SenderExternal          SenderType = 2
	SenderNewMemberProposal SenderType = 3
	SenderNewMemberCommit   SenderType = 4
)

// ExtensionType is the type of an [Extension] (RFC 9420, section 17.3).
type ExtensionType uint16

// The extensions that this package knows. The first five are default ones: all
// clients have them, and capabilities never list them.
const (
	ExtensionApplicationID        ExtensionType = 0x0001
	ExtensionRatchetTree          ExtensionType = 0x0002
	ExtensionRequiredCapabilities ExtensionType = 0x0003
	ExtensionExternalPub          ExtensionType = 0x0004
	ExtensionExternalSenders      ExtensionType = 0x0005
	// ExtensionAppDataDictionary is of draft-ietf-mls-extensions-09, section
	// "app_data_dictionary MLS Extension".
	ExtensionAppDataDictionary ExtensionType = 0x0006
	// ExtensionSupportedWireFormats and ExtensionRequiredWireFormats are of the
	// same draft, in leaves and in the GroupContext.
	ExtensionSupportedWireFormats ExtensionType = 0x0007
	ExtensionRequiredWireFormats  ExtensionType = 0x0008
)

// isDefault reports whether RFC 9420, section 7.2, calls t a default type.
func (t ExtensionType) isDefault() bool { return t >= 1 && t <= 5 }

// ProposalType is the type of a [Proposal] (RFC 9420, section 17.4).
type ProposalType uint16

// The proposals that this package knows. The first seven are default ones.
const (
	ProposalAdd                    ProposalType = 0x0001
	ProposalUpdate                 ProposalType = 0x0002
	ProposalRemove                 ProposalType = 0x0003
	ProposalPreSharedKey           ProposalType = 0x0004
	ProposalReInit                 ProposalType = 0x0005
	ProposalExternalInit           ProposalType = 0x0006
	ProposalGroupContextExtensions ProposalType = 0x0007
	// The following are of draft-ietf-mls-extensions-09, section "MLS Proposal
	// Types".
	ProposalAppDataUpdate ProposalType = 0x0008
	ProposalAppEphemeral  ProposalType = 0x0009
	ProposalSelfRemove    ProposalType = 0x000a
)

// isDefault reports whether RFC 9420, section 7.2, calls t a default type.
func (t ProposalType) isDefault() bool { return t >= 1 && t <= 7 }

// pathRequired is the "Path Required" column of RFC 9420, section 17.4, and of
// the extensions draft.
func (t ProposalType) pathRequired() bool {
	switch t {
	case ProposalUpdate, ProposalRemove, ProposalExternalInit, ProposalGroupContextExtensions, ProposalSelfRemove:
		return true
	case ProposalAdd, ProposalPreSharedKey, ProposalReInit, ProposalAppDataUpdate, ProposalAppEphemeral:
		return false
	}
	return true
}

// external is the "External" column of the same registries: whether an external
// sender may send the proposal.
func (t ProposalType) external() bool {
	return slices.Contains([]ProposalType{
		ProposalAdd, ProposalRemove, ProposalPreSharedKey, ProposalReInit,
		ProposalGroupContextExtensions, ProposalAppDataUpdate, ProposalAppEphemeral,
	}, t)
}

// String names the proposal type as the registry does.
func (t ProposalType) String() string {
	names := [...]string{
		"", "add", "update", "remove", "psk", "reinit", "external_init", "group_context_extensions",
		"app_data_update", "app_ephemeral", "self_remove",
	}
	if t > 0 && int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("proposal type 0x%04x", uint16(t))
}

// CredentialType is the type of a [Credential] (RFC 9420, section 17.5).
type CredentialType uint16

// The credential types of RFC 9420.
const (
	CredentialBasic CredentialType = 0x0001
	CredentialX509  CredentialType = 0x0002
)

// LeafNodeSource says how a [LeafNode] came into the tree (RFC 9420, section
// 7.2).
type LeafNodeSource uint8

// The leaf node sources of RFC 9420.
const (
	LeafNodeSourceKeyPackage LeafNodeSource = 1
	LeafNodeSourceUpdate     LeafNodeSource = 2
	LeafNodeSourceCommit     LeafNodeSource = 3
)

// LeafIndex is the position of a member among the leaves of the tree, in one
// epoch.
type LeafIndex uint32
