package bridge

import (
	"context"
	"errors"

	"maunium.net/go/mautrix/bridgev2"
)

// errNoRoom answers messages in a room that the engine does not know.
var errNoRoom = bridgev2.WrapErrorInStatus(errors.New("this room is not connected to a MIMI room")).
	WithIsCertain(true).WithSendNotice(true).WithErrorAsMessage()

// HandleMatrixMessage implements [bridgev2.NetworkAPI].
func (c *Client) HandleMatrixMessage(context.Context, *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	return nil, errNoRoom
}
