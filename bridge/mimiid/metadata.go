package mimiid

import (
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
)

// UserLoginMetadata is what bridgev2 keeps with a login.
type UserLoginMetadata struct {
	// AutoProvisioned says that the person did not ask for the login: the
	// gateway made it because somebody wanted to reach them.
	AutoProvisioned bool `json:"auto_provisioned,omitempty"`
}

var _ database.MetaMerger = (*UserLoginMetadata)(nil)

// CopyFrom implements [database.MetaMerger]. A login that was once asked for
// stays so.
func (m *UserLoginMetadata) CopyFrom(other any) {
	if o, ok := other.(*UserLoginMetadata); ok {
		m.AutoProvisioned = m.AutoProvisioned && o.AutoProvisioned
	}
}

// PortalMetadata is what bridgev2 keeps with a portal.
type PortalMetadata struct {
	// Disclosed says that the disclosure notice is in the room.
	Disclosed bool `json:"disclosed,omitempty"`
	// Plumbed says that the Matrix room was there before the portal.
	Plumbed bool `json:"plumbed,omitempty"`
}

// GhostMetadata is what bridgev2 keeps with a ghost.
type GhostMetadata struct {
	// Name is the display name that the person has told a group. It is not
	// verified.
	Name string `json:"name,omitempty"`
}

// MessageMetadata is what bridgev2 keeps with a message.
type MessageMetadata struct {
	// Latest is the id of the version that is shown, if it is not the first.
	Latest networkid.MessageID `json:"latest,omitempty"`
}

// ReactionMetadata is what bridgev2 keeps with a reaction.
type ReactionMetadata struct {
	// Message is the id of the MIMI message that is the reaction.
	Message networkid.MessageID `json:"message,omitempty"`
}
