package mapping_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// BenchmarkMessage is the transaction of one message: a ratchet step and an
// outbox row.
func BenchmarkMessage(b *testing.B) {
	c := open(b).Client()
	for _, err := range []error{
		c.PutAccount(b.Context(), account("alice")),
		c.PutRoom(b.Context(), &client.Room{URI: room("1")}),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
	body := bytes.Repeat([]byte{1}, 1024)
	n := 0
	for b.Loop() {
		n++
		if err := c.Atomically(b.Context(), func(ctx context.Context) error {
			if err := c.PutRows(ctx, room("1"), []mls.Row{
				{Key: "ratchet/0", Value: body[:96], Secret: true},
				{Key: fmt.Sprintf("skipped/%d", n-1)},
			}); err != nil {
				return err
			}
			return c.PutOutgoing(ctx, &client.Outgoing{
				Room: room("1"), Account: user("alice"), Source: fmt.Sprint(n), Body: body, Secret: body[:256],
			})
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAdvance is the hub's acceptance of a message for three providers.
func BenchmarkAdvance(b *testing.B) {
	h := open(b).Hub()
	if err := h.Create(b.Context(), room("1"), nil); err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte{1}, 1024)
	version := uint64(0)
	for b.Loop() {
		change := &hub.Change{
			Rows: []mls.Row{{Key: "log", Value: body[:64]}}, Answer: body[:32], At: time.UnixMilli(int64(version)),
			Deliveries: []hub.Delivery{
				{Domain: "b.example", Body: body}, {Domain: "c.example", Body: body}, {Domain: "d.example", Body: body},
			},
		}
		binary.BigEndian.PutUint64(change.Request[24:], version+1)
		if err := h.Advance(b.Context(), room("1"), version, change); err != nil {
			b.Fatal(err)
		}
		version++
	}
}

// BenchmarkLoad reads a room of 200 rows, as after a restart.
func BenchmarkLoad(b *testing.B) {
	c := open(b).Client()
	if err := c.PutRoom(b.Context(), &client.Room{URI: room("1")}); err != nil {
		b.Fatal(err)
	}
	var rows []mls.Row
	for i := range 200 {
		rows = append(rows, mls.Row{Key: fmt.Sprintf("%04d", i), Value: bytes.Repeat([]byte{1}, 200), Secret: i%2 == 0})
	}
	if err := c.PutRows(b.Context(), room("1"), rows); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Rows(b.Context(), room("1")); err != nil {
			b.Fatal(err)
		}
	}
}
