package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/expect"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/matrixclient"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/transcript"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	report, fault, binary string
	noMatrix              bool
}

func runDemo(ctx context.Context, args []string, stdout io.Writer) error {
	var opts demoOptions
	set := flag.NewFlagSet("mimi-lab demo", flag.ContinueOnError)
	set.SetOutput(stdout)
	set.StringVar(&opts.report, "report", "", "write transcript, databases and logs to this `folder`")
	set.StringVar(&opts.fault, "fault", "", "run gateways that break a promise, by `name`; mimi-gateway --faults of a lab build lists them")
	set.StringVar(&opts.binary, "gateway", "", "use the gateway at this `path`, and build none")
	set.BoolVar(&opts.noMatrix, "no-matrix", false, "play the story between two engines, without homeservers")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w; %w", err, errUsage)
	}
	if set.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; %w", set.Arg(0), errUsage)
	}
	return reporting(opts.report, stdout, func(out io.Writer) error {
		if opts.noMatrix {
			return playEngines(ctx, &opts, out)
		}
		return playDemo(ctx, &opts, out)
	})
}

// reporting calls play with a writer that also writes the transcript into a
// folder, unless dir is empty.
func reporting(dir string, stdout io.Writer, play func(io.Writer) error) (err error) {
	if dir == "" {
		return play(stdout)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "transcript.txt"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return play(io.MultiWriter(stdout, f))
}

// A demo is one run of the story.
type demo struct {
	world    *world
	story    *transcript.Transcript
	expected *expect.List

	alice, anna, carol *person // of alpha
	bob, ben, dinah    *person // of beta
	// said are the texts that must not be found in the traffic.
	said []string
}

// people returns everybody.
func (d *demo) people() []*person { return []*person{d.alice, d.anna, d.carol, d.bob, d.ben, d.dinah} }

func playDemo(ctx context.Context, opts *demoOptions, out io.Writer) (err error) {
	story := transcript.New(out)
	cfg := worldConfig{names: []string{"alpha", "beta"}, binary: opts.binary, log: story}
	if opts.fault != "" {
		cfg.lab, cfg.args = true, []string{"--fault=" + opts.fault}
	}
	w, err := newWorld(ctx, cfg)
	defer w.close()
	if err != nil {
		return err
	}
	d := &demo{world: w, story: story, expected: expect.New(story)}
	err = d.play(ctx)
	if opts.report != "" {
		err = errors.Join(err, w.collect(opts.report))
	}
	if err != nil {
		return err
	}
	story.Chapter("Result")
	d.expected.Finish()
	return nil
}

// play tells the chapters in order.
func (d *demo) play(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		d.meetTheBots,
		d.connectTwo,
		d.chat,
		d.gatherAll,
		d.allTalk,
		d.someLead,
		d.someLeave,
		d.byLink,
		d.crashTwice,
		d.declined,
		d.hubsView,
		d.killAGateway,
		d.stopEverything,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

// meetTheBots makes everybody's account, and lets Alice talk to her gateway, and
// Ben to his.
func (d *demo) meetTheBots(ctx context.Context) error {
	d.story.Chapter("Two homeservers, two gateways")
	alpha, beta := d.world.sites[0], d.world.sites[1]
	for _, s := range d.world.sites {
		d.story.Says(s.name, "Synapse for %s, provider %s", s.server(), s.domain())
	}
	for _, p := range []struct {
		person    **person
		site      *site
		localpart string
		name      string
	}{
		{&d.alice, alpha, "alice.liddell", "Alice Liddell"},
		{&d.anna, alpha, "anna.karenina", "Anna Karenina"},
		{&d.carol, alpha, "carol.danvers", "Carol Danvers"},
		{&d.bob, beta, "bob.dodgson", "Bob Dodgson"},
		{&d.ben, beta, "ben.gunn.island", "Ben Gunn"},
		{&d.dinah, beta, "dinah.the.cat", "Dinah Kitten"},
	} {
		c, err := p.site.addPerson(ctx, p.localpart, p.name)
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(p.name, " ")
		*p.person = &person{demo: d, site: p.site, first: first, name: p.name, localpart: p.localpart, matrix: c}
	}
	for _, p := range []*person{d.alice, d.ben} {
		if err := d.askForHelp(ctx, p.site, p.matrix); err != nil {
			return err
		}
		if err := d.checkDoublePuppet(ctx, p.site, p.matrix); err != nil {
			return err
		}
	}
	return nil
}

// askForHelp opens a management room and reads the bot's answer in it.
func (d *demo) askForHelp(ctx context.Context, s *site, c *matrixclient.Client) error {
	me := fmt.Sprintf("%s (%s)", localpart(c.ID()), s.name)
	room, err := c.DirectRoom(ctx, s.bot())
	if err != nil {
		return err
	}
	d.story.Says(me, "invited %s to a direct chat", s.bot())
	err = c.Await(ctx, "the bot's welcome", func(v *matrixclient.View) bool {
		return botSaid(v.Rooms[room], s.bot(), "management room")
	})
	if err := d.expected.Check(s.name+": the bot joins and makes the chat a management room", err); err != nil {
		return err
	}
	if _, err := c.SendText(ctx, room, "help"); err != nil {
		return err
	}
	d.story.Says(me, "wrote \"help\"")
	err = c.Await(ctx, "an answer to help", func(v *matrixclient.View) bool {
		return botSaid(v.Rooms[room], s.bot(), "start-chat", "create-group", "login")
	})
	if err := d.expected.Check(s.name+": the bot answers help with its commands", err); err != nil {
		return err
	}
	if _, err := c.SendText(ctx, room, "login"); err != nil {
		return err
	}
	d.story.Says(me, "wrote \"login\"")
	err = c.Await(ctx, "an answer to login", func(v *matrixclient.View) bool {
		return botSaid(v.Rooms[room], s.bot(), "reached over MIMI at "+localpart(c.ID())+"@"+s.domain())
	})
	return d.expected.Check(s.name+": login asks for nothing and says where one can be reached", err)
}

// checkDoublePuppet lets the gateway act as a person, and reads the outcome
// from their own account.
func (d *demo) checkDoublePuppet(ctx context.Context, s *site, c *matrixclient.Client) error {
	room := managementRoom(s, c)
	if _, err := c.SendText(ctx, room, "ping-matrix"); err != nil {
		return err
	}
	err := c.Await(ctx, "an answer to ping-matrix", func(v *matrixclient.View) bool {
		return botSaid(v.Rooms[room], s.bot(), "Confirmed valid access token")
	})
	return d.expected.Check(s.name+": the gateway can act as "+string(c.ID())+" (double puppeting)", err)
}

// killAGateway ends a gateway as a power failure would, and starts it again.
func (d *demo) killAGateway(ctx context.Context) error {
	d.story.Chapter("A gateway is killed")
	s := d.world.sites[1]
	err := s.gateway.StartSecond(ctx)
	refused := err != nil && strings.Contains(err.Error(), "another process uses this database")
	if err := d.expected.That(s.name+": a second process on the same database is refused", refused, "it ended with: %v", err); err != nil {
		return err
	}
	info, err := os.Stat(s.gateway.Database())
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if err := d.expected.That(s.name+": the database is closed to others", mode == 0o600, "its mode is %#o", mode); err != nil {
		return err
	}
	bob := s.people[d.bob.localpart]
	room := managementRoom(s, bob)
	s.gateway.Kill()
	d.story.Says(s.name, "SIGKILL")
	// The homeserver keeps what it cannot deliver.
	if _, err := bob.SendText(ctx, room, "version"); err != nil {
		return err
	}
	d.story.Says("bob (beta)", "wrote \"version\" to a dead gateway")
	if err := d.expected.Check(s.name+": the gateway starts again", s.gateway.Start(ctx)); err != nil {
		return err
	}
	err = bob.Await(ctx, "an answer to version", func(v *matrixclient.View) bool {
		return botSaid(v.Rooms[room], s.bot(), "mimi-gateway", "built with")
	})
	return d.expected.Check(s.name+": what was written in the meantime is answered", err)
}

// managementRoom returns the room a person shares with their bot.
func managementRoom(s *site, c *matrixclient.Client) (room id.RoomID) {
	c.Look(func(v *matrixclient.View) {
		for _, r := range v.Rooms {
			_, portal := isPortal(r)
			if r.Member(s.bot()).Membership == event.MembershipJoin && !portal && botSaid(r, s.bot(), "bridge bot") {
				room = r.ID
			}
		}
	})
	return room
}

// stopEverything ends the sites and checks that they end well.
func (d *demo) stopEverything(ctx context.Context) error {
	d.story.Chapter("The end")
	for _, s := range d.world.sites {
		took, err := s.stop(ctx)
		if err := d.expected.Check(fmt.Sprintf("%s: the gateway stops cleanly within %v of SIGTERM", s.name, stopLimit), err); err != nil {
			return err
		}
		d.story.Says(s.name, "stopped in %.1f s", took.Seconds())
	}
	return nil
}

// botSaid reports whether one message of the bot contains all parts.
func botSaid(room *matrixclient.Room, bot id.UserID, parts ...string) bool {
	for _, evt := range room.Messages(bot) {
		body, all := evt.Content.AsMessage().Body, true
		for _, part := range parts {
			all = all && strings.Contains(body, part)
		}
		if all {
			return true
		}
	}
	return false
}

func localpart(user id.UserID) string { return user.Localpart() }
