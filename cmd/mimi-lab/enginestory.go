package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/expect"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/transcript"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// An engineStory is the story of the README between two engines, without
// homeservers: what people do are calls, what they see are events.
type engineStory struct {
	world    *engines
	story    *transcript.Transcript
	expected *expect.List

	alpha, beta           *engine
	alice, anna, carol    mimi.URI
	bob, ben              mimi.URI
	direct, group         mimi.URI
	said                  []string
	sources               int
	first, reply, reacted client.Sent
}

// roomName is the name of the group: one that turns up nowhere else.
const roomName = "Plans for the Wonderland Picnic"

// playEngines plays the story and prints it.
func playEngines(ctx context.Context, opts *demoOptions, out io.Writer) (err error) {
	story := transcript.New(out)
	faults, err := faultsOf(opts.fault)
	if err != nil {
		return err
	}
	w, err := newEngines(ctx, []string{"alpha", "beta"}, faults, plainRooms)
	defer w.close()
	if err != nil {
		return err
	}
	s := &engineStory{world: w, story: story, expected: expect.New(story), alpha: w.all[0], beta: w.all[1]}
	err = s.play(ctx)
	if opts.report != "" {
		err = errors.Join(err, w.collect(opts.report))
	}
	if err != nil {
		return err
	}
	story.Chapter("Result")
	s.expected.Finish()
	return nil
}

func (s *engineStory) play(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		s.connect, s.talk, s.gather, s.everyoneTalks, s.part, s.crash, s.decline, s.link, s.hubView, s.plainRoom,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

// connect lets Alice ask Bob, who has never used the gateway.
func (s *engineStory) connect(ctx context.Context) (err error) {
	s.story.Chapter("Alice and Bob connect")
	for _, p := range []struct {
		e               *engine
		user            *mimi.URI
		localpart, name string
		known           bool
	}{
		{s.alpha, &s.alice, "alice.liddell", "Alice Liddell", true},
		{s.alpha, &s.anna, "anna.karenina", "Anna Karenina", true},
		{s.alpha, &s.carol, "carol.danvers", "Carol Danvers", true},
		{s.beta, &s.bob, "bob.dodgson", "Bob Dodgson", false},
		{s.beta, &s.ben, "ben.gunn.island", "Ben Gunn", true},
	} {
		p.e.people[p.localpart] = p.name
		if p.known {
			*p.user, err = p.e.client().Provision(ctx, p.localpart, p.name)
		} else {
			*p.user, err = mimi.UserURI(p.e.domain, p.localpart)
		}
		if err != nil {
			return err
		}
	}
	s.story.Says("alice (alpha)", "asks to talk to %s", s.bob.Handle())
	if _, err := s.alpha.client().Connect(ctx, s.alice, s.bob); err != nil {
		return s.expected.Check("Alice can ask Bob", err)
	}
	asked, err := s.beta.await(ctx, "Alice's request", func(e *client.Event) bool {
		return e.Kind == client.EventAsked && e.Account == s.bob && e.Peer == s.alice
	})
	if err := s.expected.Check("Bob sees who asks", err); err != nil {
		return err
	}
	s.story.Says("bob (beta)", "accepts %s", asked.Peer.Handle())
	if s.direct, err = s.beta.client().Accept(ctx, s.bob, asked.Request); err != nil {
		return s.expected.Check("Bob can accept", err)
	}
	_, err = s.alpha.await(ctx, "the connection", func(e *client.Event) bool {
		return e.Kind == client.EventConnected && e.Account == s.alice && e.Peer == s.bob
	})
	if err := s.expected.Check("Alice learns that Bob has accepted", err); err != nil {
		return err
	}
	for _, side := range []struct {
		e    *engine
		peer mimi.URI
		name string
	}{{s.alpha, s.bob, "Bob Dodgson"}, {s.beta, s.alice, "Alice Liddell"}} {
		_, err := side.e.await(ctx, "a name", func(e *client.Event) bool {
			return e.Kind == client.EventName && e.Peer == side.peer && e.Name == side.name
		})
		if err := s.expected.Check(side.e.name+" is told the name of "+side.peer.Handle(), err); err != nil {
			return err
		}
	}
	return nil
}

// send sends a message for an account.
func (s *engineStory) send(ctx context.Context, e *engine, account, room mimi.URI, m content.Message) (client.Sent, error) {
	s.sources++
	return e.client().Send(ctx, account, room, fmt.Sprintf("$event-%d", s.sources), m)
}

// say sends a text, and expects it at the other engine.
func (s *engineStory) say(ctx context.Context, e, heard *engine, account, room mimi.URI, text string) (client.Sent, error) {
	s.said = append(s.said, text)
	s.story.Says(account.Localpart(), "writes %q", text)
	sent, err := s.send(ctx, e, account, room, content.Text(content.PlainPart(text)))
	if err != nil {
		return sent, s.expected.Check(account.Localpart()+" can write", err)
	}
	return sent, s.arrives(ctx, heard, account, sent, fmt.Sprintf("%s sees what %s wrote, by name", heard.name, account.Localpart()))
}

// arrives expects a message of an account at an engine, exactly once.
func (s *engineStory) arrives(ctx context.Context, heard *engine, account mimi.URI, sent client.Sent, expectation string) error {
	same := func(e *client.Event) bool {
		return e.Kind == client.EventMessage && string(e.Message) == string(sent.ID[:])
	}
	got, err := heard.await(ctx, "the message", same)
	if err == nil && got.Actor.User != account {
		err = fmt.Errorf("it is said to be from %q", got.Actor.User)
	}
	return s.expected.Check(expectation, err)
}

// talk is what two people do in a direct chat.
func (s *engineStory) talk(ctx context.Context) (err error) {
	s.story.Chapter("They talk")
	if s.first, err = s.say(ctx, s.alpha, s.beta, s.alice, s.direct, "Curiouser and curiouser!"); err != nil {
		return err
	}
	steps := []struct {
		what    string
		e       *engine
		heard   *engine
		account mimi.URI
		message func() (content.Message, error)
		kind    content.Kind
		keep    *client.Sent
	}{
		{"replies", s.beta, s.alpha, s.bob, func() (content.Message, error) {
			return content.Reply(s.first.ID, content.PlainPart("Indeed it is, said the Cheshire cat")), nil
		}, content.KindReply, &s.reply},
		{"edits", s.alpha, s.beta, s.alice, func() (content.Message, error) {
			return content.Edit(s.first.ID, content.MessageID{}, content.PlainPart("Curiouser and curiouser, indeed!")), nil
		}, content.KindEdit, nil},
		{"reacts", s.beta, s.alpha, s.bob, func() (content.Message, error) { return content.Reaction(s.first.ID, "🎩") }, content.KindReaction, &s.reacted},
		{"takes the reaction back", s.beta, s.alpha, s.bob, func() (content.Message, error) {
			return content.Unreact(s.reacted.ID, s.first.ID), nil
		}, content.KindUnreact, nil},
		{"deletes", s.beta, s.alpha, s.bob, func() (content.Message, error) { return content.Delete(s.reply.ID, s.first.ID), nil }, content.KindDelete, nil},
	}
	for _, step := range steps {
		s.story.Says(step.account.Localpart(), "%s", step.what)
		m, err := step.message()
		if err != nil {
			return err
		}
		sent, err := s.send(ctx, step.e, step.account, s.direct, m)
		if err != nil {
			return s.expected.Check(step.account.Localpart()+" "+step.what, err)
		}
		if step.keep != nil {
			*step.keep = sent
		}
		if err := s.arrives(ctx, step.heard, step.account, sent, fmt.Sprintf("%s sees that %s %s", step.heard.name, step.account.Localpart(), step.what)); err != nil {
			return err
		}
	}
	return nil
}

// gather makes the group.
func (s *engineStory) gather(ctx context.Context) (err error) {
	s.story.Chapter("Alice makes a group")
	var failed map[mimi.URI]error
	s.story.Says("alice (alpha)", "makes %q with Bob", roomName)
	if s.group, failed, err = s.alpha.client().CreateRoom(ctx, s.alice, client.RoomOptions{Name: roomName}, []mimi.URI{s.bob}); err == nil && len(failed) > 0 {
		err = failed[s.bob]
	}
	if err := s.expected.Check("Alice can make a group with Bob", err); err != nil {
		return err
	}
	for _, guest := range []struct {
		e, host     *engine
		user, adder mimi.URI
	}{{s.beta, s.alpha, s.bob, s.alice}, {s.alpha, s.alpha, s.anna, s.alice}, {s.beta, s.beta, s.ben, s.bob}} {
		if guest.user != s.bob {
			s.story.Says(guest.adder.Localpart(), "adds %s", guest.user.Localpart())
			if err := guest.host.client().Invite(ctx, guest.adder, s.group, guest.user); err != nil {
				return s.expected.Check(guest.adder.Localpart()+" can add "+guest.user.Localpart(), err)
			}
		}
		got, err := guest.e.await(ctx, "an invitation", func(e *client.Event) bool {
			return e.Kind == client.EventInvited && e.Account == guest.user && e.Room == s.group
		})
		if err == nil && (got.Actor.User != guest.adder || got.Name != roomName) {
			err = fmt.Errorf("it is to %q by %q", got.Name, got.Actor.User)
		}
		if err := s.expected.Check(guest.user.Localpart()+" is invited by name, to the room's name", err); err != nil {
			return err
		}
		_, err = s.send(ctx, guest.e, guest.user, s.group, content.Text(content.PlainPart("too early")))
		if err := s.expected.That("nothing is sent for "+guest.user.Localpart()+" before the invitation is accepted",
			errors.Is(err, client.ErrInvited), "got %v", err); err != nil {
			return err
		}
		if err := guest.e.client().Join(ctx, guest.user, s.group); err != nil {
			return err
		}
	}
	return nil
}

// everyoneTalks lets all four write.
func (s *engineStory) everyoneTalks(ctx context.Context) error {
	s.story.Chapter("Everyone talks")
	for _, who := range []struct {
		e, heard *engine
		user     mimi.URI
		text     string
	}{
		{s.alpha, s.beta, s.alice, "Shall we have the picnic by the river?"},
		{s.beta, s.alpha, s.bob, "I shall bring the boat and the oars"},
		{s.alpha, s.beta, s.anna, "I would rather come by train, if I may"},
		{s.beta, s.alpha, s.ben, "Is there any cheese left over?"},
	} {
		if _, err := s.say(ctx, who.e, who.heard, who.user, s.group, who.text); err != nil {
			return err
		}
	}
	for _, e := range s.world.all {
		info, err := e.client().Room(ctx, s.group)
		if err == nil {
			for _, m := range info.Members {
				if m.User.IsZero() {
					err = errors.New("a member is not known")
				}
			}
			if len(info.Members) != 4 {
				err = fmt.Errorf("it sees %d members", len(info.Members))
			}
		}
		if err := s.expected.Check(e.name+" knows all four by their real addresses", err); err != nil {
			return err
		}
	}
	return nil
}

// part lets one leave and one be removed.
func (s *engineStory) part(ctx context.Context) error {
	s.story.Chapter("Ben leaves, Anna is removed")
	s.story.Says("ben (beta)", "leaves")
	if err := s.beta.client().Leave(ctx, s.ben, s.group); err != nil {
		return s.expected.Check("Ben can leave", err)
	}
	_, err := s.alpha.await(ctx, "Ben leaving", func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == s.group && len(e.Removed) == 1 && e.Removed[0].User == s.ben
	})
	if err := s.expected.Check("the others see that Ben has left", err); err != nil {
		return err
	}
	s.story.Says("alice (alpha)", "removes Anna")
	if err := s.alpha.client().Kick(ctx, s.alice, s.group, s.anna); err != nil {
		return s.expected.Check("Alice can remove Anna", err)
	}
	_, err = s.alpha.await(ctx, "Anna's removal", func(e *client.Event) bool {
		return e.Kind == client.EventGone && e.Account == s.anna && e.Room == s.group && e.Actor.User == s.alice
	})
	if err := s.expected.Check("Anna is told who has removed her", err); err != nil {
		return err
	}
	_, err = s.send(ctx, s.alpha, s.anna, s.group, content.Text(content.PlainPart("let me in again")))
	if err := s.expected.That("Anna cannot write any more", errors.Is(err, client.ErrNotMember), "got %v", err); err != nil {
		return err
	}
	if _, err := s.say(ctx, s.beta, s.alpha, s.bob, s.group, "It is quieter now, is it not?"); err != nil {
		return err
	}
	_, err = s.say(ctx, s.alpha, s.beta, s.alice, s.group, "So it is; and the name still opens")
	return err
}

// crash restarts the beta engine while ten messages are under way.
func (s *engineStory) crash(ctx context.Context) error {
	s.story.Chapter("The beta engine is restarted while ten messages are under way")
	ids := map[string]int{}
	inDirect := func(e *client.Event) bool { return e.Kind == client.EventMessage && e.Room == s.direct }
	before := s.beta.count(inDirect)
	for i := range 10 {
		text := fmt.Sprintf("message number %d of ten", i+1)
		s.said = append(s.said, text)
		sent, err := s.send(ctx, s.alpha, s.alice, s.direct, content.Text(content.PlainPart(text)))
		if err != nil {
			return err
		}
		ids[string(sent.ID[:])] = i
		if i == 2 || i == 3 {
			if err := s.beta.restart(ctx); err != nil {
				return err
			}
			s.story.Says("beta", "restarted")
		}
	}
	last := func(e *client.Event) bool { i, ok := ids[string(e.Message)]; return ok && i == 9 }
	if _, err := s.beta.await(ctx, "the tenth message", last); err != nil {
		return s.expected.Check("all ten arrive", err)
	}
	var order []int
	s.beta.count(func(e *client.Event) bool {
		if !inDirect(e) {
			return false
		}
		if before--; before < 0 {
			i, ok := ids[string(e.Message)]
			if !ok {
				i = -1 // nobody has sent this one
			}
			order = append(order, i)
		}
		return false
	})
	return s.expected.That("all ten arrive once, in order", fmt.Sprint(order) == "[0 1 2 3 4 5 6 7 8 9]", "got %v", order)
}

// decline lets Bob decline Carol, and compares what she sees with an unanswered
// request.
func (s *engineStory) decline(ctx context.Context) error {
	s.story.Chapter("Carol asks and is declined")
	s.story.Says("carol (alpha)", "asks to talk to Bob")
	if _, err := s.alpha.client().Connect(ctx, s.carol, s.bob); err != nil {
		return s.expected.Check("Carol can ask Bob", err)
	}
	asked, err := s.beta.await(ctx, "Carol's request", func(e *client.Event) bool {
		return e.Kind == client.EventAsked && e.Account == s.bob && e.Peer == s.carol
	})
	if err := s.expected.Check("Bob sees that Carol asks", err); err != nil {
		return err
	}
	// Whatever beta has to look up about alpha, it looks up now.
	if _, err := s.say(ctx, s.beta, s.alpha, s.bob, s.direct, "Somebody is at my door"); err != nil {
		return err
	}
	before := len(s.world.log.All())
	s.story.Says("bob (beta)", "declines")
	if err := s.beta.client().Decline(ctx, s.bob, asked.Request); err != nil {
		return err
	}
	// A message in the direct chat passes after the decline: what it did not bring,
	// the decline has not sent.
	if _, err := s.say(ctx, s.beta, s.alpha, s.bob, s.direct, "Who is this Carol, by the way?"); err != nil {
		return err
	}
	toAlpha := 0
	for _, x := range s.world.log.All()[before:] {
		if x.To == s.alpha.domain && !strings.Contains(x.Target, "submitMessage") {
			toAlpha++
		}
	}
	heard := s.alpha.count(func(e *client.Event) bool { return e.Account == s.carol })
	return s.expected.That("Carol and alpha cannot tell the decline from no answer", toAlpha == 0 && heard == 0,
		"alpha got %d requests, Carol %d events", toAlpha, heard)
}

// hubView looks at what the hub and the other provider know.
func (s *engineStory) hubView(ctx context.Context) error {
	s.story.Chapter("What the hub knows")
	real := []mimi.URI{s.alice, s.anna, s.carol, s.bob, s.ben}
	rosters := map[mimi.URI][]mimi.URI{}
	for _, room := range []mimi.URI{s.direct, s.group} {
		roster, err := s.alpha.node.Hub().Participants(ctx, room)
		if err != nil {
			return err
		}
		rosters[room] = roster
		for _, p := range roster {
			s.story.Says("the hub's roster", "%s", p)
			if !p.HasRandomID() {
				return s.expected.That("the hub's rosters hold pseudonyms only", false, "one has %s", p)
			}
		}
	}
	if err := s.expected.Check("the hub's rosters hold pseudonyms only", nil); err != nil {
		return err
	}
	for _, p := range rosters[s.direct] {
		for _, q := range rosters[s.group] {
			if p == q {
				return s.expected.That("nobody has the same pseudonym in two rooms", false, "%s is in both", p)
			}
		}
	}
	if err := s.expected.Check("nobody has the same pseudonym in two rooms", nil); err != nil {
		return err
	}
	var needles []scan.Needle
	for _, u := range real {
		needles = append(needles, scan.Needle{Name: u.Localpart(), Text: u.Localpart()}, scan.Needle{Name: "address of " + u.Localpart(), Text: u.String()})
	}
	for _, name := range []string{"Alice Liddell", "Anna Karenina", "Carol Danvers", "Bob Dodgson", "Ben Gunn"} {
		needles = append(needles, scan.Needle{Name: "the name " + name, Text: name})
	}
	needles = append(needles, scan.Needle{Name: "the room's name", Text: roomName})
	for _, text := range s.said {
		needles = append(needles, scan.Needle{Name: fmt.Sprintf("the text %q", text), Text: text})
	}
	octets, named, hits := scanTraffic(s.world.log.All(), needles)
	s.story.Says("the scanner", "read %d octets of %d exchanges, looked for %d needles", octets, len(s.world.log.All()), len(needles))
	if err := s.expected.That("the scanner finds Bob's address where it has to be: in the question to his own provider", named > 0, "it found none"); err != nil {
		return err
	}
	return s.expected.That("no provider received a name, an address or a text of the other's people", len(hits) == 0, "%s", strings.Join(hits, "; "))
}
