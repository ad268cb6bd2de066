package bridge

import (
	"maunium.net/go/mautrix/bridgev2/database"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
)

// GetDBMetaTypes implements [bridgev2.NetworkConnector].
func (c *Connector) GetDBMetaTypes() database.MetaTypes {
	return database.MetaTypes{
		Portal:    func() any { return &mimiid.PortalMetadata{} },
		UserLogin: func() any { return &mimiid.UserLoginMetadata{} },
	}
}
