package mls_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// fuzzDecoder adds seeds, all of which have to be accepted, and each of them
// again without its last octet, which has to be refused. It checks that whatever
// is decoded encodes to the same octets.
func fuzzDecoder[T any, P interface {
	*T
	wire.Message
}](f *testing.F, seeds ...wire.Message) {
	f.Helper()
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		b, err := mls.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		if err := mls.Unmarshal(b, P(new(T))); err != nil {
			f.Fatalf("seed is refused: %v", err)
		}
		if mls.Unmarshal(b[:len(b)-1], P(new(T))) == nil {
			f.Fatal("seed is accepted without its last octet")
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := P(new(T))
		if err := mls.Unmarshal(b, m); err != nil {
			t.Skip(err)
		}
		if out, err := mls.Marshal(m); err != nil || !bytes.Equal(out, b) {
			t.Errorf("%x encodes to %x, %v", b, out, err)
		}
	})
}

// corpus has one message of each kind.
type corpus struct {
	proposal, commit, external, private *mls.MLSMessage
	welcome                             *mls.Welcome
	groupInfo                           *mls.GroupInfo
	keyPackage                          *mls.KeyPackage
	tree                                *mls.RatchetTree
	world                               *mlstest.World
}

func newCorpus(tb testing.TB) *corpus {
	tb.Helper()
	w := mlstest.New(tb, mls.X25519, "A", "alice/1")
	w.Add("A", "alice/1", mlstest.On("B", "bob/1"), mlstest.On("C", "carol/1"))
	c := &corpus{world: w, groupInfo: w.Hub.GroupInfo(), tree: w.Hub.RatchetTree()}
	g := w.Node("A").Group
	c.private = &mls.MLSMessage{PrivateMessage: w.Protect("A", "alice/1", "text")}
	kp := mlstest.KeyPackage(tb, mls.X25519, w.LeafParams("dan/1"), mlstest.Random("kp"))
	c.keyPackage = &kp.KeyPackage
	p, err := g.Commit(tb.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: kp.KeyPackage}}})
	if err != nil {
		tb.Fatal(err)
	}
	c.commit, c.welcome = p.MLSMessage(), p.Welcome
	g.Discard()
	cfg := mlstest.Config("E", &mlstest.Policy{})
	_, p, err = mls.ExternalJoin(tb.Context(), cfg, w.Hub.GroupInfo(), w.Hub.RatchetTree(), mls.ExternalOptions{Leaf: w.LeafParams("eve/1")})
	if err != nil {
		tb.Fatal(err)
	}
	c.external = p.MLSMessage()
	m, _, err := g.Propose(tb.Context(), 0, &mls.SelfRemove{}, mls.AuthenticatedData{})
	if err != nil {
		tb.Fatal(err)
	}
	c.proposal = &mls.MLSMessage{PublicMessage: m}
	return c
}

func FuzzMLSMessage(f *testing.F) {
	c := newCorpus(f)
	fuzzDecoder[mls.MLSMessage](f, c.proposal, c.commit, c.external, c.private,
		&mls.MLSMessage{Welcome: c.welcome}, &mls.MLSMessage{GroupInfo: c.groupInfo}, &mls.MLSMessage{KeyPackage: c.keyPackage})
}

func FuzzKeyPackage(f *testing.F)  { fuzzDecoder[mls.KeyPackage](f, newCorpus(f).keyPackage) }
func FuzzWelcome(f *testing.F)     { fuzzDecoder[mls.Welcome](f, newCorpus(f).welcome) }
func FuzzRatchetTree(f *testing.F) { fuzzDecoder[mls.RatchetTree](f, newCorpus(f).tree) }
func FuzzGroupInfo(f *testing.F)   { fuzzDecoder[mls.GroupInfo](f, newCorpus(f).groupInfo) }

func FuzzGroupSecrets(f *testing.F) {
	c := newCorpus(f)
	secret, err := c.world.Node("B").Group.Export("seed", nil, 32)
	if err != nil {
		f.Fatal(err)
	}
	fuzzDecoder[mls.GroupSecrets](f, &mls.GroupSecrets{
		JoinerSecret: secret, PathSecret: &secret,
		PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: []byte("id"), Nonce: make([]byte, 32)}},
	})
}

func FuzzAppDataDictionary(f *testing.F) {
	fuzzDecoder[mls.AppDataDictionary](f, &mls.AppDataDictionary{{ID: 1, Data: []byte{2}}, {ID: 0x8d40}})
}

func FuzzPartialGroupInfo(f *testing.F) {
	partial, err := newCorpus(f).groupInfo.Partial(true)
	if err != nil {
		f.Fatal(err)
	}
	fuzzDecoder[mls.PartialGroupInfo](f, partial, &mls.PartialGroupInfo{})
}

func FuzzSafeAAD(f *testing.F) {
	fuzzDecoder[mls.SafeAAD](f, &mls.SafeAAD{{ID: 1, Data: []byte{2}}, {ID: 0x8d40}})
}

func FuzzComponentsList(f *testing.F) { fuzzDecoder[mls.ComponentsList](f, &mls.ComponentsList{3, 1}) }

func FuzzWireFormats(f *testing.F) { fuzzDecoder[mls.WireFormats](f, &mls.WireFormats{0xf001, 6}) }

func FuzzApplicationFraming(f *testing.F) {
	fuzzDecoder[mls.ApplicationFraming](f, &mls.ApplicationFraming{Content: []byte("hi")}, &mls.ApplicationFraming{
		MediaType: mls.MediaType{Type: []byte("text/plain"), Parameters: []mls.MediaTypeParameter{{Name: []byte("a")}}},
	})
}

func FuzzMediaTypeList(f *testing.F) {
	fuzzDecoder[mls.MediaTypeList](f, &mls.MediaTypeList{{
		Type:       []byte("text/plain"),
		Parameters: []mls.MediaTypeParameter{{Name: []byte("charset"), Value: []byte("UTF-8")}},
	}})
}

// FuzzProcess gives changed messages to a member and to the hub: no panic, and
// what is refused changes nothing. The member says what counts as refused: the hub
// cannot verify membership and confirmation tags.
func FuzzProcess(f *testing.F) {
	c := newCorpus(f)
	for _, m := range []*mls.MLSMessage{c.proposal, c.commit, c.external, c.private} {
		b, err := mls.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		b = bytes.Clone(b)
		b[len(b)-1] ^= 1 // of a tag or a ciphertext
		f.Add(b)
	}
	b := c.world.Node("B")
	b.Disk.Write(b.Group.Dirty())
	c.world.HubDisk.Write(c.world.Hub.Dirty())
	f.Fuzz(func(t *testing.T, data []byte) {
		var m mls.MLSMessage
		if err := mls.Unmarshal(data, &m); err != nil {
			t.Skip(err)
		}
		g, err := mls.LoadGroup(b.Config, b.Disk.Rows())
		if err != nil {
			t.Fatal(err)
		}
		_, refused := g.Process(t.Context(), &m)
		if refused != nil && len(g.Dirty()) > 0 {
			t.Errorf("a refused message has changed the state: %v", refused)
		}
		if m.PublicMessage != nil {
			if _, err := c.world.Hub.Stage(t.Context(), m.PublicMessage); err != nil && len(c.world.Hub.Dirty()) > 0 {
				t.Errorf("hub: a refused message has changed the state: %v", err)
			}
		}
		if refused != nil {
			t.Skip(refused)
		}
	})
}

// FuzzStoredState replaces one row of a stored group: it is refused as malformed
// or as unfit, or it works.
func FuzzStoredState(f *testing.F) {
	c := newCorpus(f)
	w := c.world
	n := w.Node("A")
	n.Group.Discard()
	w.Node("B").Disk.Write(w.Node("B").Group.Dirty())
	n.Disk.Write(n.Group.Dirty())
	if _, err := mls.LoadGroup(n.Config, n.Disk.Rows()); err != nil {
		f.Fatalf("seed is refused: %v", err)
	}
	for _, r := range n.Disk.Rows() {
		f.Add(r.Key, r.Value)
		f.Add(r.Key, []byte{0xff}) // refused
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if value == nil {
			value = []byte{}
		}
		disk := mlstest.Disk{}
		disk.Write(n.Disk.Rows())
		disk[key] = mls.Row{Key: key, Value: value}
		g, err := mls.LoadGroup(n.Config, disk.Rows())
		if err != nil {
			t.Skip(err)
		}
		if rows := g.Dirty(); len(rows) > 0 {
			t.Errorf("loading wrote %v", rows)
		}
		for _, i := range g.OwnLeaves() {
			if _, err := g.Protect(i, []byte("text"), mls.AuthenticatedData{}); err != nil && !errors.Is(err, mls.ErrPendingProposals) && !errors.Is(err, mls.ErrSafeAAD) {
				t.Logf("protect: %v", err)
			}
		}
		_, _ = g.Process(t.Context(), c.private)
	})
}
