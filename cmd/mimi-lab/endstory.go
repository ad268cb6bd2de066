package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // registers the driver
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/cmd/internal/node"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/matrixclient"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// crashTwice kills the beta gateway while ten messages are under way, and once
// more right after its start.
func (d *demo) crashTwice(ctx context.Context) error {
	d.story.Chapter("The beta gateway is killed while ten messages are under way")
	alice, bob, beta := d.alice, d.bob, d.bob.site
	text := func(i int) string { return fmt.Sprintf("message number %d of ten", i) }
	sent := make(chan error, 1)
	go func() {
		for i := 1; i <= 10; i++ {
			if _, err := alice.matrix.SendText(ctx, alice.direct, text(i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	alice.says("writes ten messages")
	for i := 1; i <= 10; i++ {
		d.said = append(d.said, text(i))
	}
	if _, err := bob.sees(ctx, bob.direct, alice, text(3)); err != nil {
		return err
	}
	beta.gateway.Kill()
	d.story.Says(beta.name, "SIGKILL, after Bob saw the third")
	if err := <-sent; err != nil {
		return err
	}
	if err := beta.gateway.Start(ctx); err != nil {
		return d.expected.Check("the gateway starts again", err)
	}
	beta.gateway.Kill()
	d.story.Says(beta.name, "SIGKILL, right after the start")
	if err := beta.gateway.Start(ctx); err != nil {
		return d.expected.Check("the gateway starts once more", err)
	}
	if _, err := bob.sees(ctx, bob.direct, alice, text(10)); err != nil {
		return d.expected.Check("all ten arrive", err)
	}
	// What would be shown twice has been shown before the answer to a later one.
	if _, _, err := d.exchange(ctx, alice, bob, alice.direct, bob.direct, "That was all of them"); err != nil {
		return err
	}
	var order []string
	bob.matrix.Look(func(v *matrixclient.View) {
		for _, evt := range v.Rooms[bob.direct].Messages("") {
			if number, ok := strings.CutPrefix(evt.Content.AsMessage().Body, "message number "); ok {
				order = append(order, strings.TrimSuffix(number, " of ten"))
			}
		}
	})
	got := strings.Join(order, " ")
	return d.expected.That("all ten arrive once, in order", got == "1 2 3 4 5 6 7 8 9 10", "they arrived as %s", got)
}

// declined lets Bob decline Carol, who must not be able to tell.
func (d *demo) declined(ctx context.Context) error {
	d.story.Chapter("Carol asks and is declined")
	carol, bob, ben := d.carol, d.bob, d.ben
	rooms := map[*person]id.RoomID{}
	for _, p := range []*person{bob, ben} {
		err := carol.command(ctx, "start-chat "+p.handle(), p.handle(), "has been asked")
		if err := d.expected.Check("Carol is told that "+p.first+" has been asked", err); err != nil {
			return err
		}
		room, _, err := p.invitation(ctx, carol.handle())
		if err := d.expected.Check(p.first+" sees that Carol asks", err); err != nil {
			return err
		}
		rooms[p] = room
	}
	if _, _, err := d.exchange(ctx, bob, d.alice, bob.direct, d.alice.direct, "Somebody is at my door"); err != nil {
		return err
	}
	before := len(d.world.log.All())
	bob.says("declines by leaving the room; Ben does nothing")
	if err := bob.matrix.Leave(ctx, rooms[bob]); err != nil {
		return err
	}
	if err := bob.command(ctx, "requests", "Nobody waits for an answer"); err != nil {
		return d.expected.Check("Bob's request is gone", err)
	}
	// What this does not bring, the decline has not sent.
	if _, _, err := d.exchange(ctx, bob, d.alice, bob.direct, d.alice.direct, "Who is this Carol, by the way?"); err != nil {
		return err
	}
	toAlpha := 0
	for _, x := range d.world.log.All()[before:] {
		if x.To == carol.site.domain() && !strings.Contains(x.Target, "submitMessage") {
			toAlpha++
		}
	}
	if err := d.expected.That("alpha gets nothing but Bob's message", toAlpha == 0, "it got %d requests", toAlpha); err != nil {
		return err
	}
	err := carol.command(ctx, "connections", bob.handle()+": asked, has not answered", ben.handle()+": asked, has not answered")
	return d.expected.Check("Carol cannot tell the one who declined from the one who has not answered", err)
}

// hubsView looks at what the hub at alpha and the other provider know.
func (d *demo) hubsView(ctx context.Context) error {
	d.story.Chapter("What the hub knows")
	rooms := map[string]mimi.URI{}
	var err error
	d.alice.matrix.Look(func(v *matrixclient.View) {
		for _, room := range []*matrixclient.Room{v.Rooms[d.alice.direct], v.Rooms[d.alice.group]} {
			uri, ok := isPortal(room)
			if !ok {
				err = errors.New("a room of Alice is no portal any more")
				return
			}
			rooms[room.Name()], err = mimi.ParseURIKind(uri, mimi.KindRoom)
		}
	})
	if err != nil {
		return err
	}
	rosters, err := d.rosters(ctx, d.alice.site, rooms)
	if err != nil {
		return err
	}
	if err := d.pseudonyms(rosters); err != nil {
		return err
	}
	var needles []scan.Needle
	for _, p := range d.people() {
		needles = append(needles,
			scan.Needle{Name: p.localpart, Text: p.localpart}, scan.Needle{Name: "the name " + p.name, Text: p.name},
			scan.Needle{Name: "the homeserver of " + p.localpart, Text: string(p.matrix.ID())})
	}
	needles = append(needles, scan.Needle{Name: "the room's name", Text: roomName})
	for _, text := range d.said {
		needles = append(needles, scan.Needle{Name: fmt.Sprintf("the text %q", text), Text: text})
	}
	octets, named, hits := scanTraffic(d.world.log.All(), needles)
	d.story.Says("the scanner", "read %d octets of %d exchanges, looked for %d needles", octets, len(d.world.log.All()), len(needles))
	if err := d.expected.That("the scanner finds Bob's address where it has to be: in the question to his own provider", named > 0, "it found none"); err != nil {
		return err
	}
	const shown = 5
	return d.expected.That("no provider received a name, an address or a text of the other's people", len(hits) == 0,
		"%d times; %s", len(hits), strings.Join(hits[:min(len(hits), shown)], "; "))
}

// pseudonyms checks the rosters of a hub.
func (d *demo) pseudonyms(rosters map[string][]mimi.URI) error {
	seen := map[mimi.URI]string{}
	for name, roster := range rosters {
		for _, p := range roster {
			d.story.Says("the hub's roster", "%s", p)
			if !p.HasRandomID() {
				return d.expected.That("the hub's rosters hold pseudonyms only", false, "one has %s", p)
			}
			if _, ok := seen[p]; ok {
				return d.expected.That("nobody has the same pseudonym in two rooms", false, "%s is in %q and %q", p, name, seen[p])
			}
			seen[p] = name
		}
	}
	if err := d.expected.That("the hub's rosters hold pseudonyms only", len(seen) >= 4, "they hold %d", len(seen)); err != nil {
		return err
	}
	return d.expected.Check("nobody has the same pseudonym in two rooms", nil)
}

// rosters reads the participants of rooms from the database of their hub, whose
// gateway is stopped for that.
func (d *demo) rosters(ctx context.Context, s *site, rooms map[string]mimi.URI) (out map[string][]mimi.URI, err error) {
	if _, err := s.gateway.Stop(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.gateway.Start(ctx)) }()
	pool := dbutil.PoolConfig{Type: "sqlite3-fk-wal-fullsync", URI: "file:" + s.gateway.Database() + "?_txlock=immediate"}
	claimed, err := mapping.Claim(pool)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, claimed.Release()) }()
	keys, err := mapping.LoadKeyFile(filepath.Join(filepath.Dir(s.gateway.Database()), "gateway.key"))
	if err != nil {
		return nil, err
	}
	db, err := dbutil.NewWithDialect(pool.URI, pool.Type)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	store, err := mapping.Open(ctx, db, keys)
	if err != nil {
		return nil, err
	}
	settings := config.Default()
	settings.Domain = s.domain()
	settings.Listen.CertFile, settings.Listen.KeyFile = s.certFile, s.keyFile
	n, err := node.New(node.Config{
		Settings: settings, Store: store, People: nobody{}, Sink: nobody{}, Clock: mimi.SystemClock{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	out = map[string][]mimi.URI{}
	for name, room := range rooms {
		if out[name], err = n.Hub().Participants(ctx, room); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nobody is a Matrix side without people.
type nobody struct{}

func (nobody) Lookup(context.Context, string) (string, error) { return "", client.ErrNoPerson }

func (nobody) Deliver(context.Context, *client.Event) error { return nil }
