package mlstest_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// covered reports whether one of the leaves from first to before last is a
// member.
func covered(nodes mls.RatchetTree, first, last int) (some bool) {
	for i := first; i < last && 2*i < len(nodes); i++ {
		some = some || nodes[2*i] != nil
	}
	return some
}

// checkShape checks which inner nodes are set.
func checkShape(t *testing.T, shape mlstest.Shape, nodes mls.RatchetTree) {
	t.Helper()
	for x := 1; x < len(nodes); x += 2 {
		half := (x + 1) & -(x + 1) / 2 // leaves on each side of an inner node
		middle := (x + 1) / 2
		both := covered(nodes, middle-half, middle) && covered(nodes, middle, middle+half)
		want := both && (shape == mlstest.Filled || middle == half)
		if n := nodes[x]; (n != nil) != want {
			t.Errorf("node %d is set: %v", x, n != nil)
		} else if n != nil && len(n.Parent.UnmergedLeaves) > 0 {
			t.Errorf("node %d has unmerged leaves %v", x, n.Parent.UnmergedLeaves)
		}
	}
}

// checkAgreement compares all nodes with the hub, and with each other.
func checkAgreement(t *testing.T, l *mlstest.Large) {
	t.Helper()
	hub, err := l.Hub(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := mls.Marshal(hub.View().Context())
	if err != nil {
		t.Fatal(err)
	}
	owned := map[mls.LeafIndex]int{}
	for _, m := range append(l.Members, l.Crowd) {
		if got, err := mls.Marshal(m.Group.View().Context()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("another GroupContext than the hub's: %v", err)
		}
		if !m.Group.EpochAuthenticator().Equal(l.Crowd.Group.EpochAuthenticator()) {
			t.Error("another epoch authenticator")
		}
		for _, i := range m.Group.OwnLeaves() {
			owned[i]++
		}
	}
	for _, m := range hub.Roster() {
		if owned[m.Index] != 1 {
			t.Errorf("leaf %d has %d owners", m.Index, owned[m.Index])
		}
	}
	if len(owned) != l.Size {
		t.Errorf("%d leaves, want %d", len(owned), l.Size)
	}
}

func TestLarge(t *testing.T) {
	for _, shape := range []mlstest.Shape{mlstest.Fresh, mlstest.Filled} {
		for _, p := range []mlstest.LargeParams{
			{Size: 2},
			{Size: 3},
			{Size: 5},
			{Size: 8},
			{Size: 33, Own: []int{1, 5, 2}},
			{Size: 20, Profile: true},
			{Size: 10, Suite: suite.P256AES128},
		} {
			p.Shape = shape
			if p.Suite == 0 {
				p.Suite = suite.X25519AES128
			}
			t.Run(fmt.Sprintf("%s %d %v", shape, p.Size, p.Profile), func(t *testing.T) {
				l, err := mlstest.NewLarge(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				checkShape(t, shape, *l.Crowd.Group.RatchetTree())
				checkAgreement(t, l)
				for i, own := range l.Own {
					if got := l.Members[i].Group.OwnLeaves(); len(got) != own || l.Owner(got[0]) != l.Members[i] {
						t.Errorf("node %d has leaves %v, want %d of them", i, got, own)
					}
				}
			})
		}
	}
}

// TestLargeProfile: a leaf takes what docs/mmr-profile.md, section 2, says.
func TestLargeProfile(t *testing.T) {
	l, err := mlstest.NewLarge(t.Context(), mlstest.LargeParams{Suite: suite.X25519AES128, Size: 2, Shape: mlstest.Fresh, Profile: true})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := l.Crowd.Group.View().Member(1)
	if n := len(m.Leaf.Credential.Body); m.Leaf.Credential.Type != 0xfd4d || n < 1200 || n > 1400 {
		t.Errorf("a credential of type 0x%04x and %d octets", uint16(m.Leaf.Credential.Type), n)
	}
}

func TestLargeTooSmall(t *testing.T) {
	if _, err := mlstest.NewLarge(t.Context(), mlstest.LargeParams{Suite: suite.X25519AES128, Size: 4, Own: []int{1, 2}}); err == nil {
		t.Error("three own leaves in half of four")
	}
}

// TestOperations: each of them works, leaves the shape of the tree alone, and lets
// everybody agree.
func TestOperations(t *testing.T) {
	for _, shape := range []mlstest.Shape{mlstest.Fresh, mlstest.Filled} {
		l, err := mlstest.NewLarge(t.Context(), mlstest.LargeParams{Suite: suite.X25519AES128, Size: 11, Shape: shape, Own: []int{1, 2}})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range l.Members {
			for _, o := range l.Operations(m) {
				c := &clock{}
				if err := o.Run(t.Context(), c, 20); err != nil {
					t.Fatalf("%s: %v", o.Name, err)
				}
				if c.running || c.starts == 0 {
					t.Errorf("%s: clock started %d times, running %v", o.Name, c.starts, c.running)
				}
				if err := l.Sync(t.Context()); err != nil {
					t.Fatalf("%s: %v", o.Name, err)
				}
				checkShape(t, shape, *l.Crowd.Group.RatchetTree())
				checkAgreement(t, l)
			}
		}
	}
}

// TestUnprotectByEverybody: a node that has missed thousands of messages can still
// be measured.
func TestUnprotectByEverybody(t *testing.T) {
	l, err := mlstest.NewLarge(t.Context(), mlstest.LargeParams{Suite: suite.X25519AES128, Size: 5, Shape: mlstest.Filled, Own: []int{1, 1}})
	if err != nil {
		t.Fatal(err)
	}
	for i, messages := range []int{mls.DefaultLimits().ForwardKeys, 1} {
		for _, o := range l.Operations(l.Members[i]) {
			if o.Name != mlstest.OpUnprotect {
				continue
			}
			if err := o.Run(t.Context(), &clock{}, messages); err != nil {
				t.Error(err)
			}
		}
	}
}

// A clock notes whether it runs.
type clock struct {
	running bool
	starts  int
}

func (c *clock) StartTimer() { c.running, c.starts = true, c.starts+1 }

func (c *clock) StopTimer() { c.running = false }

func (c *clock) ReportMetric(float64, string) {}
