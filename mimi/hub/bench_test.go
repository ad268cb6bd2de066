package hub_test

import (
	"fmt"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
)

// BenchmarkSubmitMessage is a message from acceptance to the queue, in a room with
// leaves of three providers.
func BenchmarkSubmitMessage(b *testing.B) {
	for _, n := range []int{3, 100, 1000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			w := crowded(b, n)
			req := w.Say(bob, "hello")
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				// Another message for the hub, and the same work.
				req.Message.PrivateMessage.Ciphertext[0]++
				req.Message.PrivateMessage.Ciphertext = append(req.Message.PrivateMessage.Ciphertext, 0)[:len(req.Message.PrivateMessage.Ciphertext)+1]
				if _, err := w.hub.SubmitMessage(ctx, "b.example", w.Room, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuse is what a bad Commit costs: it must not make the hub read the room
// again.
func BenchmarkRefuse(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			w := crowded(b, n)
			a := w.Make(bob)
			a.From = "c.example"
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.hub.Update(ctx, a.From, w.Room, a.Request); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// crowded is a room of n members at three providers, whose hub does not deliver.
func crowded(b *testing.B, n int) *world {
	b.Helper()
	w := start(b, hub.Limits{})
	w.hub.Stop()
	w.Found(mmrtest.GroupPolicy(), alice)
	if n > 3 {
		w.Commit(alice, mmrtest.Crowd(n-3, func(i int) string { return fmt.Sprintf("user%d@%c.example", i, 'a'+byte(i%3)) }))
	}
	mmrtest.Trio(w.World)
	return w
}
