package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// The names of the plain room: the second one is given by Bob, and so passes through
// his request to the hub.
const (
	plainName    = "Croquet with the Queen of Hearts"
	plainRenamed = "Croquet without any hedgehogs"
)

// plainRoom plays the same in a plain room, and lets the same scanner look at it: what
// it finds there shows that it would have found it elsewhere
// (docs/mmr-profile.md, section 9, T1).
func (s *engineStory) plainRoom(ctx context.Context) error {
	s.story.Chapter("A plain room, where the scanner has to find them")
	before, said := len(s.world.log.All()), len(s.said)
	room, err := s.plainGroup(ctx)
	if err != nil {
		return err
	}
	if _, err := s.say(ctx, s.alpha, s.beta, s.alice, room, "Do you play croquet with the Queen today?"); err != nil {
		return err
	}
	if _, err := s.say(ctx, s.beta, s.alpha, s.bob, room, "I have not been invited as yet, though I should like it"); err != nil {
		return err
	}
	s.story.Says("bob (beta)", "gives it another name: %q", plainRenamed)
	if err := s.beta.client().Rename(ctx, s.bob, room, plainRenamed); err != nil {
		return s.expected.Check("Bob can give the plain room another name", err)
	}
	_, err = s.alpha.await(ctx, "the new name", func(e *client.Event) bool {
		return e.Kind == client.EventRoom && e.Room == room && e.Name == plainRenamed && e.Actor.User == s.bob
	})
	if err := s.expected.Check("Alice sees the new name, and who gave it", err); err != nil {
		return err
	}
	return s.plainScan(ctx, room, s.world.log.All()[before:], s.said[said:])
}

// plainGroup lets Alice make a plain room with Bob.
func (s *engineStory) plainGroup(ctx context.Context) (room mimi.URI, err error) {
	s.story.Says("alice (alpha)", "makes the plain room %q with Bob", plainName)
	room, failed, err := s.alpha.client().CreateRoom(ctx, s.alice, client.RoomOptions{Name: plainName, Plain: true}, []mimi.URI{s.bob})
	if err == nil && len(failed) > 0 {
		err = failed[s.bob]
	}
	if err := s.expected.Check("Alice can make a plain room with Bob", err); err != nil {
		return room, err
	}
	_, err = s.beta.await(ctx, "an invitation to a plain room", func(e *client.Event) bool {
		return e.Kind == client.EventInvited && e.Account == s.bob && e.Room == room && e.Plain && e.Name == plainName && e.Actor.User == s.alice
	})
	if err := s.expected.Check("Bob is invited to it, and told that it is plain", err); err != nil {
		return room, err
	}
	return room, s.beta.client().Join(ctx, s.bob, room)
}

// plainScan looks at what each provider has received because of the plain room, and
// at what else was received meanwhile.
func (s *engineStory) plainScan(ctx context.Context, room mimi.URI, all []*wiretap.Exchange, said []string) error {
	roster, err := s.alpha.node.Hub().Participants(ctx, room)
	if err != nil {
		return err
	}
	if err := s.expected.That("the hub's roster of the plain room holds real addresses",
		fmt.Sprint(roster) == fmt.Sprint([]mimi.URI{s.alice, s.bob}), "it is %v", roster); err != nil {
		return err
	}
	alice, bob := scan.Needle{Name: "Alice's address", Text: s.alice.String()}, scan.Needle{Name: "Bob's address", Text: s.bob.String()}
	name, renamed := scan.Needle{Name: "the room's name", Text: plainName}, scan.Needle{Name: "the room's new name", Text: plainRenamed}
	plain, rest := ofRoom(all, room)
	for _, has := range []struct {
		e      *engine
		needle scan.Needle
	}{{s.alpha, bob}, {s.alpha, renamed}, {s.beta, alice}, {s.beta, bob}} {
		found := scan.Find(receivedBy(has.e.domain, plain), has.needle)
		if err := s.expected.That(fmt.Sprintf("the scanner finds %s in what %s received", has.needle.Name, has.e.name), len(found) > 0,
			"it found nothing in %d exchanges", len(plain)); err != nil {
			return err
		}
	}
	var texts []scan.Needle
	for _, text := range said {
		texts = append(texts, scan.Needle{Name: fmt.Sprintf("the text %q", text), Text: text})
	}
	hits := scan.Find(append(receivedBy(s.alpha.domain, plain), receivedBy(s.beta.domain, plain)...), texts...)
	if err := s.expected.That("what is said in a plain room is not found", len(hits) == 0, "%v", hits); err != nil {
		return err
	}
	_, _, elsewhere := scanTraffic(rest, []scan.Needle{alice, bob, name, renamed})
	return s.expected.That("and nothing of it outside of the plain room", len(elsewhere) == 0, "%s", strings.Join(elsewhere, "; "))
}

// ofRoom parts exchanges into those about a room, by their target or by the room that
// a request for key material is for, and others.
func ofRoom(all []*wiretap.Exchange, room mimi.URI) (of, others []*wiretap.Exchange) {
	for _, x := range all {
		asks := strings.Contains(x.Target, "/keyMaterial/") && bytes.Contains(x.Request, []byte(room.String()))
		if asks || strings.Contains(x.Target, room.ID) {
			of = append(of, x)
		} else {
			others = append(others, x)
		}
	}
	return of, others
}

// receivedBy returns what a provider received: targets and bodies of requests to it,
// and bodies of answers that it got.
func receivedBy(domain string, all []*wiretap.Exchange) []byte {
	var out bytes.Buffer
	for _, x := range all {
		if x.To == domain {
			fmt.Fprintf(&out, "%s\n", x.Target)
			out.Write(x.Request)
		}
		if x.From == domain {
			out.Write(x.Response)
		}
	}
	return out.Bytes()
}
