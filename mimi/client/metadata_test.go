package client_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

var picture = rules.Avatar{MediaType: "image/png", Data: bytes.Repeat([]byte{0x89, 'P', 'N', 'G'}, 300)}

// TestMetadata: name, topic and picture change one by one, by anybody, and the others
// see each.
func TestMetadata(t *testing.T) {
	c := quietCouple(t)
	for _, step := range []struct {
		what  string
		do    func() error
		name  string
		topic string
		data  []byte
	}{
		{"topic", func() error { return c.b.client.SetTopic(t.Context(), c.bob, c.group, "Cakes") }, "Plans", "Cakes", nil},
		{"picture", func() error { return c.a.client.SetAvatar(t.Context(), c.alice, c.group, &picture) }, "Plans", "Cakes", picture.Data},
		{"name", func() error { return c.b.client.Rename(t.Context(), c.bob, c.group, "Tea") }, "Tea", "Cakes", picture.Data},
		{"no topic", func() error { return c.a.client.SetTopic(t.Context(), c.alice, c.group, "") }, "Tea", "", picture.Data},
		{"no picture", func() error { return c.b.client.SetAvatar(t.Context(), c.bob, c.group, nil) }, "Tea", "", nil},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		for _, g := range []*gateway{c.a, c.b} {
			c.advanceUntil(g.domain+" sees the new "+step.what, func() bool {
				info, err := g.client.Room(t.Context(), c.group)
				if err != nil {
					t.Fatal(err)
				}
				same := info.Avatar == nil && step.data == nil || info.Avatar != nil && bytes.Equal(info.Avatar.Data, step.data)
				return same && info.Name == step.name && info.Topic == step.topic
			})
		}
	}
	before, err := c.a.client.Room(t.Context(), c.group)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Tea"); err != nil {
		t.Fatal(err)
	}
	if after, err := c.a.client.Room(t.Context(), c.group); err != nil || after.Epoch != before.Epoch {
		t.Errorf("a name that is no new one was committed (%v)", err)
	}
}

func TestMetadataLimits(t *testing.T) {
	c := quietCouple(t)
	large := rules.Avatar{MediaType: "image/jpeg", Data: make([]byte, rules.MaxAvatar)}
	if err := c.a.client.SetAvatar(t.Context(), c.alice, c.group, &large); err != nil {
		t.Errorf("the largest picture: %v", err)
	}
	if err := c.a.client.SetTopic(t.Context(), c.alice, c.group, strings.Repeat("x", rules.MaxText)); err != nil {
		t.Errorf("the longest topic beside it: %v", err)
	}
	for what, test := range map[string]struct {
		do   error
		want error
	}{
		"one octet more": {c.a.client.SetAvatar(t.Context(), c.alice, c.group, &rules.Avatar{MediaType: "image/jpeg", Data: make([]byte, rules.MaxAvatar+1)}), rules.ErrAvatar},
		"a film":         {c.a.client.SetAvatar(t.Context(), c.alice, c.group, &rules.Avatar{MediaType: "video/mp4", Data: []byte{1}}), rules.ErrAvatar},
		"a novel":        {c.a.client.SetTopic(t.Context(), c.alice, c.group, strings.Repeat("x", rules.MaxText+1)), rules.ErrTooLarge},
		"a direct chat":  {c.a.client.SetTopic(t.Context(), c.alice, c.direct, "us"), client.ErrConnectionRoom},
	} {
		if !errors.Is(test.do, test.want) {
			t.Errorf("%s: %v, want %v", what, test.do, test.want)
		}
	}
}

// TestMetadataOfCreation: a new room has what its creator says, from the beginning.
func TestMetadataOfCreation(t *testing.T) {
	w := newWorld(t, "a.example")
	a := w.gateways["a.example"]
	alice := a.person("alice", "")
	room, _, err := a.client.CreateRoom(t.Context(), alice, client.RoomOptions{Name: "Plans", Topic: "for tea", Requirement: identity.RequireAdmins}, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := a.client.Room(t.Context(), room)
	if err != nil || info.Name != "Plans" || info.Topic != "for tea" || info.Requirement != identity.RequireAdmins {
		t.Errorf("it is %+v, %v", info, err)
	}
}
