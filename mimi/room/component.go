package room

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A ComponentID names an application component (draft-ietf-mls-extensions-09,
// section 4.1).
type ComponentID uint16

// The components of a room, all of them in the app_data_dictionary of the
// GroupContext.
const (
	// draft-ietf-mimi-protocol-06, section 10.
	ComponentParticipantList ComponentID = 0x0022
	ComponentRoomMetadata    ComponentID = 0x0023
	// draft-ietf-mimi-room-policy-03, section 10.1.
	ComponentOperationalPolicy ComponentID = 0x0024
	ComponentRolesList         ComponentID = 0x0025
	ComponentPreauthList       ComponentID = 0x0026
	ComponentBasePolicy        ComponentID = 0x0027
	ComponentStatusPolicy      ComponentID = 0x0028
	ComponentJoinLinkPolicy    ComponentID = 0x0029
	ComponentJoinLinks         ComponentID = 0x002a
	ComponentLinkPreviewPolicy ComponentID = 0x002b
	ComponentAssetPolicy       ComponentID = 0x002c
	ComponentLoggingPolicy     ComponentID = 0x002d
	ComponentHistoryPolicy     ComponentID = 0x002e
	ComponentBotPolicy         ComponentID = 0x002f
	ComponentExpirationPolicy  ComponentID = 0x0030
	// mmr-profile.md, section 3. This package knows who may change these two, and
	// not what is in them.
	ComponentMinimalMetadataPolicy ComponentID = 0x8d44
	ComponentEncryptedMetadata     ComponentID = 0x8d46
)

// A component says how the data of one ComponentID are checked and changed.
type component struct {
	name string
	// check decodes a complete value and discards it.
	check func(data []byte) error
	// apply makes a new value from the updates of one commit. It is nil for
	// components which one update replaces.
	apply func(old []byte, updates [][]byte) ([]byte, error)
	// need is the capability for any change. Components without one have rules of
	// their own.
	need Capability
	// stays is set for components that a room cannot do without.
	stays bool
}

// components describes all components of a room. It is never modified.
var components = map[ComponentID]component{
	ComponentParticipantList: {
		name: "participant_list", check: checks[ParticipantList], apply: applyParticipants, stays: true,
	},
	ComponentRoomMetadata: {name: "room_metadata", check: checks[RoomMetadata]},
	ComponentOperationalPolicy: {
		name: "mls_operational_policy", check: checks[OperationalParameters], need: CanChangeMLSOperationalPolicies,
	},
	ComponentRolesList: {
		name: "roles_list", check: checks[RoleList], need: CanChangeRoleDefinitions, stays: true,
	},
	ComponentPreauthList: {
		name: "preauth_list", check: checks[PreauthorizedUsers], need: CanChangePreauthorizedUserList,
	},
	ComponentBasePolicy: {
		name: "base_room_policy", check: checks[BasePolicy], need: CanChangeRoomMembershipStyle, stays: true,
	},
	ComponentStatusPolicy: {
		name: "status_notification_policy", check: checks[StatusNotificationPolicy], need: CanChangeOtherPolicyAttribute,
	},
	ComponentJoinLinkPolicy: {
		name: "join_link_policy", check: checks[JoinLinkPolicy], need: CanChangeOtherPolicyAttribute,
	},
	ComponentJoinLinks: {name: "join_links", check: checks[JoinLinks], apply: applyJoinLinks},
	ComponentLinkPreviewPolicy: {
		name: "link_preview_policy", check: checks[LinkPreviewPolicy], need: CanChangeOtherPolicyAttribute,
	},
	ComponentAssetPolicy: {
		name: "asset_policy", check: checks[AssetPolicy], need: CanChangeOtherPolicyAttribute,
	},
	ComponentLoggingPolicy: {
		name: "logging_policy", check: checks[LoggingPolicy], need: CanChangeOtherPolicyAttribute,
	},
	ComponentHistoryPolicy: {
		name: "chat_history_policy", check: checks[HistoryPolicy], need: CanChangeOtherPolicyAttribute,
	},
	ComponentBotPolicy: {
		name: "bot_policy", check: checks[BotPolicy], need: CanChangeOtherPolicyAttribute,
	},
	ComponentExpirationPolicy: {
		name: "message_expiration_policy", check: checks[MessageExpiration], need: CanChangeOtherPolicyAttribute,
	},
	ComponentMinimalMetadataPolicy: {
		name: "minimal_metadata_policy", check: opaque, need: CanChangeRoomMembershipStyle, stays: true,
	},
	ComponentEncryptedMetadata: {name: "encrypted_room_metadata", check: opaque, stays: true},
}

// String returns the name under which the component is registered.
func (id ComponentID) String() string {
	if c, ok := components[id]; ok {
		return c.name
	}
	return fmt.Sprintf("component %#04x", uint16(id))
}

// KnownComponents returns the components of a room, ascending: what
// app_components lists beside those of other packages.
func KnownComponents() []ComponentID { return slices.Sorted(maps.Keys(components)) }

// ApplyComponent returns the data of a component after the updates of one commit,
// in the order of their proposals (draft-ietf-mls-extensions-09, section 4.7). old
// is nil if the component was not present. It checks the component by itself;
// what the components of a room say of each other is checked by [State.Apply]. It
// fails with an error that wraps [ErrInvalid]: [ErrUnknownComponent] if id is not
// in [KnownComponents], [ErrUpdateConflict] if there is more than one update where
// each would replace the other.
func ApplyComponent(id ComponentID, old []byte, updates [][]byte) ([]byte, error) {
	comp, ok := components[id]
	if !ok {
		return nil, fmt.Errorf("%w: %v", ErrUnknownComponent, id)
	}
	if len(updates) == 0 {
		return nil, fmt.Errorf("%w: %v without update", ErrOperation, id)
	}
	if comp.apply != nil {
		next, err := comp.apply(old, updates)
		if err != nil {
			return nil, fmt.Errorf("update %v: %w", id, err)
		}
		return next, nil
	}
	if len(updates) > 1 {
		return nil, fmt.Errorf("%w: %d updates of %v", ErrUpdateConflict, len(updates), id)
	}
	if err := comp.check(updates[0]); err != nil {
		return nil, fmt.Errorf("update %v: %w", id, err)
	}
	return slices.Clone(updates[0]), nil
}

func checks[T any, P interface {
	*T
	wire.Message
}](data []byte) error {
	_, err := Decode[T, P](data)
	return err
}

func opaque(data []byte) error {
	if len(data) > MaxComponent {
		return fmt.Errorf("%w: component of %d octets", ErrTooLarge, len(data))
	}
	return nil
}

func applyParticipants(old []byte, updates [][]byte) ([]byte, error) {
	list, changes, err := decodeUpdates[ParticipantList, ParticipantListUpdate](old, updates)
	if err != nil {
		return nil, err
	}
	next, err := list.Apply(changes...)
	if err != nil {
		return nil, err
	}
	return Encode(&next)
}

func applyJoinLinks(old []byte, updates [][]byte) ([]byte, error) {
	links, changes, err := decodeUpdates[JoinLinks, JoinLinksUpdate](old, updates)
	if err != nil {
		return nil, err
	}
	next, err := links.Apply(changes...)
	if err != nil {
		return nil, err
	}
	return Encode(&next)
}

// decodeUpdates decodes a value, absent meaning empty, and its updates.
func decodeUpdates[T, U any, P interface {
	*T
	wire.Message
}, Q interface {
	*U
	wire.Message
}](old []byte, updates [][]byte) (value T, changes []U, err error) {
	if old != nil {
		if value, err = Decode[T, P](old); err != nil {
			return value, nil, err
		}
	}
	for _, data := range updates {
		u, err := Decode[U, Q](data)
		if err != nil {
			return value, nil, err
		}
		changes = append(changes, u)
	}
	return value, changes, nil
}
