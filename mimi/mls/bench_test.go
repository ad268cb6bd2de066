package mls_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// BenchmarkGroup measures the operations of "mimi-lab bench mls", which explains
// them and compares them with what RFC 9420 requires. Building the largest group
// takes some time: -short does without it. Operations that need long
// preparations are skipped unless the number of runs is given:
//
//	go test -tags goolm -run - -bench 'Group/^1000$/filled/process' -benchtime 50x ./mimi/mls
func BenchmarkGroup(b *testing.B) {
	counted := strings.HasSuffix(flag.Lookup("test.benchtime").Value.String(), "x")
	sizes := []int{10, 100, 1000}
	if !testing.Short() {
		sizes = append(sizes, 10000)
	}
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for _, shape := range []mlstest.Shape{mlstest.Fresh, mlstest.Filled} {
				b.Run(string(shape), func(b *testing.B) { benchmarkGroup(b, size, shape, counted) })
			}
		})
	}
}

func benchmarkGroup(b *testing.B, size int, shape mlstest.Shape, counted bool) {
	l, err := mlstest.NewLarge(b.Context(), mlstest.LargeParams{Suite: mls.X25519, Size: size, Shape: shape})
	if err != nil {
		b.Fatal(err)
	}
	for _, o := range l.Operations(l.Members[0]) {
		b.Run(o.Name, func(b *testing.B) {
			if o.Prepared && !counted {
				b.Skip("needs a number of runs, such as -benchtime 50x")
			}
			b.StopTimer()
			b.ReportAllocs()
			if err := o.Run(b.Context(), b, b.N); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkAgain stages and processes one commit again and again, on the same
// state: what the code takes when all it needs is in the caches of the processor.
// The member refuses the commit for its confirmation tag, which is looked at last.
func BenchmarkAgain(b *testing.B) {
	for _, shape := range []mlstest.Shape{mlstest.Fresh, mlstest.Filled} {
		l, err := mlstest.NewLarge(b.Context(), mlstest.LargeParams{Suite: mls.X25519, Size: 1000, Shape: shape})
		if err != nil {
			b.Fatal(err)
		}
		hub, err := l.Hub(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		p, err := l.Crowd.Group.Commit(b.Context(), 0, mls.CommitOptions{})
		if err != nil {
			b.Fatal(err)
		}
		again := func(name string, m *mls.PublicMessage, f func(*mls.MLSMessage) error) {
			octets, err := mls.Marshal(&mls.MLSMessage{PublicMessage: m})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(name+"/"+string(shape), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					var m mls.MLSMessage
					if err := mls.Unmarshal(octets, &m); err != nil {
						b.Fatal(err)
					}
					if err := f(&m); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		again("stage", p.Message, func(m *mls.MLSMessage) error {
			_, err := hub.Stage(b.Context(), m.PublicMessage)
			return err
		})
		g, broken := l.Members[0].Group, *p.Message
		broken.Auth.ConfirmationTag = make([]byte, 32)
		again("process", mls.Retag(b, g, &broken), func(m *mls.MLSMessage) error {
			if _, err := g.Process(b.Context(), m); !errors.Is(err, mls.ErrConfirmationTag) {
				return fmt.Errorf("the commit is not refused for its confirmation tag: %w", err)
			}
			return nil
		})
	}
}
