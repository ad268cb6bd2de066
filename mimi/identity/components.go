package identity

import (
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// CredentialPseudonymous is the type of a [PseudonymousCredential] in a leaf: a
// private-use value (docs/mmr-profile.md, section 2).
const CredentialPseudonymous mls.CredentialType = 0xFD4D

// The components of the profile (docs/mmr-profile.md, section 3). All are of the
// private-use range.
const (
	// ComponentIdentityLink is an [AddAAD] in the SafeAAD of a Commit.
	ComponentIdentityLink mls.ComponentID = 0x8D40
	// ComponentWrapperKeys is [WelcomeKeys] in the GroupInfo inside a Welcome,
	// and nowhere else.
	ComponentWrapperKeys mls.ComponentID = 0x8D41
	// ComponentQueueReference is a [QueueReference] in a LeafNode.
	ComponentQueueReference mls.ComponentID = 0x8D42
	// ComponentConnectionResponse is an EncryptedConnectionResponse in the
	// SafeAAD of an external Commit.
	ComponentConnectionResponse mls.ComponentID = 0x8D43
	// ComponentPolicy is a [MinimalMetadataPolicy] in the GroupContext.
	ComponentPolicy mls.ComponentID = 0x8D44
	// ComponentRoomMetadata is an [EncryptedRoomMetadata] in the GroupContext.
	ComponentRoomMetadata mls.ComponentID = 0x8D46
	// ComponentLinkState is an [IdentityLinkState] in every GroupInfo.
	ComponentLinkState mls.ComponentID = 0x8D47
	// ComponentSiblingProof is a [SiblingProof] in the SafeAAD of an external
	// Commit.
	ComponentSiblingProof mls.ComponentID = 0x8D48
)

// The components of MIMI itself that a minimal-metadata room has in its
// GroupContext (draft-ietf-mimi-protocol-06, section "IANA Considerations";
// draft-ietf-mimi-room-policy-03, section "New MLS application components").
const (
	componentParticipantList mls.ComponentID = 0x0022
	componentRoomMetadata    mls.ComponentID = 0x0023
	componentRolesList       mls.ComponentID = 0x0025
	componentPreauthList     mls.ComponentID = 0x0026
	componentBaseRoomPolicy  mls.ComponentID = 0x0027
)

// AppComponents returns the app_components list of every leaf and of the
// GroupContext of every minimal-metadata room, ascending.
//
// The profile names its own components "and MIMI's own". Those are the ones that
// stand in the GroupContext of our rooms: participant list, room metadata
// (always empty here), roles, preauthorisations and base policy. frank_aad
// (0x0020) and franking_signature_key (0x0021) are not among them: franking adds
// its own data to messages and is not negotiated by a leaf. The list is fixed,
// because a leaf that listed something else would stand out.
func AppComponents() mls.ComponentsList {
	return mls.ComponentsList{
		componentParticipantList, componentRoomMetadata, componentRolesList, componentPreauthList, componentBaseRoomPolicy,
		ComponentIdentityLink, ComponentWrapperKeys, ComponentQueueReference, ComponentConnectionResponse, ComponentPolicy,
		ComponentRoomMetadata, ComponentLinkState, ComponentSiblingProof,
	}
}

// SafeAADComponents returns the safe_aad list of every leaf and of the
// GroupContext of every minimal-metadata room.
func SafeAADComponents() mls.ComponentsList {
	return mls.ComponentsList{ComponentIdentityLink, ComponentConnectionResponse, ComponentSiblingProof}
}

// Capabilities returns the capabilities of every leaf, in the profile's order
// and without GREASE: everyone's are equal (docs/mmr-profile.md, section 2).
func Capabilities() mls.Capabilities {
	required := RequiredCapabilities()
	return mls.Capabilities{
		Versions:     []mls.ProtocolVersion{mls.MLS10},
		CipherSuites: suite.IDs(),
		Extensions:   required.Extensions,
		Proposals:    required.Proposals,
		Credentials:  required.Credentials,
	}
}

// RequiredCapabilities returns the required_capabilities of every
// minimal-metadata room.
func RequiredCapabilities() mls.RequiredCapabilities {
	return mls.RequiredCapabilities{
		Extensions:  []mls.ExtensionType{mls.ExtensionAppDataDictionary},
		Proposals:   []mls.ProposalType{mls.ProposalAppDataUpdate, mls.ProposalSelfRemove},
		Credentials: []mls.CredentialType{CredentialPseudonymous},
	}
}

// LeafComponents returns the components that every leaf has: app_components,
// safe_aad and the reference to the client's queue.
func LeafComponents(queue *QueueReference) (mls.AppDataDictionary, error) {
	d, err := negotiated()
	if err != nil {
		return nil, err
	}
	data, err := component(ComponentQueueReference, queue)
	if err != nil {
		return nil, err
	}
	return d.With(data.ID, data.Data), nil
}

// GroupComponents returns the components that the profile puts into the
// GroupContext of a new room: app_components, safe_aad, policy and, unless nil,
// the encrypted metadata. The room adds MIMI's own.
func GroupComponents(policy *MinimalMetadataPolicy, metadata *EncryptedRoomMetadata) (mls.AppDataDictionary, error) {
	d, err := negotiated()
	if err != nil {
		return nil, err
	}
	data, err := component(ComponentPolicy, policy)
	if err != nil {
		return nil, err
	}
	d = d.With(data.ID, data.Data)
	if metadata != nil {
		if data, err = component(ComponentRoomMetadata, metadata); err != nil {
			return nil, err
		}
		d = d.With(data.ID, data.Data)
	}
	return d, nil
}

// negotiated returns what leaves and groups say alike.
func negotiated() (mls.AppDataDictionary, error) {
	app, err := AppComponents().Component(mls.ComponentAppComponents)
	if err != nil {
		return nil, err
	}
	safe, err := SafeAADComponents().Component(mls.ComponentSafeAAD)
	if err != nil {
		return nil, err
	}
	return mls.AppDataDictionary{app, safe}, nil
}

// component returns m as the data of a component.
func component(id mls.ComponentID, m wire.Message) (mls.ComponentData, error) {
	data, err := wire.Marshal(m)
	return mls.ComponentData{ID: id, Data: data}, err
}
