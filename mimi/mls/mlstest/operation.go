package mlstest

import (
	"context"
	"fmt"
	"runtime"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A Clock counts what happens between StartTimer and StopTimer: a [testing.B],
// or something that counts more.
type Clock interface {
	StartTimer()
	StopTimer()
	ReportMetric(n float64, unit string)
}

// The names of the operations.
const (
	OpAddCommit      = "add-commit"
	OpMerge          = "merge"
	OpProcess        = "process commit"
	OpJoin           = "join by Welcome"
	OpExternalJoin   = "external join"
	OpProtect        = "protect"
	OpProtectFirst   = "protect, first"
	OpUnprotect      = "unprotect"
	OpUnprotectFirst = "unprotect, first"
	OpHub            = "hub stage+apply"
	OpSaveCommit     = "save after commit"
	OpSaveProtect    = "save after protect"
	OpLoad           = "load"
	OpLoadHub        = "load hub"
)

// Written is the unit of what is stored after one operation.
const Written = "octets-written/op"

// TextSize is the length of the application messages that are measured.
const TextSize = 256

// batch is how many messages are made at once before they are measured.
const batch = 16

// An Operation does one thing n times. The clock stands still when Run is called
// and when it returns. Messages come from their octets, and become octets.
type Operation struct {
	Name string
	// Prepared says that what comes before each run may take much longer than the
	// run. Such an operation should not be repeated until a clock is full.
	Prepared bool
	Run      func(ctx context.Context, c Clock, n int) error
}

// Operations lists what the node m does in the group, and what the hub and new
// members do. Nothing of it changes the shape of the tree.
func (l *Large) Operations(m *Member) []Operation {
	o := &operations{l: l, m: m, own: m.Group.OwnLeaves()[0]}
	return []Operation{
		{OpAddCommit, false, o.addCommit},
		{OpMerge, true, o.merge},
		{OpProcess, true, o.process},
		{OpJoin, false, o.join},
		{OpExternalJoin, false, o.externalJoin},
		{OpProtect, false, o.protect},
		{OpProtectFirst, true, o.protectFirst},
		{OpUnprotect, false, o.unprotect},
		{OpUnprotectFirst, true, o.unprotectFirst},
		{OpHub, true, o.hub},
		{OpSaveCommit, true, o.saveCommit},
		{OpSaveProtect, false, o.saveProtect},
		{OpLoad, false, o.load},
		{OpLoadHub, false, o.loadHub},
	}
}

type operations struct {
	l   *Large
	m   *Member
	own mls.LeafIndex
}

// timed runs f on the clock.
func timed(c Clock, f func() error) error {
	c.StartTimer()
	defer c.StopTimer()
	return f()
}

// encode turns what a commit sends into octets.
func encode(p *mls.PendingCommit) error {
	list := []*mls.MLSMessage{p.MLSMessage(), {GroupInfo: p.GroupInfo}}
	if p.Welcome != nil {
		list = append(list, &mls.MLSMessage{Welcome: p.Welcome})
	}
	for _, m := range list {
		if _, err := mls.Marshal(m); err != nil {
			return err
		}
	}
	return nil
}

// addCommit commits, with a path, the Add of somebody whose KeyPackage comes as
// octets. The commit is discarded.
func (o *operations) addCommit(ctx context.Context, c Clock, n int) error {
	if err := o.l.CatchUp(ctx, o.m); err != nil {
		return err
	}
	key, err := o.l.NewKeyPackage()
	if err != nil {
		return err
	}
	octets, err := mls.Marshal(&mls.MLSMessage{KeyPackage: &key.KeyPackage})
	if err != nil {
		return err
	}
	for range n {
		err := timed(c, func() error {
			var kp mls.MLSMessage
			if err := mls.Unmarshal(octets, &kp); err != nil {
				return err
			}
			p, err := o.m.Group.Commit(ctx, o.own, mls.CommitOptions{
				Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: *kp.KeyPackage}}, GroupInfo: OutOfBand,
			})
			if err != nil {
				return err
			}
			return encode(p)
		})
		if err != nil {
			return err
		}
		o.m.Group.Discard()
	}
	return nil
}

// merge merges a commit with path, each time in a copy of the group.
func (o *operations) merge(ctx context.Context, c Clock, n int) error {
	rows, err := o.rows(ctx)
	if err != nil {
		return err
	}
	return o.prepared(c, n, func() (func() error, error) {
		g, err := mls.LoadGroup(o.m.Config, rows)
		if err != nil {
			return nil, err
		}
		if _, err := g.Commit(ctx, o.own, mls.CommitOptions{GroupInfo: OutOfBand}); err != nil {
			return nil, err
		}
		return func() error { _, err := g.Merge(ctx); return err }, nil
	})
}

// prepared runs n times something that each time needs a preparation. Several are
// prepared at once, and the collector has looked at what that leaves behind before
// they run, so that this is not counted.
func (o *operations) prepared(c Clock, n int, prepare func() (run func() error, err error)) error {
	most := min(batch, max(1, 20000/o.l.Size))
	for done := 0; done < n; done += most {
		var list []func() error
		for range min(most, n-done) {
			run, err := prepare()
			if err != nil {
				return err
			}
			list = append(list, run)
		}
		runtime.GC()
		err := timed(c, func() error {
			for _, run := range list {
				if err := run(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rows returns what the node has stored in the current epoch.
func (o *operations) rows(ctx context.Context) ([]mls.Row, error) {
	if err := o.l.CatchUp(ctx, o.m); err != nil {
		return nil, err
	}
	return o.m.Rows(), nil
}

// commits lets leaf 0 make commits with path, which the node has not seen yet.
func (o *operations) commits(ctx context.Context, n int) ([]largeStep, error) {
	if err := o.l.Sync(ctx); err != nil {
		return nil, err
	}
	for range n {
		if _, err := o.l.Commit(ctx, o.l.Crowd, 0, mls.CommitOptions{}); err != nil {
			return nil, err
		}
	}
	return o.l.steps, nil
}

// process processes one commit of leaf 0 after the other. Such commits leave a
// fresh tree as it is.
func (o *operations) process(ctx context.Context, c Clock, n int) error {
	return o.follow(ctx, c, n, &o.m.steps, func(s largeStep) error {
		_, err := process(ctx, o.m.Group, s.message)
		return err
	})
}

// follow lets leaf 0 commit n times, and somebody who has seen so many steps take
// these commits, some at a time.
func (o *operations) follow(ctx context.Context, c Clock, n int, seen *int, take func(largeStep) error) error {
	for done := 0; done < n; done += batch {
		steps, err := o.commits(ctx, min(batch, n-done))
		if err != nil {
			return err
		}
		runtime.GC()
		err = timed(c, func() error {
			for _, s := range steps {
				if err := take(s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		*seen = len(steps)
	}
	return o.l.Sync(ctx)
}

// join joins by a Welcome of leaf 0, with the tree beside it.
func (o *operations) join(ctx context.Context, c Clock, n int) error {
	w, err := o.l.Invite(ctx, false)
	if err != nil {
		return err
	}
	for range n {
		if err := timed(c, func() error { _, err := w.Join(ctx); return err }); err != nil {
			return err
		}
	}
	return nil
}

// externalJoin makes the external Commit of somebody, which is thrown away.
func (o *operations) externalJoin(ctx context.Context, c Clock, n int) error {
	gi, err := o.l.Crowd.Group.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
	if err != nil {
		return err
	}
	info, err := mls.Marshal(&mls.MLSMessage{GroupInfo: gi})
	if err != nil {
		return err
	}
	nodes, err := mls.Marshal(o.l.Crowd.Group.RatchetTree())
	if err != nil {
		return err
	}
	leaf, err := o.l.NewLeaf()
	if err != nil {
		return err
	}
	for range n {
		err := timed(c, func() error {
			var m mls.MLSMessage
			var tree mls.RatchetTree
			if err := mls.Unmarshal(info, &m); err != nil {
				return err
			}
			if err := mls.Unmarshal(nodes, &tree); err != nil {
				return err
			}
			_, p, err := mls.ExternalJoin(ctx, o.m.Config, m.GroupInfo, &tree, mls.ExternalOptions{Leaf: leaf, GroupInfo: OutOfBand})
			if err != nil {
				return err
			}
			return encode(p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// say makes one message and encodes it.
func say(g *mls.Group, from mls.LeafIndex) ([]byte, error) {
	m, err := g.Protect(from, make([]byte, TextSize), mls.AuthenticatedData{})
	if err != nil {
		return nil, err
	}
	return mls.Marshal(&mls.MLSMessage{PrivateMessage: m})
}

// protect makes messages; the first one of the sender is not counted.
func (o *operations) protect(ctx context.Context, c Clock, n int) error {
	if err := o.l.CatchUp(ctx, o.m); err != nil {
		return err
	}
	if _, err := say(o.m.Group, o.own); err != nil {
		return err
	}
	return timed(c, func() error {
		for range n {
			if _, err := say(o.m.Group, o.own); err != nil {
				return err
			}
		}
		return nil
	})
}

// silent brings everybody into an epoch in which nobody has sent anything, and
// returns what the node stores there.
func (o *operations) silent(ctx context.Context) ([]mls.Row, error) {
	if _, err := o.commits(ctx, 1); err != nil {
		return nil, err
	}
	return o.rows(ctx)
}

// protectFirst makes the first message of an epoch, each time in a copy of the
// group.
func (o *operations) protectFirst(ctx context.Context, c Clock, n int) error {
	rows, err := o.silent(ctx)
	if err != nil {
		return err
	}
	return o.prepared(c, n, func() (func() error, error) {
		g, err := mls.LoadGroup(o.m.Config, rows)
		if err != nil {
			return nil, err
		}
		g.SignatureKey(o.own) // a key is imported once, when it is first used
		return func() error { _, err := say(g, o.own); return err }, nil
	})
}

// unprotect reads messages of leaf 0; the first one is not counted. It takes a new
// epoch, since in this one the node may have missed more of them than it accepts.
func (o *operations) unprotect(ctx context.Context, c Clock, n int) error {
	if _, err := o.commits(ctx, 1); err != nil {
		return err
	}
	if err := o.l.CatchUp(ctx, o.m); err != nil {
		return err
	}
	b, err := say(o.l.Crowd.Group, 0)
	if err != nil {
		return err
	}
	if _, err := process(ctx, o.m.Group, b); err != nil {
		return err
	}
	messages := make([][]byte, n)
	for i := range messages {
		if messages[i], err = say(o.l.Crowd.Group, 0); err != nil {
			return err
		}
	}
	return timed(c, func() error {
		for _, b := range messages {
			if _, err := process(ctx, o.m.Group, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// unprotectFirst reads the first message of an epoch, each time in a copy of the
// group.
func (o *operations) unprotectFirst(ctx context.Context, c Clock, n int) error {
	rows, err := o.silent(ctx)
	if err != nil {
		return err
	}
	b, err := say(o.l.Crowd.Group, 0)
	if err != nil {
		return err
	}
	return o.prepared(c, n, func() (func() error, error) {
		g, err := mls.LoadGroup(o.m.Config, rows)
		if err != nil {
			return nil, err
		}
		g.View().Member(0) // a leaf is decoded once, when somebody asks for it
		return func() error { _, err := process(ctx, g, b); return err }, nil
	})
}

// hub stages and applies one commit of leaf 0 after the other.
func (o *operations) hub(ctx context.Context, c Clock, n int) error {
	hub, err := o.l.Hub(ctx)
	if err != nil {
		return err
	}
	return o.follow(ctx, c, n, &o.l.hubSteps, func(s largeStep) error { return stageApply(ctx, hub, s.message, s.groupInfo) })
}

// octetsOf counts what rows take.
func octetsOf(rows []mls.Row) (n int) {
	for _, r := range rows {
		n += len(r.Key) + len(r.Value)
	}
	return n
}

// save asks for the changed rows after each change.
func (o *operations) save(c Clock, n int, change func() error) error {
	o.m.Rows()
	written := 0
	for range n {
		if err := change(); err != nil {
			return err
		}
		c.StartTimer()
		rows := o.m.Group.Dirty()
		c.StopTimer()
		written += octetsOf(rows)
		o.m.Disk.Write(rows)
	}
	c.ReportMetric(float64(written)/float64(n), Written)
	return nil
}

func (o *operations) saveCommit(ctx context.Context, c Clock, n int) error {
	if err := o.l.Sync(ctx); err != nil {
		return err
	}
	return o.save(c, n, func() error {
		if _, err := o.commits(ctx, 1); err != nil {
			return err
		}
		return o.l.CatchUp(ctx, o.m)
	})
}

func (o *operations) saveProtect(ctx context.Context, c Clock, n int) error {
	if err := o.l.CatchUp(ctx, o.m); err != nil {
		return err
	}
	if _, err := say(o.m.Group, o.own); err != nil {
		return err
	}
	return o.save(c, n, func() error { _, err := say(o.m.Group, o.own); return err })
}

func (o *operations) load(ctx context.Context, c Clock, n int) error {
	rows, err := o.rows(ctx)
	if err != nil {
		return err
	}
	return timed(c, func() error {
		for range n {
			if _, err := mls.LoadGroup(o.m.Config, rows); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *operations) loadHub(ctx context.Context, c Clock, n int) error {
	rows, err := o.l.HubRows(ctx)
	if err != nil {
		return err
	}
	return timed(c, func() error {
		for range n {
			if _, err := mls.LoadPublicGroup(o.m.Config, rows); err != nil {
				return err
			}
		}
		return nil
	})
}

// AddCommit makes a commit of a node that adds somebody, and discards it.
func (l *Large) AddCommit(ctx context.Context, m *Member, from mls.LeafIndex) (*mls.PendingCommit, error) {
	key, err := l.NewKeyPackage()
	if err != nil {
		return nil, err
	}
	p, err := m.Group.Commit(ctx, from, mls.CommitOptions{Proposals: Adds(key), GroupInfo: OutOfBand})
	if err != nil {
		return nil, fmt.Errorf("add-commit of leaf %d: %w", from, err)
	}
	m.Group.Discard()
	return p, nil
}
