package pages_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/pages"
)

// TestArrayIsASlice compares an array and its older copies with slices.
func TestArrayIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			array pages.Array[int]
			want  []int
		}
		now := version{}
		var before []version
		check := func(v version) {
			if v.array.Len() != len(v.want) {
				t.Fatalf("length %d, want %d", v.array.Len(), len(v.want))
			}
			for i, w := range v.want {
				if got := v.array.At(i); got != w {
					t.Fatalf("item %d is %d, want %d", i, got, w)
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				n := rapid.IntRange(0, 200).Draw(t, "n")
				now.array.Resize(n)
				for len(now.want) < n {
					now.want = append(now.want, 0)
				}
				now.want = now.want[:n]
			case 1:
				before = append(before, now)
				now = version{now.array.Clone(), slices.Clone(now.want)}
			default:
				if len(now.want) > 0 {
					i, v := rapid.IntRange(0, len(now.want)-1).Draw(t, "i"), rapid.Int().Draw(t, "v")
					now.array.Set(i, v)
					now.want[i] = v
				}
			}
			check(now)
			for _, v := range before {
				check(v)
			}
		}
	})
}
