package bridge

import (
	"maunium.net/go/mautrix/bridgev2/database"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
)

// GetDBMetaTypes implements [bridgev2.NetworkConnector].
func (c *Connector) GetDBMetaTypes() database.MetaTypes {
	return database.MetaTypes{
		Portal:    func() any { return &mimiid.PortalMetadata{} },
		Ghost:     func() any { return &mimiid.GhostMetadata{} },
		Message:   func() any { return &mimiid.MessageMetadata{} },
		Reaction:  func() any { return &mimiid.ReactionMetadata{} },
		UserLogin: func() any { return &mimiid.UserLoginMetadata{} },
	}
}
