package mlsbench

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/interop"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestComparePeers compares our own client with itself: every operation works,
// and gets its row.
func TestComparePeers(t *testing.T) {
	var out strings.Builder
	b := &bench{out: &out, Options: Options{PeerSizes: []int{4, 13}}}
	peers := []*interop.Measured{interop.MeasureHere("ours"), interop.MeasureHere("too")}
	if err := b.comparePeers(t.Context(), suite.X25519AES128, peers); err != nil {
		t.Fatal(err)
	}
	if want := 2 * 2 * len(peers) * len(comparedOps); len(b.results) != want {
		t.Errorf("%d results, want %d: %s", len(b.results), want, &out)
	}
	for _, r := range b.results {
		if r.Wall <= 0 || r.Runs == 0 {
			t.Errorf("%+v", r)
		}
	}
	for _, op := range comparedOps {
		if n := strings.Count(out.String(), "\n"+op+"  "); n != 4 {
			t.Errorf("%d rows of %s", n, op)
		}
	}
}

// TestGuests: when a guest has done everything, the tree of the crowd has the
// shape that it had, but for whom the guest has added.
func TestGuests(t *testing.T) {
	for _, shape := range []mlstest.Shape{mlstest.Fresh, mlstest.Filled} {
		l, err := mlstest.NewLarge(t.Context(), mlstest.LargeParams{
			Suite: suite.X25519AES128, Size: 13, Shape: shape, Own: []int{}, Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		before := blanks(l)
		g := newGuest(l, interop.MeasureHere("guest"))
		for i := range 4 {
			if err := g.round(t.Context(), i%2 == 0, 1); err != nil {
				t.Fatal(err)
			}
		}
		if n := l.Crowd.Group.View().Len(); n != 14 {
			t.Errorf("%d members, with one that the guest has added", n)
		}
		joined, err := g.join(t.Context(), mlstest.OpJoin, false)
		if err != nil || !joined {
			t.Fatal(joined, err, g.reasons)
		}
		if after := blanks(l); after != before {
			t.Errorf("%s: inner nodes are\n%s, and were\n%s", shape, after, before)
		}
	}
}

// blanks draws which nodes of the crowd's tree are set, and how many leaves are
// unmerged there.
func blanks(l *mlstest.Large) string {
	var s strings.Builder
	for _, n := range *l.Crowd.Group.RatchetTree() {
		switch {
		case n == nil:
			s.WriteByte('_')
		case n.Parent != nil && len(n.Parent.UnmergedLeaves) > 0:
			s.WriteByte('u')
		default:
			s.WriteByte('x')
		}
	}
	return s.String()
}

func TestSeatNeedsTheCrowd(t *testing.T) {
	l, err := mlstest.NewLarge(t.Context(), mlstest.LargeParams{Suite: suite.X25519AES128, Size: 4, Shape: mlstest.Fresh})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Seat(t.Context(), &mls.KeyPackage{}, false); err == nil {
		t.Error("a guest in the place of a node that is measured")
	}
}

func TestAhead(t *testing.T) {
	guests := []*guest{newGuest(nil, interop.MeasureHere("ours")), newGuest(nil, interop.MeasureHere("b")), newGuest(nil, interop.MeasureHere("c"))}
	for _, test := range []struct {
		times []float64
		want  string
	}{
		{[]float64{10, 30, 20}, "ours, 2.0 times"},
		{[]float64{30, 10, 20}, "b, 3.0 times"},
		{[]float64{30, 0, 0}, "ours"},
		{[]float64{0, 10, 20}, "b"},
		{[]float64{0, 0, 0}, "-"},
	} {
		if got := ahead(guests, test.times); got != test.want {
			t.Errorf("%v: %q, want %q", test.times, got, test.want)
		}
	}
}

// TestReasons: each is said once, and nothing about what was not tried.
func TestReasons(t *testing.T) {
	g := newGuest(nil, interop.MeasureHere("peer"))
	g.reasons["join"] = errors.New("not\nsupported")
	r := &reasonList{}
	r.add(g, "join")
	r.add(g, "join")
	r.add(g, "commit")
	if len(r.lines) != 1 || r.lines[0] != "peer, join: not supported" {
		t.Errorf("%q", r.lines)
	}
}
