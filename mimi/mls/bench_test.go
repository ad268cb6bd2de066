package mls_test

import (
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
