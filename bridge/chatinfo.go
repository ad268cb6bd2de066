package bridge

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
)

// GetChatInfo implements [bridgev2.NetworkAPI]. Rooms are told to bridgev2 when
// they change, with all there is to know; there is nothing else to ask for.
func (c *Client) GetChatInfo(context.Context, *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	return nil, nil
}

// GetUserInfo implements [bridgev2.NetworkAPI]; see GetChatInfo.
func (c *Client) GetUserInfo(context.Context, *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	return nil, nil
}
