package mls_test

import (
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A move is a group that is about to continue in another one.
type move struct {
	t    *testing.T
	w    *mlstest.World
	id   suite.ID // of the new group
	leaf mls.LeafParams
	keys map[string]*mls.KeyPackagePrivate
}

func newMove(t *testing.T, w *mlstest.World, id suite.ID) *move {
	t.Helper()
	m := &move{t: t, w: w, id: id, leaf: mlstest.Leaf(t, id, "alice/1", mlstest.Random("new alice")), keys: map[string]*mls.KeyPackagePrivate{}}
	for _, c := range []string{"bob/1", "carol/1", "mallory/1"} {
		m.keys[c] = mlstest.KeyPackage(t, id, mlstest.Leaf(t, id, c, mlstest.Random("new "+c)), mlstest.Random("kp "+c))
	}
	return m
}

// params lists the clients that alice takes along.
func (m *move) params(clients ...string) mls.SuccessorParams {
	p := mls.SuccessorParams{Leaf: m.leaf}
	for _, c := range clients {
		p.Members = append(p.Members, m.keys[c].KeyPackage)
	}
	return p
}

func (m *move) config(name string) mls.Config { return mlstest.Config("new "+name, &mlstest.Policy{}) }

// join lets bob join as a member of his old group.
func (m *move) join(old *mls.Group, welcome *mls.Welcome) (*mls.Group, error) {
	g, _, err := old.JoinSuccessor(m.t.Context(), m.config("B"), welcome, m.keys["bob/1"], nil)
	return g, err
}

// ended is a group of three that was ended by a ReInit.
func ended(t *testing.T, r *mls.ReInit) *mlstest.World {
	t.Helper()
	w := three(t)
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{r}})
	return w
}

func reInit(id suite.ID) *mls.ReInit {
	return &mls.ReInit{GroupID: []byte("new"), Version: mls.MLS10, CipherSuite: id, Extensions: mls.Extensions{}}
}

// TestSection11_2ReInit: the group continues in another cipher suite, with all of
// its members, after a restart, too.
func TestSection11_2ReInit(t *testing.T) {
	for _, id := range suite.IDs() {
		t.Run(id.String(), func(t *testing.T) {
			w := ended(t, reInit(id))
			m := newMove(t, w, id)
			w.Restart("A")
			w.Restart("B")
			a, b := w.Node("A").Group, w.Node("B").Group
			if _, _, err := a.ReInit(t.Context(), m.config("A"), m.params("bob/1")); !errors.Is(err, mls.ErrReInit) {
				t.Errorf("without carol: %v", err)
			}
			next, p, err := a.ReInit(t.Context(), m.config("A"), m.params("bob/1", "carol/1"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := next.Merge(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := mls.JoinWelcome(t.Context(), m.config("B"), p.Welcome, m.keys["bob/1"], nil); !errors.Is(err, mls.ErrWelcomePSK) {
				t.Errorf("joining without the old group: %v", err)
			}
			joined, err := m.join(b, p.Welcome)
			if err != nil {
				t.Fatal(err)
			}
			if joined.Epoch() != 1 || joined.Suite().ID() != id || string(joined.GroupID()) != "new" {
				t.Errorf("the new group is %q in epoch %d with %v", joined.GroupID(), joined.Epoch(), joined.Suite().ID())
			}
			if !joined.EpochAuthenticator().Equal(next.EpochAuthenticator()) || joined.EpochAuthenticator().IsZero() {
				t.Error("the members of the new group do not agree")
			}
		})
	}
	w := three(t)
	m := newMove(t, w, mls.X25519)
	if _, _, err := w.Node("A").Group.ReInit(t.Context(), m.config("A"), m.params("bob/1", "carol/1")); !errors.Is(err, mls.ErrReInit) {
		t.Errorf("without a ReInit: %v", err)
	}
	w = ended(t, &mls.ReInit{GroupID: []byte("new"), Version: 2, CipherSuite: mls.X25519})
	if _, _, err := w.Node("A").Group.ReInit(t.Context(), m.config("A"), m.params("bob/1", "carol/1")); !errors.Is(err, mls.ErrReInit) {
		t.Errorf("to a version that is not known: %v", err)
	}
}

// TestSection11_2ReInitWelcomes: groups that are not what the ReInit says.
func TestSection11_2ReInitWelcomes(t *testing.T) {
	r := reInit(mls.X25519)
	w := ended(t, r)
	m := newMove(t, w, mls.X25519)
	other := newMove(t, w, suite.X25519ChaCha20)
	a, b := w.Node("A").Group, w.Node("B").Group
	good := mls.CreateParams{CipherSuite: r.CipherSuite, GroupID: r.GroupID, Extensions: r.Extensions}
	with := func(change func(p *mls.CreateParams)) mls.CreateParams {
		p := good
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		move    *move
		create  mls.CreateParams
		usage   mls.ResumptionPSKUsage
		clients []string
		want    error
	}{
		"positive control":     {m, good, mls.ResumptionReInit, []string{"bob/1", "carol/1"}, nil},
		"someone new":          {m, good, mls.ResumptionReInit, []string{"bob/1", "carol/1", "mallory/1"}, nil},
		"other group ID":       {m, with(func(p *mls.CreateParams) { p.GroupID = []byte("other") }), mls.ResumptionReInit, []string{"bob/1", "carol/1"}, mls.ErrReInit},
		"other extensions":     {m, with(func(p *mls.CreateParams) { p.Extensions = mls.Extensions{requireCaps(t, mls.RequiredCapabilities{})} }), mls.ResumptionReInit, []string{"bob/1", "carol/1"}, mls.ErrReInit},
		"other cipher suite":   {other, with(func(p *mls.CreateParams) { p.CipherSuite = other.id }), mls.ResumptionReInit, []string{"bob/1", "carol/1"}, mls.ErrReInit},
		"without a member":     {m, good, mls.ResumptionReInit, []string{"bob/1"}, mls.ErrReInit},
		"someone else instead": {m, good, mls.ResumptionReInit, []string{"bob/1", "mallory/1"}, mls.ErrReInit},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := mls.Succeed(t, a, c.move.config("A"), c.create, c.usage, c.move.params(c.clients...))
			if _, err := c.move.join(b, p.Welcome); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	next, _ := mls.Succeed(t, a, m.config("A"), good, mls.ResumptionReInit, m.params("bob/1", "carol/1"))
	if _, err := next.Merge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Commit(t.Context(), 0, mls.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Merge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := mls.CheckSuccession(b, next, mls.ResumptionReInit, b.Epoch()); !errors.Is(err, mls.ErrReInit) {
		t.Errorf("epoch 2: %v", err)
	}
	gi, err := next.GroupInfo(0, mls.GroupInfoOptions{RatchetTree: true})
	if err != nil {
		t.Fatal(err)
	}
	id := mls.PreSharedKeyID{Type: mls.PSKResumption, Usage: mls.ResumptionReInit, GroupID: b.GroupID(), Epoch: b.Epoch(), Nonce: make([]byte, 32)}
	foreign := id
	foreign.GroupID = []byte("another")
	for name, ids := range map[string][]mls.PreSharedKeyID{"two PSKs": {id, id}, "PSK of another group": {foreign}, "no PSK": nil} {
		welcome := mls.ForgeWelcome(t, &m.keys["bob/1"].KeyPackage, gi, mls.GroupSecrets{JoinerSecret: suite.NewSecret(make([]byte, 32)), PSKs: ids})
		if _, err := m.join(b, welcome); !errors.Is(err, mls.ErrWelcomePSK) {
			t.Errorf("%s: %v", name, err)
		}
	}
	going := three(t)
	_, p := mls.Succeed(t, going.Node("A").Group, m.config("A"), good, mls.ResumptionReInit, m.params("bob/1", "carol/1"))
	if _, err := m.join(going.Node("B").Group, p.Welcome); !errors.Is(err, mls.ErrReInit) {
		t.Errorf("a group that was not ended: %v", err)
	}
	going.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{r}})
	if _, err := m.join(going.Node("B").Group, p.Welcome); !errors.Is(err, mls.ErrReInit) {
		t.Errorf("the PSK of the epoch before: %v", err)
	}
}

// TestSection11_3Branches: some members go on in another group, and the old one
// is still there.
func TestSection11_3Branches(t *testing.T) {
	w := three(t)
	m := newMove(t, w, mls.X25519)
	a, b := w.Node("A").Group, w.Node("B").Group
	next, p, err := a.Branch(t.Context(), m.config("A"), []byte("branch"), nil, m.params("bob/1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Merge(t.Context()); err != nil {
		t.Fatal(err)
	}
	joined, err := m.join(b, p.Welcome)
	if err != nil {
		t.Fatal(err)
	}
	if !joined.EpochAuthenticator().Equal(next.EpochAuthenticator()) || joined.EpochAuthenticator().IsZero() {
		t.Error("the members of the branch do not agree")
	}
	w.Say("A", "alice/1", "the old group goes on")
	for range 2 {
		w.Commit("A", "alice/1", mls.CommitOptions{})
	}
	if _, err := m.join(b, p.Welcome); err != nil {
		t.Errorf("a branch from a past epoch: %v", err)
	}
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: w.Leaf("carol/1")}}})
	if _, _, err := a.Branch(t.Context(), m.config("A"), []byte("branch"), nil, m.params("carol/1")); !errors.Is(err, mls.ErrBranch) {
		t.Errorf("a branch with someone who has left: %v", err)
	}
}

// TestSection11_3BranchWelcomes: groups that are no branch.
func TestSection11_3BranchWelcomes(t *testing.T) {
	w := three(t)
	m, other := newMove(t, w, mls.X25519), newMove(t, w, suite.X25519ChaCha20)
	a, b := w.Node("A").Group, w.Node("B").Group
	create := func(id suite.ID) mls.CreateParams {
		return mls.CreateParams{CipherSuite: id, GroupID: []byte("branch")}
	}
	for name, c := range map[string]struct {
		move    *move
		clients []string
		want    error
	}{
		"positive control":   {m, []string{"bob/1"}, nil},
		"someone new":        {m, []string{"bob/1", "mallory/1"}, mls.ErrBranch},
		"other cipher suite": {other, []string{"bob/1"}, mls.ErrBranch},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := mls.Succeed(t, a, c.move.config("A"), create(c.move.id), mls.ResumptionBranch, c.move.params(c.clients...))
			if _, err := c.move.join(b, p.Welcome); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	next, _ := mls.Succeed(t, a, m.config("A"), create(mls.X25519), mls.ResumptionBranch, m.params("bob/1"))
	if err := mls.CheckSuccession(b, next, mls.ResumptionBranch, b.Epoch()); !errors.Is(err, mls.ErrBranch) {
		t.Errorf("epoch 0: %v", err)
	}
}
