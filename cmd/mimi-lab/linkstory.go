package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// link lets Carol, whom Bob does not want to talk to, and Ben, who has left, enter the
// group with a link of Alice's. It is used up then, and the next one dies.
func (s *engineStory) link(ctx context.Context) error {
	s.story.Chapter("Carol joins Alice's group by a link")
	s.story.Says("alice (alpha)", "makes a link for two")
	l, err := s.alpha.client().MakeLink(ctx, s.alice, s.group, client.LinkOptions{Uses: 2})
	if err := s.expected.Check("Alice can make a link", err); err != nil {
		return err
	}
	s.story.Says("the link", "%s", l) // without what is secret
	for _, guest := range []struct {
		e, others *engine
		user      mimi.URI
	}{{s.alpha, s.beta, s.carol}, {s.beta, s.alpha, s.ben}} {
		name := guest.user.Localpart()
		s.story.Says(name, "enters with the link")
		room, err := guest.e.client().JoinLink(ctx, guest.user, l.Text(), client.JoinOptions{})
		if err == nil && room != s.group {
			err = fmt.Errorf("it leads to %s", room)
		}
		if err := s.expected.Check(name+" can enter with it", err); err != nil {
			return err
		}
		_, err = guest.others.await(ctx, "the newcomer", func(e *client.Event) bool {
			return e.Kind == client.EventMembers && e.Room == s.group && len(e.Added) == 1 && e.Added[0].User == guest.user && e.Actor.User == guest.user
		})
		if err := s.expected.Check(guest.others.name+" sees by name who has come, of their own accord", err); err != nil {
			return err
		}
		info, err := guest.e.client().Room(ctx, s.group)
		if err == nil && info.Name != roomName {
			err = fmt.Errorf("it is called %q", info.Name)
		}
		if err := s.expected.Check(name+" sees what the room is called", err); err != nil {
			return err
		}
	}
	if _, err := s.say(ctx, s.alpha, s.beta, s.carol, s.group, "I came through the looking-glass"); err != nil {
		return err
	}
	_, err = s.alpha.client().JoinLink(ctx, s.anna, l.Text(), client.JoinOptions{})
	if err := s.expected.That("Anna, who was removed, cannot enter with the link that is used up", errors.Is(err, client.ErrLinkDead), "got %v", err); err != nil {
		return err
	}
	return s.linkDies(ctx)
}

// linkDies lets a removal end a link that nobody has used.
func (s *engineStory) linkDies(ctx context.Context) error {
	l, err := s.alpha.client().MakeLink(ctx, s.alice, s.group, client.LinkOptions{Uses: 9})
	if err := s.expected.Check("Alice can make another link", err); err != nil {
		return err
	}
	s.story.Says("alice (alpha)", "removes Ben")
	if err := s.alpha.client().Kick(ctx, s.alice, s.group, s.ben); err != nil {
		return s.expected.Check("Alice can remove Ben", err)
	}
	_, err = s.alpha.await(ctx, "the end of the link", func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Account == s.alice && e.Room == s.group && e.Reason == client.ReasonLinkDied
	})
	if err := s.expected.Check("Alice is told that her link has ended with that", err); err != nil {
		return err
	}
	_, err = s.beta.await(ctx, "Ben's removal", func(e *client.Event) bool {
		return e.Kind == client.EventGone && e.Account == s.ben && e.Room == s.group && e.Actor.User == s.alice
	})
	if err := s.expected.Check("Ben is told who has removed him", err); err != nil {
		return err
	}
	_, err = s.beta.client().JoinLink(ctx, s.ben, l.Text(), client.JoinOptions{})
	return s.expected.That("Ben cannot come back with it", errors.Is(err, client.ErrLinkDead), "got %v", err)
}
