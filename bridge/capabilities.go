package bridge

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
)

// groupType is the type of groups that people make unless they want another one.
const groupType = "group"

// maxTopic bounds the topic of a group, in characters, so that it fits into its
// metadata.
const maxTopic = 1000

// maxTextLength bounds a message in characters, so that with its markup it
// fits into a Matrix event of 64 KiB.
const maxTextLength = 20_000

// GetCapabilities implements [bridgev2.NetworkConnector].
func (c *Connector) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{
		Provisioning: bridgev2.ProvisioningCapabilities{
			ResolveIdentifier: bridgev2.ResolveIdentifierCapabilities{CreateDM: true, LookupUsername: true, ContactList: true, Search: true},
			GroupCreation:     c.groupTypes(),
		},
	}
}

// GetCapabilities implements [bridgev2.NetworkAPI]. Its id names the version of
// the list, which clients cache.
func (c *Client) GetCapabilities(ctx context.Context, _ *bridgev2.Portal) *event.RoomFeatures {
	features := &event.RoomFeatures{
		ID:            "github.com/mimi-gateway/mimi-gateway.capabilities.2026_11",
		MaxTextLength: maxTextLength,
		Reply:         event.CapLevelFullySupported,
		Edit:          event.CapLevelFullySupported,
		Delete:        event.CapLevelFullySupported,
		Reaction:      event.CapLevelFullySupported,
	}
	if bridgev2.GetMatrixEventFromContext(ctx) != nil {
		// bridgev2 is about to refuse an event without saying what to do instead.
		// It gets through to HandleMatrixMessage, which does.
		features.File = event.FileFeatureMap{}
		for _, kind := range []event.MessageType{
			event.MsgImage, event.MsgVideo, event.MsgAudio, event.MsgFile, event.CapMsgVoice, event.CapMsgGIF, event.CapMsgSticker,
		} {
			features.File[kind] = &event.FileFeatures{
				MimeTypes: map[string]event.CapabilitySupportLevel{"*/*": event.CapLevelFullySupported},
				Caption:   event.CapLevelFullySupported,
			}
		}
		features.LocationMessage = event.CapLevelFullySupported
	}
	return features
}
