package mimiid

import "maunium.net/go/mautrix/bridgev2/database"

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
}
