package mlsbench

import (
	"maps"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// counts says how often each primitive is in a floor.
func counts(f floor) map[primitive]int {
	c := map[primitive]int{}
	for _, l := range f {
		c[l.primitive] += l.count
	}
	return c
}

// TestFloor compares the floors of small trees with what was counted on paper.
// The members are at the leaf in the middle; leaf 0 makes the commits of others.
func TestFloor(t *testing.T) {
	for _, test := range []struct {
		size  int
		shape mlstest.Shape
		op    string
		want  map[primitive]int
	}{
		// Leaf 2 is new, and with it nodes 3 to 6. The path of leaf 1 has node 1, whose
		// secret goes to leaf 0, and node 3, whose secret goes to nobody but the new
		// member. Hashes: of nodes 1 to 6; 2 parent hashes; 2 of the transcript; 1
		// reference. Expands: 4 for the path, 4 of the key schedule, 3 of the Welcome.
		{2, mlstest.Filled, mlstest.OpAddCommit, map[primitive]int{
			sign: 4, verify: 2, kemDerive: 4, hpkeSeal: 2, aeadSeal: 1, hash: 11, mac: 2, extract: 2, expand: 11,
		}},
		// Leaf 0 and node 1; 1 parent hash; 2 of the transcript.
		{2, mlstest.Filled, mlstest.OpHub, map[primitive]int{verify: 3, hash: 5}},
		// Leaf 8 is new. The path of leaf 4: node 9, for leaf 5; node 11, for leaves 6
		// and 7, since node 13 is blank; node 7, for node 3; node 15, for nobody.
		// Hashes: of leaf 4 and 4 nodes above it, and of what the tree grows by, 16
		// nodes, of which node 15 is counted already; 4 parent hashes; 2; 1.
		{8, mlstest.Fresh, mlstest.OpAddCommit, map[primitive]int{
			sign: 4, verify: 2, kemDerive: 6, hpkeSeal: 5, aeadSeal: 1, hash: 27, mac: 2, extract: 2, expand: 15,
		}},
		// The path of leaf 0 is node 1, node 3. Leaf 2 meets it at node 3.
		{4, mlstest.Filled, mlstest.OpProcess, map[primitive]int{
			verify: 2, hpkeOpen: 1, kemDerive: 1, hash: 3 + 2 + 2, mac: 2, extract: 2, expand: 2 + 1 + 1 + 9,
		}},
		{4, mlstest.Filled, mlstest.OpMerge, map[primitive]int{expand: 7}},
		// Leaf 4 is new and gets the secret of the root, node 7. The parent nodes are 1,
		// 3, 5 and 7. Hashes: a reference, 15 nodes, 4 parent hashes, the transcript.
		{4, mlstest.Filled, mlstest.OpJoin, map[primitive]int{
			verify: 1 + 4, hpkeOpen: 1, aeadOpen: 1, kemDerive: 1, hash: 1 + 15 + 4 + 1, mac: 1, extract: 1, expand: 3 + 2 + 1 + 9,
		}},
		// The path of the new leaf 4 has the root alone, whose secret goes to node 3.
		// Hashes: 7 nodes, 3 parent hashes and the transcript before; 8 nodes more, 1
		// parent hash and 2 of the transcript after.
		{4, mlstest.Filled, mlstest.OpExternalJoin, map[primitive]int{
			sign: 3, verify: 1 + 4, hpkeExport: 1, kemDerive: 3, hpkeSeal: 1, hash: 11 + 11, mac: 1, extract: 2, expand: 2 + 1 + 1 + 2,
		}},
		{4, mlstest.Filled, mlstest.OpProtect, map[primitive]int{sign: 1, expand: 5, aeadSeal: 2}},
		{4, mlstest.Filled, mlstest.OpProtectFirst, map[primitive]int{sign: 1, expand: 11, aeadSeal: 2}},
		{4, mlstest.Filled, mlstest.OpUnprotect, map[primitive]int{verify: 1, expand: 5, aeadOpen: 2}},
		{4, mlstest.Filled, mlstest.OpUnprotectFirst, map[primitive]int{verify: 1, expand: 11, aeadOpen: 2}},
	} {
		l, err := mlstest.NewLarge(t.Context(), mlstest.LargeParams{Suite: suite.X25519AES128, Size: test.size, Shape: test.shape})
		if err != nil {
			t.Fatal(err)
		}
		all, err := sampleFloors(t.Context(), l, l.Members[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := counts(all[test.op]); !maps.Equal(got, test.want) {
			t.Errorf("%s, %d members, %s: %v, want %v", test.op, test.size, test.shape, got, test.want)
		}
	}
}

// TestOriginalHashes is RFC 9420, section 7.9: the sibling's hash is that without
// the unmerged leaves.
func TestOriginalHashes(t *testing.T) {
	four := tree{make(mls.RatchetTree, 7), 4}
	for _, test := range []struct {
		unmerged []mls.LeafIndex
		want     int
	}{
		{nil, 0},
		{[]mls.LeafIndex{1}, 0},    // the key may have come from the left
		{[]mls.LeafIndex{1, 2}, 2}, // one of both has to be computed again, and its parent
		{[]mls.LeafIndex{0, 1, 2}, 2},
		{[]mls.LeafIndex{0, 1, 2, 3}, 3},
	} {
		if got := four.originalHashes(3, &mls.ParentNode{UnmergedLeaves: test.unmerged}); got != test.want {
			t.Errorf("%v: %d, want %d", test.unmerged, got, test.want)
		}
	}
}

// TestFloorCost multiplies.
func TestFloorCost(t *testing.T) {
	var all prices
	all[sign] = price{call: 10, octet: 2}
	var f floor
	f.add(sign, 3, 100, "1", "")
	f.add(verify, 0, 0, "1", "")
	if got := f.cost(&all); got != 230 || len(f) != 1 {
		t.Errorf("%v, %d lines", got, len(f))
	}
}

// TestUnitCosts: a price is a line through the lowest costs.
func TestUnitCosts(t *testing.T) {
	var u unitCosts
	for _, v := range [][2]float64{{2000, 3 * unitLong}, {1000, 4 * unitLong}} {
		other := unitCosts{sign: v}
		u.lower(&other)
	}
	if u[sign] != [2]float64{1000, 3 * unitLong} {
		t.Errorf("lowest costs %v", u[sign])
	}
	p := u.prices()[sign]
	if near := p.call + unitShort*p.octet; near < 999 || near > 1001 {
		t.Errorf("%v octets cost %v", unitShort, near)
	}
	if far := p.call + unitLong*p.octet; far < 3*unitLong-1 || far > 3*unitLong+1 {
		t.Errorf("%v octets cost %v", unitLong, far)
	}
	disturbed := unitCosts{sign: {500, 1 << 30}, hash: {500, 400}}
	for _, which := range []primitive{sign, hash} {
		if p := disturbed.prices()[which]; p.call <= 0 || p.octet < 0 {
			t.Errorf("%v: %v", which, p)
		}
	}
}
