package mmr_test

import (
	"fmt"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
)

// BenchmarkNext is what the rules cost for a Commit that adds one client, in rooms
// of different size.
func BenchmarkNext(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			hub := mmrtest.NewPublicHub()
			w := crowd(b, hub, n-2)
			view, room := stage(b, hub, w.Make(bob, mmrtest.Add(carol))), hub.Rules.Room()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := room.Next(view, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNextManyAdds is the same for a Commit that adds many to many: twice as
// many are to cost about twice as much.
func BenchmarkNextManyAdds(b *testing.B) {
	for _, n := range []int{100, 200, 400} {
		b.Run(fmt.Sprintf("adds=%d", n), func(b *testing.B) {
			hub := mmrtest.NewPublicHub()
			w := crowd(b, hub, n)
			view, room := stage(b, hub, w.Make(bob, mmrtest.Crowd(n, func(i int) string {
				return fmt.Sprintf("more%d@d.example", i)
			}))), hub.Rules.Room()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := room.Next(view, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func stage(b *testing.B, hub *mmrtest.PublicHub, a *mmrtest.Attempt) *mls.CommitView {
	b.Helper()
	staged, err := hub.Group.Stage(b.Context(), a.Message().PublicMessage)
	if err != nil {
		b.Fatal(err)
	}
	return staged.Commit()
}

// BenchmarkRows is what is found out about the rows of that Commit.
func BenchmarkRows(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			hub := mmrtest.NewPublicHub()
			w := crowd(b, hub, n-2)
			room := hub.Rules.Room()
			next, err := room.Next(stage(b, hub, w.Make(bob, mmrtest.Add(carol))), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := mmr.Rows(room, next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
