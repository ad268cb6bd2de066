package linkbench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// Options say what is measured.
type Options struct {
	// Sizes are numbers of members of rooms, ascending, from 10 on; the last one is the
	// room whose links are looked at.
	Sizes []int
	// Messages is how many messages are timed at each point.
	Messages int
	// CPUProfile is a folder for profiles of what is timed, or empty.
	CPUProfile string
}

// providers are those of the crowd. The first one is the hub.
var providers = []string{"north.localhost", "east.localhost", "south.localhost", "west.localhost"}

// warmUp is how many messages of a room are not timed.
const warmUp = 20

// A bench is one run.
type bench struct {
	*world
	opts  Options
	out   io.Writer
	floor floor
	// crowd are accounts at the providers, by provider; the first of each is connected
	// with those who are to be added.
	crowd [][]mimi.URI
	// welcomed is the gateway of who is added, and linked that of who enters by a link.
	welcomed, linked *gateway
	bob, carol       mimi.URI
}

// Run measures and prints.
func Run(ctx context.Context, opts Options, out io.Writer) error {
	w, err := newWorld()
	if err != nil {
		return err
	}
	defer w.close()
	b := &bench{world: w, opts: opts, out: out}
	if b.floor, err = measureFloor(w.suite); err != nil {
		return err
	}
	largest := slices.Max(opts.Sizes)
	began := time.Now()
	if err := b.populate(ctx, largest); err != nil {
		return fmt.Errorf("make the people: %w", err)
	}
	fmt.Fprintf(out, "%d people at %d providers with certificates of their own: %s\n", largest, len(providers), round(time.Since(began)))
	fmt.Fprintf(out, "the floor of one link is %s of CPU: 2 verifications of %s, ciphertexts of %s and %s, 3 expansions of %s\n",
		round(b.floor.total()), round(b.floor.verify), round(b.floor.open), round(b.floor.unwrap), round(b.floor.expand))
	var first time.Duration
	for i, size := range opts.Sizes {
		room, err := b.fill(ctx, size)
		if err != nil {
			return fmt.Errorf("make a room of %d: %w", size, err)
		}
		cost, err := b.measure(ctx, room, size)
		if err != nil {
			return fmt.Errorf("room of %d: %w", size, err)
		}
		if i == 0 {
			first = cost
		} else {
			fmt.Fprintf(out, "  a message with all links open costs %.2f times what it does with %d members\n", ratio(cost, first), opts.Sizes[0])
		}
	}
	return nil
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// round leaves three digits.
func round(d time.Duration) time.Duration {
	step := time.Duration(1)
	for d/step >= 1000 {
		step *= 10
	}
	return d.Round(step)
}

// populate makes gateways and accounts.
func (b *bench) populate(ctx context.Context, people int) error {
	for i, domain := range providers {
		g, err := b.gateway(ctx, domain, false)
		if err != nil {
			return err
		}
		var accounts []mimi.URI
		for n := range (people + len(providers) - 2 - i) / len(providers) {
			u, err := g.person(ctx, fmt.Sprintf("p%d", n))
			if err != nil {
				return err
			}
			accounts = append(accounts, u)
		}
		b.crowd = append(b.crowd, accounts)
	}
	var err error
	if b.welcomed, err = b.gateway(ctx, "here.localhost", true); err != nil {
		return err
	}
	if b.linked, err = b.gateway(ctx, "there.localhost", true); err != nil {
		return err
	}
	if b.bob, err = b.welcomed.person(ctx, "bob"); err != nil {
		return err
	}
	if b.carol, err = b.linked.person(ctx, "carol"); err != nil {
		return err
	}
	for _, accounts := range b.crowd[1:] {
		if err := b.connect(ctx, b.host(), accounts[0]); err != nil {
			return err
		}
	}
	return b.connect(ctx, b.host(), b.bob)
}

// host is who makes the rooms.
func (b *bench) host() mimi.URI { return b.crowd[0][0] }

// fill makes a room with so many members, the one who is about to be added included:
// the host adds colleagues and one person of each other provider, who add theirs.
func (b *bench) fill(ctx context.Context, size int) (mimi.URI, error) {
	began := time.Now()
	hub := b.gateways[b.host().Domain]
	members := func(i int) []mimi.URI {
		return b.crowd[i][:min(len(b.crowd[i]), (size+len(providers)-2-i)/len(providers))]
	}
	room, failed, err := hub.client.CreateRoom(ctx, b.host(), client.RoomOptions{Name: "crowd"}, members(0)[1:])
	for user, failure := range failed {
		err = fmt.Errorf("add %s: %w", user, failure)
	}
	if err != nil {
		return room, err
	}
	for i := 1; i < len(providers); i++ {
		for n, user := range members(i) {
			adder := members(i)[0]
			if n == 0 {
				adder = b.host()
			}
			if err := b.gateways[adder.Domain].client.Invite(ctx, adder, room, user); err != nil {
				return room, err
			}
			if n == 0 {
				if err := b.join(ctx, user, room); err != nil {
					return room, err
				}
			}
		}
	}
	for _, user := range b.writers(size) {
		if err := b.join(ctx, user, room); err != nil {
			return room, err
		}
	}
	fmt.Fprintf(b.out, "\n%d members: the room was made in %s\n", size, round(time.Since(began)))
	return room, nil
}

// writers are members whose links somebody may want to see, other than the host: half
// of the room, as far as there are so many at the hub's provider and the next.
func (b *bench) writers(size int) []mimi.URI {
	var out []mimi.URI
	for i := range providers[:2] {
		n := min(len(b.crowd[i]), (size+len(providers)-2-i)/len(providers))
		out = append(out, b.crowd[i][1:n]...)
	}
	return out
}

// measure lets Bob be added to a room and Carol enter it by a link, and returns what
// a message costs Bob's gateway once all links are open.
func (b *bench) measure(ctx context.Context, room mimi.URI, size int) (time.Duration, error) {
	g := b.welcomed
	// By a Welcome, which waits until it is timed.
	g.hold(true)
	hub := b.gateways[b.host().Domain]
	if err := hub.client.Invite(ctx, b.host(), room, b.bob); err != nil {
		return 0, err
	}
	welcome, err := g.take(ctx, 1)
	if err != nil {
		return 0, err
	}
	at := g.position()
	looked := g.looked()
	t, err := b.timed("welcome", func() error {
		if err := g.client.Notify(ctx, welcome[0].hub, room, welcome[0].body); err != nil {
			return err
		}
		_, _, err := g.await(ctx, "invitation", at, func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Room == room })
		return err
	})
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(b.out, "  Welcome to invitation shown       %s, with %d links opened (all of them would be %s of CPU at least)\n",
		t, g.looked()-looked, round(time.Duration(size)*b.floor.total()))
	if _, err := b.messages(ctx, room, b.writers(size)[:1], warmUp, true); err != nil {
		return 0, err
	}
	few, err := b.messages(ctx, room, b.writers(size)[:1], b.opts.Messages, true)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(b.out, "  a message, %4d links open         %s\n", g.looked()-looked, few)
	half := b.writers(size)
	each, err := b.messages(ctx, room, half, len(half), false)
	if err != nil {
		return 0, err
	}
	some, err := b.messages(ctx, room, half[:1], b.opts.Messages, true)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(b.out, "  the first message of each of %4d  %s\n", len(half), each)
	fmt.Fprintf(b.out, "  a message, %4d links open         %s, %.2f times\n", g.looked()-looked, some, ratio(some.cpu, few.cpu))
	if err := b.open(ctx, room, looked); err != nil {
		return 0, err
	}
	all, err := b.messages(ctx, room, half[:1], b.opts.Messages, true)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(b.out, "  a message, %4d links open         %s, %.2f times\n", g.looked()-looked, all, ratio(all.cpu, few.cpu))
	if err := b.again(ctx, room); err != nil {
		return 0, err
	}
	list, err := lowest(func() error { _, err := b.welcomed.client.Room(ctx, room); return err })
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(b.out, "  the list of members               %s of CPU\n", round(list))
	return all.cpu, b.enter(ctx, room, size)
}

// open lets Bob join, and waits until everybody has a name.
func (b *bench) open(ctx context.Context, room mimi.URI, looked int) error {
	g := b.welcomed
	closed, before, at := 0, g.looked(), g.position()
	var firstNames time.Duration
	began := time.Now()
	t, err := b.timed("open", func() error {
		if err := g.client.Join(ctx, b.bob, room); err != nil {
			return err
		}
		info, err := g.client.Room(ctx, room)
		if err != nil {
			return err
		}
		closed = info.Closed
		return b.awaitNames(ctx, g, room, at, closed, func(at time.Time) { firstNames = at.Sub(began) })
	})
	if err != nil {
		return err
	}
	n := g.looked() - before
	if n == 0 {
		fmt.Fprintf(b.out, "  all links were opened with the Welcome: %d\n", g.looked()-looked)
		return nil
	}
	fmt.Fprintf(b.out, "  the other %4d links, with names   %s; first names after %s; %s of CPU for each, %.2f times the floor\n",
		n, t, round(firstNames), round(t.cpu/time.Duration(n)), ratio(t.cpu, time.Duration(n)*b.floor.total()))
	return nil
}

// awaitNames waits until all who had none have a name.
func (b *bench) awaitNames(ctx context.Context, g *gateway, room mimi.URI, from, closed int, first func(time.Time)) error {
	for named := 0; named < closed; {
		e, next, err := g.await(ctx, "names", from, func(e *client.Event) bool { return e.Kind == client.EventOpened && e.Room == room })
		if err != nil {
			return err
		}
		if named == 0 {
			first(e.at)
		}
		named, from = named+len(e.Added), next
	}
	return nil
}

// again starts Bob's gateway a second time, and counts what it opens.
func (b *bench) again(ctx context.Context, room mimi.URI) error {
	g := b.welcomed
	if err := g.stop(); err != nil {
		return err
	}
	stopped := heap()
	looked := g.looked()
	var info *client.RoomInfo
	t, err := b.timed("start", func() error {
		if err := g.start(ctx); err != nil {
			return err
		}
		var err error
		info, err = g.client.Room(ctx, room)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "  second start                      %s, %d members, %d closed, %d links opened again\n", t, len(info.Members), info.Closed, g.looked()-looked)
	fmt.Fprintf(b.out, "  memory of the gateway             %.1f MiB, with this room loaded\n", float64(int64(heap())-int64(stopped))/(1<<20)) //nolint:gosec // less than 2^63
	return nil
}

// heap is what is reachable.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// enter lets Carol enter by a link, and waits until everybody has a name.
func (b *bench) enter(ctx context.Context, room mimi.URI, size int) error {
	g := b.linked
	b.welcomed.hold(false)
	link, err := b.gateways[b.host().Domain].client.MakeLink(ctx, b.host(), room, client.LinkOptions{})
	if err != nil {
		return err
	}
	before, at, seen := g.looked(), g.position(), b.welcomed.position()
	entered, err := b.timed("enter", func() error {
		if _, err := g.client.JoinLink(ctx, b.carol, link.Text(), client.JoinOptions{}); err != nil {
			return err
		}
		_, _, err := g.await(ctx, "entrance", at, func(e *client.Event) bool { return e.Kind == client.EventJoined && e.Room == room })
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "  by a link, until it is shown      %s\n", entered)
	sent, err := b.timed("send", func() error { return b.say(ctx, b.carol, room) })
	if err != nil {
		return err
	}
	info, err := g.client.Room(ctx, room)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "  the first own message after it    %s, for which all %d links were opened (%d closed)\n", sent, g.looked()-before, info.Closed)
	// What is still on its way would be taken for a request of the next room.
	_, _, err = b.welcomed.await(ctx, "message", seen, func(e *client.Event) bool { return e.Kind == client.EventMessage && e.Room == room })
	return err
}

// messages lets members write to the room in turn, n messages in all, and returns what
// each one costs Bob's gateway from the hub's request until it is shown. It is the
// median if they are to be alike, and else the mean.
func (b *bench) messages(ctx context.Context, room mimi.URI, from []mimi.URI, n int, alike bool) (span, error) {
	g := b.welcomed
	g.hold(true)
	var all []span
	for i := range n {
		if err := b.say(ctx, from[i%len(from)], room); err != nil {
			return span{}, err
		}
		requests, err := g.take(ctx, 1)
		if err != nil {
			return span{}, err
		}
		at := g.position()
		began, used := time.Now(), cpuTime()
		if err := g.client.Notify(ctx, requests[0].hub, room, requests[0].body); err != nil {
			return span{}, err
		}
		e, _, err := g.await(ctx, "message", at, func(e *client.Event) bool { return e.Kind == client.EventMessage && e.Room == room })
		if err != nil {
			return span{}, err
		}
		if e.Actor.User.IsZero() {
			return span{}, fmt.Errorf("a message of %s was shown without a name", from[i%len(from)])
		}
		all = append(all, span{e.at.Sub(began), cpuTime() - used})
	}
	if alike {
		slices.SortFunc(all, func(a, b span) int { return int(a.cpu - b.cpu) })
		return all[len(all)/10], nil
	}
	var sum span
	for _, s := range all {
		sum.wall, sum.cpu = sum.wall+s.wall, sum.cpu+s.cpu
	}
	return span{sum.wall / time.Duration(n), sum.cpu / time.Duration(n)}, nil
}

// A span is how long something took.
type span struct{ wall, cpu time.Duration }

// String implements [fmt.Stringer].
func (s span) String() string { return fmt.Sprintf("%s (%s of CPU)", round(s.wall), round(s.cpu)) }

// timed runs f, with a profile if there is to be one.
func (b *bench) timed(name string, f func() error) (s span, err error) {
	if b.opts.CPUProfile != "" {
		file, err := os.OpenFile(filepath.Join(b.opts.CPUProfile, name+".pprof"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return s, err
		}
		defer file.Close() //nolint:errcheck // a profile is no record
		if err := pprof.StartCPUProfile(file); err != nil {
			return s, err
		}
		defer pprof.StopCPUProfile()
	}
	began, used := time.Now(), cpuTime()
	err = f()
	return span{time.Since(began), cpuTime() - used}, err
}
