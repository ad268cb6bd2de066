// Package matrixclient is a person's Matrix client, for the lab: what people
// do, and what they can see, by the client-server API alone.
package matrixclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"
)

// waitLimit is when a wait gives up. It is generous: what is waited for takes
// milliseconds, unless it is broken.
const waitLimit = 90 * time.Second

// syncTimelineLimit keeps bursts of events in one answer: the default limit is
// low, and what is above it would be skipped.
const syncTimelineLimit = 5000

// A Client is one device of a person. It follows /sync from its start to Close.
type Client struct {
	// Matrix makes the requests.
	Matrix *mautrix.Client

	view   *view
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// New returns a client for an account that is logged in, and starts to follow
// what the homeserver tells it.
func New(ctx context.Context, url string, user id.UserID, device id.DeviceID, token string) (*Client, error) {
	mx, err := mautrix.NewClient(url, user, token)
	if err != nil {
		return nil, err
	}
	mx.DeviceID = device
	c := &Client{Matrix: mx, view: newView(), done: make(chan struct{})}
	mx.Syncer = c.view
	ctx, c.cancel = context.WithCancel(ctx)
	go func() {
		defer close(c.done)
		if err := mx.SyncWithContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
			c.err = err
		}
	}()
	return c, nil
}

// Close ends the client.
func (c *Client) Close() {
	c.cancel()
	<-c.done
}

// ID returns the person's Matrix id.
func (c *Client) ID() id.UserID { return c.Matrix.UserID }

// Await returns when condition holds for what the client has seen. It is asked
// again after everything new. what completes the sentence "timed out waiting
// for".
func (c *Client) Await(ctx context.Context, what string, condition func(*View) bool) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for {
		held, changed := c.view.check(condition)
		if held {
			return nil
		}
		select {
		case <-changed:
		case <-c.done:
			return fmt.Errorf("%s: sync ended while waiting for %s: %w", c.ID(), what, c.err)
		case <-ctx.Done():
			return fmt.Errorf("%s: timed out waiting for %s: %w", c.ID(), what, ctx.Err())
		}
	}
}

// Look calls f with what the client has seen so far.
func (c *Client) Look(f func(*View)) {
	c.view.check(func(v *View) bool { f(v); return true })
}

// Barrier returns when everything that happened before the call, as far as this
// person can see it, has been seen: it writes account data and waits for it. It
// makes "did not happen" a statement that can be checked.
func (c *Client) Barrier(ctx context.Context) error {
	const kind = "io.github.mimi-gateway.lab.barrier"
	mark := c.Matrix.TxnID()
	if err := c.Matrix.SetAccountData(ctx, kind, map[string]string{"mark": mark}); err != nil {
		return err
	}
	return c.Await(ctx, "its own barrier", func(v *View) bool {
		var content struct {
			Mark string `json:"mark"`
		}
		return json.Unmarshal(v.AccountData[kind], &content) == nil && content.Mark == mark
	})
}

// SendText sends a message of plain text.
func (c *Client) SendText(ctx context.Context, room id.RoomID, text string) (id.EventID, error) {
	return c.send(ctx, room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: text})
}

// SendMarkdown sends a message with its HTML form.
func (c *Client) SendMarkdown(ctx context.Context, room id.RoomID, text string) (id.EventID, error) {
	content := format.RenderMarkdown(text, true, false)
	return c.send(ctx, room, event.EventMessage, &content)
}

// Reply sends a message in answer to another.
func (c *Client) Reply(ctx context.Context, room id.RoomID, to id.EventID, text string) (id.EventID, error) {
	return c.send(ctx, room, event.EventMessage, &event.MessageEventContent{
		MsgType: event.MsgText, Body: text,
		RelatesTo: (&event.RelatesTo{}).SetReplyTo(to),
	})
}

// Edit replaces the text of one's message.
func (c *Client) Edit(ctx context.Context, room id.RoomID, target id.EventID, text string) (id.EventID, error) {
	content := &event.MessageEventContent{MsgType: event.MsgText, Body: text}
	content.SetEdit(target)
	return c.send(ctx, room, event.EventMessage, content)
}

// React adds an emoji to a message.
func (c *Client) React(ctx context.Context, room id.RoomID, target id.EventID, emoji string) (id.EventID, error) {
	return c.send(ctx, room, event.EventReaction, &event.ReactionEventContent{
		RelatesTo: event.RelatesTo{Type: event.RelAnnotation, EventID: target, Key: emoji},
	})
}

// Redact removes a message or reaction.
func (c *Client) Redact(ctx context.Context, room id.RoomID, target id.EventID) (id.EventID, error) {
	resp, err := c.Matrix.RedactEvent(ctx, room, target)
	if err != nil {
		return "", err
	}
	return resp.EventID, nil
}

// DirectRoom makes a direct chat and invites who to it.
func (c *Client) DirectRoom(ctx context.Context, who id.UserID) (id.RoomID, error) {
	resp, err := c.Matrix.CreateRoom(ctx, &mautrix.ReqCreateRoom{
		Preset: "trusted_private_chat", IsDirect: true, Invite: []id.UserID{who},
	})
	if err != nil {
		return "", err
	}
	return resp.RoomID, nil
}

// Invite invites who to a room.
func (c *Client) Invite(ctx context.Context, room id.RoomID, who id.UserID) error {
	_, err := c.Matrix.InviteUser(ctx, room, &mautrix.ReqInviteUser{UserID: who})
	return err
}

// Kick removes who from a room.
func (c *Client) Kick(ctx context.Context, room id.RoomID, who id.UserID) error {
	_, err := c.Matrix.KickUser(ctx, room, &mautrix.ReqKickUser{UserID: who})
	return err
}

// Join accepts an invitation.
func (c *Client) Join(ctx context.Context, room id.RoomID) error {
	_, err := c.Matrix.JoinRoomByID(ctx, room)
	return err
}

// Leave leaves a room, or declines the invitation to it.
func (c *Client) Leave(ctx context.Context, room id.RoomID) error {
	_, err := c.Matrix.LeaveRoom(ctx, room)
	return err
}

// Members asks the homeserver who is in a room, with their names in it.
func (c *Client) Members(ctx context.Context, room id.RoomID) (map[id.UserID]*event.MemberEventContent, error) {
	resp, err := c.Matrix.Members(ctx, room)
	if err != nil {
		return nil, err
	}
	out := map[id.UserID]*event.MemberEventContent{}
	for _, evt := range resp.Chunk {
		if err := evt.Content.ParseRaw(event.StateMember); err != nil && !errors.Is(err, event.ErrContentAlreadyParsed) {
			return nil, err
		}
		out[id.UserID(evt.GetStateKey())] = evt.Content.AsMember()
	}
	return out, nil
}

// Profile asks the homeserver for somebody's display name.
func (c *Client) Profile(ctx context.Context, who id.UserID) (displayname string, err error) {
	resp, err := c.Matrix.GetProfile(ctx, who)
	if err != nil {
		return "", err
	}
	return resp.DisplayName, nil
}

func (c *Client) send(ctx context.Context, room id.RoomID, kind event.Type, content any) (id.EventID, error) {
	resp, err := c.Matrix.SendMessageEvent(ctx, room, kind, content)
	if err != nil {
		return "", err
	}
	return resp.EventID, nil
}
