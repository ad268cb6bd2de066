package mls_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// What a decoder may allocate for n octets, in all: allocPerOctet n + allocFixed.
const (
	allocPerOctet = 64 * raceFactor
	allocFixed    = 64 << 10
)

// allocated returns how many octets f allocates. Nothing else runs meanwhile.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// bounded checks what decoding b allocates.
func bounded(t *testing.T, what string, b []byte, decode func([]byte) error) (accepted bool) {
	t.Helper()
	var err error
	if got := allocated(func() { err = decode(b) }); got > uint64(allocPerOctet*len(b)+allocFixed) {
		t.Errorf("%s: %d octets allocated for %d, %.1f each: %v", what, got, len(b), float64(got)/float64(len(b)), err)
	}
	return err == nil
}

func decoderOf[T any, P interface {
	*T
	wire.Message
}](b []byte) error {
	return mls.Unmarshal(b, P(new(T)))
}

// A decoder is one that gets octets of others, with an input that it accepts.
type decoder struct {
	name   string
	seed   []byte
	decode func([]byte) error
}

func decoders(t *testing.T) []decoder {
	t.Helper()
	c := newCorpus(t)
	var l []decoder
	add := func(name string, m wire.Message, decode func([]byte) error) {
		b, err := mls.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, decoder{name, b, decode})
	}
	message := decoderOf[mls.MLSMessage]
	add("proposal", c.proposal, message)
	add("commit", c.commit, message)
	add("external Commit", c.external, message)
	add("PrivateMessage", c.private, message)
	add("Welcome", &mls.MLSMessage{Welcome: c.welcome}, message)
	add("GroupInfo", &mls.MLSMessage{GroupInfo: c.groupInfo}, message)
	add("KeyPackage", &mls.MLSMessage{KeyPackage: c.keyPackage}, message)
	add("ratchet tree", c.tree, decoderOf[mls.RatchetTree])
	secret := suite.NewSecret(make([]byte, 32))
	add("GroupSecrets", &mls.GroupSecrets{JoinerSecret: secret, PathSecret: &secret, PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal}}}, decoderOf[mls.GroupSecrets])
	add("components", &mls.AppDataDictionary{{ID: 1, Data: []byte{2}}}, decoderOf[mls.AppDataDictionary])
	add("media types", &mls.MediaTypeList{{Type: []byte("text/plain"), Parameters: []mls.MediaTypeParameter{{Name: []byte("a")}}}}, decoderOf[mls.MediaTypeList])
	add("PartialGroupInfo", &mls.PartialGroupInfo{Extensions: c.groupInfo.Extensions, Signature: []byte{1}}, decoderOf[mls.PartialGroupInfo])
	add("SafeAAD", &mls.SafeAAD{{ID: 1, Data: []byte{2}}}, decoderOf[mls.SafeAAD])
	add("component list", &mls.ComponentsList{1}, decoderOf[mls.ComponentsList])
	add("wire formats", &mls.WireFormats{6}, decoderOf[mls.WireFormats])
	add("ApplicationFraming", &mls.ApplicationFraming{
		MediaType: mls.MediaType{Type: []byte("a/b"), Parameters: []mls.MediaTypeParameter{{Name: []byte("a")}}}, Content: []byte{1},
	}, decoderOf[mls.ApplicationFraming])
	for _, s := range mls.StoredSeeds(t, c.world.Node("A").Group) {
		l = append(l, decoder{"stored " + s.Name, s.Octets, s.Decode})
	}
	return l
}

// vector is a vector of n octets with its length.
func vector(n int, unit []byte) []byte {
	body := bytes.Repeat(unit, n/len(unit))
	l := len(body)
	return slices.Concat([]byte{0x80 | byte(l>>24), byte(l >> 16), byte(l >> 8), byte(l)}, body)
}

// smallest are elements of vectors that are as short as they can be: of octets,
// ciphertexts, references, extensions, components, PSKs, parameters of media
// types, proposals, group secrets, nodes.
var smallest = [][]byte{
	{0},
	{0, 0},
	{2, 0},
	{0, 9, 0},
	{1, 0, 0},
	{3, 0, 0, 0, 0},
	{0, 0, 0},
	{1, 'a', 0},
	{1, 0, 10},
	{1, 0, 7, 0},
	{1, 0, 4, 1, 0, 0},
	{1, 0, 9, 0, 0, 0},
	{1, 2, 0, 0, 0},
	{1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0},
}

// TestDecodersAllocateLittle: whatever vector in a message is replaced by a long
// one of short elements, the decoder allocates in proportion to its input.
func TestDecodersAllocateLittle(t *testing.T) {
	const n = 1 << 14
	vectors := 0
	for _, d := range decoders(t) {
		if !bounded(t, d.name, d.seed, d.decode) {
			t.Fatalf("%s: the seed is refused", d.name)
		}
		for at := range d.seed {
			bounded(t, fmt.Sprintf("%s, cut at %d", d.name, at), d.seed[:at], d.decode)
			bounded(t, fmt.Sprintf("%s, endless at %d", d.name, at), append(bytes.Clone(d.seed[:at]), 0xbf, 0xff, 0xff, 0xff), d.decode)
			if !errors.Is(d.decode(append(bytes.Clone(d.seed[:at]), 0xc0)), wire.ErrLength) {
				continue // no length is read here
			}
			vectors++
			for _, unit := range smallest {
				b := append(bytes.Clone(d.seed[:at]), vector(n, unit)...)
				bounded(t, fmt.Sprintf("%s, units of %x at %d", d.name, unit, at), b, d.decode)
			}
		}
	}
	if vectors < 100 {
		t.Errorf("only %d vectors were replaced", vectors)
	}
}

// TestVectorsOfShortElements decodes, for each type of element that there is, a
// vector of as many as fit.
func TestVectorsOfShortElements(t *testing.T) {
	for name, c := range map[string]struct {
		before []byte
		unit   []byte
		decode func([]byte) error
	}{
		"blank nodes":       {nil, []byte{0}, decoderOf[mls.RatchetTree]},
		"parent nodes":      {nil, []byte{1, 2, 0, 0, 0}, decoderOf[mls.RatchetTree]},
		"leaves and blanks": {nil, []byte{1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0}, decoderOf[mls.RatchetTree]},
		"ciphertexts":       {[]byte{0}, []byte{0, 0}, decoderOf[mls.UpdatePathNode]},
		"proposals":         {nil, []byte{1, 0, 10}, decoderOf[mls.Commit]},
		"references":        {nil, []byte{2, 0}, decoderOf[mls.Commit]},
		"PSK proposals":     {nil, []byte{1, 0, 4, 1, 0, 0}, decoderOf[mls.Commit]},
		"group secrets":     {[]byte{0, 1}, []byte{0, 0, 0}, decoderOf[mls.Welcome]},
		"PSKs":              {[]byte{0, 0}, []byte{1, 0, 0}, decoderOf[mls.GroupSecrets]},
		"components":        {nil, []byte{0, 1, 0}, decoderOf[mls.AppDataDictionary]},
		"media types":       {nil, []byte{0, 0}, decoderOf[mls.MediaTypeList]},
		"extensions":        {nil, []byte{0, 9, 0}, decoderOf[mls.GroupContextExtensions]},
		"certificates":      {[]byte{0, 2}, []byte{0}, decoderOf[mls.Credential]},
		"unmerged leaves":   {[]byte{0, 0}, []byte{0, 0, 0, 1}, decoderOf[mls.ParentNode]},
	} {
		for _, n := range []int{1 << 12, 1 << 16, 1<<19 + 5} {
			bounded(t, fmt.Sprintf("%d octets of %s", n, name), append(bytes.Clone(c.before), vector(n, c.unit)...), c.decode)
		}
	}
}

// TestLoadingAllocatesLittle: of a whole stored group, one row of which is not
// what was stored.
func TestLoadingAllocatesLittle(t *testing.T) {
	w := three(t)
	w.Commit("B", "bob/1", mls.CommitOptions{})
	n := w.Node("A")
	n.Disk.Write(n.Group.Dirty())
	load := func(disk mlstest.Disk) (octets int, spent uint64) {
		rows := disk.Rows()
		for _, r := range rows {
			octets += len(r.Key) + len(r.Value)
		}
		return octets, allocated(func() { _, _ = mls.LoadGroup(n.Config, rows) })
	}
	_, usual := load(n.Disk)
	for key := range n.Disk {
		for _, unit := range smallest {
			disk := mlstest.Disk{}
			disk.Write(n.Disk.Rows())
			disk[key] = mls.Row{Key: key, Value: vector(1<<15, unit)}
			if octets, spent := load(disk); spent > usual+uint64(allocPerOctet*octets+allocFixed) {
				t.Errorf("row %s of units %x: %d octets allocated for %d", key, unit, spent, octets)
			}
		}
	}
}
