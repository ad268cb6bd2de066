package storetest

import (
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func outgoing(id, source string) *client.Outgoing {
	return &client.Outgoing{
		Room: room(id), Account: user("alice"), Source: source, MessageID: []byte("id of " + source),
		Body: []byte("body of " + source), Epoch: 1<<64 - 1, Secret: []byte("content of " + source),
	}
}

// put stores a message and returns it with its number.
func put(t *testing.T, s client.Store, out *client.Outgoing) *client.Outgoing {
	t.Helper()
	out.Seq = 0
	do(t, s.PutOutgoing(t.Context(), out))
	if out.Seq == 0 {
		t.Error("Seq was not set")
	}
	return out
}

func outboxSuite(t *testing.T, open func(*testing.T) client.Store) {
	checks(t, open, map[string]func(*testing.T, client.Store){
		"NotFound": func(t *testing.T, s client.Store) {
			wantError(s.Outgoing(t.Context(), room("1"), "$1"))(t, client.ErrNotFound)
			get(s.Unaccepted(t.Context()))(t, nil)
			do(t, s.DeleteOutgoing(t.Context(), room("1"), "$1"))
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			first := put(t, s, outgoing("1", "$1"))
			get(s.Outgoing(t.Context(), room("1"), "$1"))(t, first)
			other := outgoing("1", "$1")
			other.Account, other.MessageID, other.Body, other.Epoch, other.Secret = user("anna"), nil, []byte{}, 0, nil
			put(t, s, other)
			if other.Seq != first.Seq {
				t.Errorf("a replaced message has moved from %d to %d", first.Seq, other.Seq)
			}
			get(s.Outgoing(t.Context(), room("1"), "$1"))(t, other)
			get(s.Unaccepted(t.Context()))(t, []*client.Outgoing{other})
		},
		"Order":    outboxOrder,
		"Accepted": outboxAccepted,
		"Forget":   outboxForget,
		"Unknown": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			refused(t, "a message to no room", s.PutOutgoing(t.Context(), outgoing("3", "$1")))
			out := outgoing("1", "$1")
			out.Account = user("carol")
			refused(t, "a message of nobody", s.PutOutgoing(t.Context(), out))
			get(s.Unaccepted(t.Context()))(t, nil)
		},
	})
}

func outboxOrder(t *testing.T, s client.Store) {
	withPeople(t, s)
	a := put(t, s, outgoing("1", "$c"))
	b := put(t, s, outgoing("2", "$c"))
	c := put(t, s, outgoing("1", "$a"))
	d := put(t, s, outgoing("1", "$b"))
	put(t, s, a) // does not move it
	get(s.Unaccepted(t.Context()))(t, []*client.Outgoing{a, b, c, d})
	do(t, s.DeleteOutgoing(t.Context(), room("1"), "$b"))
	if e := put(t, s, outgoing("1", "$d")); e.Seq <= d.Seq {
		t.Errorf("number %d was given again", e.Seq)
	}
	if again := put(t, s, outgoing("1", "$b")); again.Seq <= d.Seq {
		t.Errorf("a deleted message has come back at %d", again.Seq)
	}
}

// Acceptance deletes the content and keeps the rest.
func outboxAccepted(t *testing.T, s client.Store) {
	withPeople(t, s)
	out := put(t, s, outgoing("1", "$1"))
	waiting := put(t, s, outgoing("1", "$2"))
	out.Accepted = precise
	put(t, s, out)
	want := outgoing("1", "$1")
	want.Seq, want.Accepted, want.Secret = out.Seq, kept, nil
	got, err := s.Outgoing(t.Context(), room("1"), "$1")
	get(got, err)(t, want)
	wantUTC(t, got.Accepted)
	get(s.Unaccepted(t.Context()))(t, []*client.Outgoing{waiting})
}

func outboxForget(t *testing.T, s client.Store) {
	withPeople(t, s)
	for i, source := range []string{"$1", "$2", "$3"} {
		out := outgoing("1", source)
		out.Accepted = precise.Add(time.Duration(i) * time.Millisecond)
		put(t, s, out)
	}
	waiting := put(t, s, outgoing("1", "$4"))
	do(t, s.ForgetOutgoing(t.Context(), precise.Add(time.Millisecond)))
	wantError(s.Outgoing(t.Context(), room("1"), "$1"))(t, client.ErrNotFound)
	for _, source := range []string{"$2", "$3"} {
		if _, err := s.Outgoing(t.Context(), room("1"), source); err != nil {
			t.Errorf("%s was forgotten too early: %v", source, err)
		}
	}
	do(t, s.ForgetOutgoing(t.Context(), precise.AddDate(1, 0, 0)))
	wantError(s.Outgoing(t.Context(), room("1"), "$3"))(t, client.ErrNotFound)
	get(s.Unaccepted(t.Context()))(t, []*client.Outgoing{waiting})
}

func incomingOf(id, from, body string) *client.Incoming {
	return &client.Incoming{Room: room(id), From: from, Received: kept, Body: []byte(body)}
}

// add stores a request that must be fresh, and returns it with its number.
func add(t *testing.T, s client.Store, in *client.Incoming) *client.Incoming {
	t.Helper()
	fresh, err := s.AddIncoming(t.Context(), in)
	do(t, err)
	if !fresh {
		t.Errorf("request %q is not fresh", in.Body)
	}
	if in.Seq == 0 {
		t.Error("Seq was not set")
	}
	return in
}

func wantKnown(t *testing.T, s client.Store, in *client.Incoming) {
	t.Helper()
	if fresh, err := s.AddIncoming(t.Context(), in); err != nil || fresh {
		t.Errorf("AddIncoming = %v, %v for a known request", fresh, err)
	}
}

func inboxSuite(t *testing.T, open func(*testing.T) client.Store) {
	checks(t, open, map[string]func(*testing.T, client.Store){
		"Empty": func(t *testing.T, s client.Store) {
			wantError(s.NextIncoming(t.Context(), room("1")))(t, client.ErrNotFound)
			get(s.RoomsWithIncoming(t.Context()))(t, nil)
			do(t, s.DeleteIncoming(t.Context(), 1))
			do(t, s.ForgetIncoming(t.Context(), kept))
		},
		"Add": func(t *testing.T, s client.Store) {
			in := incomingOf("1", "hub.example", "a")
			in.Received = precise
			add(t, s, in)
			got, err := s.NextIncoming(t.Context(), room("1"))
			want := incomingOf("1", "hub.example", "a")
			want.Seq = in.Seq
			get(got, err)(t, want)
			wantUTC(t, got.Received)
		},
		"Order":  inboxOrder,
		"Repeat": inboxRepeat,
		"Forget": inboxForget,
	})
}

func inboxOrder(t *testing.T, s client.Store) {
	a := add(t, s, incomingOf("2", "hub.example", "z"))
	b := add(t, s, incomingOf("1", "hub.example", "y"))
	c := add(t, s, incomingOf("1", "hub.example", "x"))
	get(s.RoomsWithIncoming(t.Context()))(t, []mimi.URI{room("1"), room("2")})
	for _, want := range []*client.Incoming{b, c} {
		get(s.NextIncoming(t.Context(), room("1")))(t, want)
		get(s.NextIncoming(t.Context(), room("1")))(t, want) // reading does not take
		do(t, s.DeleteIncoming(t.Context(), want.Seq))
	}
	wantError(s.NextIncoming(t.Context(), room("1")))(t, client.ErrNotFound)
	get(s.RoomsWithIncoming(t.Context()))(t, []mimi.URI{room("2")})
	get(s.NextIncoming(t.Context(), room("2")))(t, a)
	if d := add(t, s, incomingOf("1", "hub.example", "w")); d.Seq <= c.Seq {
		t.Errorf("number %d was given again", d.Seq)
	}
}

// A request is known by sender and body, before and after its processing.
func inboxRepeat(t *testing.T, s client.Store) {
	in := add(t, s, incomingOf("1", "hub.example", "a"))
	repeat := incomingOf("1", "hub.example", "a")
	repeat.Received = kept.AddDate(0, 0, 1)
	wantKnown(t, s, repeat)
	add(t, s, incomingOf("1", "other.example", "a"))
	get(s.NextIncoming(t.Context(), room("1")))(t, in)
	do(t, s.DeleteIncoming(t.Context(), in.Seq))
	wantKnown(t, s, repeat)
	do(t, s.DeleteIncoming(t.Context(), in.Seq))
	wantKnown(t, s, repeat)
}

func inboxForget(t *testing.T, s client.Store) {
	var all []*client.Incoming
	for i, body := range []string{"a", "b", "c", "waiting"} {
		in := incomingOf("1", "hub.example", body)
		if i < 3 {
			in.Received = precise.Add(time.Duration(i) * time.Millisecond)
		}
		all = append(all, add(t, s, in))
	}
	for _, in := range all[:3] {
		do(t, s.DeleteIncoming(t.Context(), in.Seq))
	}
	do(t, s.ForgetIncoming(t.Context(), precise.Add(time.Millisecond)))
	wantKnown(t, s, incomingOf("1", "hub.example", "b"))
	wantKnown(t, s, incomingOf("1", "hub.example", "c"))
	wantKnown(t, s, incomingOf("1", "hub.example", "waiting"))
	get(s.NextIncoming(t.Context(), room("1")))(t, all[3])
	add(t, s, incomingOf("1", "hub.example", "a"))
}

func eventsSuite(t *testing.T, open func(*testing.T) client.Store) {
	addEvent := func(t *testing.T, s client.Store, lane mimi.URI, secret string) *client.StoredEvent {
		t.Helper()
		event := &client.StoredEvent{Lane: lane, Secret: []byte(secret)}
		do(t, s.AddEvent(t.Context(), event))
		if event.Seq == 0 {
			t.Error("Seq was not set")
		}
		return event
	}
	checks(t, open, map[string]func(*testing.T, client.Store){
		"Empty": func(t *testing.T, s client.Store) {
			wantError(s.NextEvent(t.Context(), room("1")))(t, client.ErrNotFound)
			get(s.EventLanes(t.Context()))(t, nil)
			do(t, s.DeleteEvent(t.Context(), 1))
		},
		"Order": func(t *testing.T, s client.Store) {
			a := addEvent(t, s, room("1"), "z")
			b := addEvent(t, s, user("alice"), "y")
			c := addEvent(t, s, room("1"), "x")
			if b.Seq <= a.Seq || c.Seq <= b.Seq {
				t.Errorf("numbers do not grow: %d, %d, %d", a.Seq, b.Seq, c.Seq)
			}
			get(s.EventLanes(t.Context()))(t, []mimi.URI{user("alice"), room("1")})
			for _, want := range []*client.StoredEvent{a, c} {
				get(s.NextEvent(t.Context(), room("1")))(t, want)
				get(s.NextEvent(t.Context(), room("1")))(t, want)
				do(t, s.DeleteEvent(t.Context(), want.Seq))
			}
			get(s.EventLanes(t.Context()))(t, []mimi.URI{user("alice")})
			get(s.NextEvent(t.Context(), user("alice")))(t, b)
			if d := addEvent(t, s, room("1"), "w"); d.Seq <= c.Seq {
				t.Errorf("number %d was given again", d.Seq)
			}
		},
		"Aliasing": func(t *testing.T, s client.Store) {
			event := addEvent(t, s, room("1"), "a")
			event.Secret[0] = 'z'
			for range 2 {
				got, err := s.NextEvent(t.Context(), room("1"))
				get(got, err)(t, &client.StoredEvent{Seq: event.Seq, Lane: room("1"), Secret: []byte("a")})
				got.Secret[0] = 'z'
			}
		},
	})
}
