package peer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/peer"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
)

// A Commit is sent to the room's hub, and its outcome told apart.
func Example() {
	client, err := peer.New(peer.Config{
		Domain:      "a.example",
		Certificate: func() (*tls.Certificate, error) { return &tls.Certificate{}, nil },
		Clock:       mimi.SystemClock{},
		Log:         slog.Default(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	send := func(ctx context.Context, room mimi.URI, req *protocol.UpdateRequest) string {
		resp, err := client.Update(ctx, room, req)
		if wrong, ok := errors.AsType[*protocol.WrongEpochError](err); ok {
			return fmt.Sprintf("catch up to epoch %d", wrong.Current)
		}
		switch {
		case err == nil:
			return "accepted at " + resp.Accepted.String()
		case peer.IsTemporary(err):
			return "try the same again later: " + err.Error()
		default:
			return "give up: " + err.Error()
		}
	}
	commit := protocoltest.Samples()[0].Message.(*protocol.UpdateRequest)
	fmt.Println(send(context.Background(), mimi.URI{Domain: "127.0.0.1", Kind: mimi.KindRoom, ID: "r"}, commit))
	// Output: give up: 127.0.0.1 can't be reached: it is not in a public network
}
