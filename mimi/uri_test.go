package mimi_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func TestParseURI(t *testing.T) {
	long := strings.Repeat("a", mimi.MaxHandle)
	for _, good := range []string{
		"mimi://a.example", "mimi://a.example/u/alice", "mimi://a.example/d/ClientA1", "mimi://a.example/r/clubhouse",
		"mimi://a.example/g/clubhouse", "mimi://xn--bcher-kva.example/u/b%C3%BC", "mimi://a.example/u/" + long,
	} {
		u, err := mimi.ParseURI(good)
		if err != nil || u.String() != good {
			t.Errorf("ParseURI(%q) = %q, %v", good, u, err)
		}
	}
	for _, bad := range []string{
		"", "mimi:", "mimi://", "mimi:///u/a", "MIMI://a.example", "mimi://A.example", "mimi://a.example/", "mimi://a.example/u",
		"mimi://a.example/u/", "mimi://a.example/x/a", "mimi://a.example/u/a/b", "mimi://a.example:8443/u/a", "mimi://x@a.example/u/a",
		"mimi://a.example/u/a?b", "mimi://a.example/u/a#b", "mimi://a.example/u/%61", "mimi://a.example/u/b%c3%bc", "mimi://a.example/u/%",
		"mimi://a..example/u/a", "mimi://-a.example/u/a", "mimi://a_b.example/u/a", "mimi://a.example/u/a b", "mimi://a.example/u/" + long + "a",
		"https://a.example/u/a", "mimi://a.example/u/ü", "mimi://" + strings.Repeat("a.", 127) + "ab",
	} {
		if u, err := mimi.ParseURI(bad); !errors.Is(err, mimi.ErrURI) {
			t.Errorf("ParseURI(%q) = %q, %v; want ErrURI", bad, u, err)
		}
	}
	if _, err := mimi.ParseURIKind("mimi://a.example/r/x", mimi.KindUser); !errors.Is(err, mimi.ErrURI) {
		t.Errorf("a room passed for a user: %v", err)
	}
}

func TestRoomAndGroup(t *testing.T) {
	room, err := mimi.NewID("a.example", mimi.KindRoom, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if !room.HasRandomID() || room.Group().Room() != room {
		t.Errorf("%v: group %v, random %v", room, room.Group(), room.HasRandomID())
	}
	for _, id := range []string{"alice", strings.ToUpper(room.ID), "{" + room.ID + "}", "3d0c1c0e-0d8d-1b39-a7a3-5c8d6b2f9e10"} {
		if (mimi.URI{Domain: "a.example", Kind: mimi.KindUser, ID: id}).HasRandomID() {
			t.Errorf("%q passed for a version 4 UUID", id)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"bob@mimi.beta.localhost":      "mimi://mimi.beta.localhost/u/bob",
		" im:bob@Mimi.Beta.Localhost ": "mimi://mimi.beta.localhost/u/bob",
		"mimi:bob@b.example":           "mimi://b.example/u/bob",
		"MIMI://b.example/u/bob":       "mimi://b.example/u/bob",
		"mimi://b.example/u/bob":       "mimi://b.example/u/bob",
		"a=b/c+d@b.example":            "mimi://b.example/u/a%3Db%2Fc%2Bd",
	} {
		u, err := mimi.ParseAddress(text)
		if err != nil || u.String() != want {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", text, u, err, want)
		}
		if again, err := mimi.ParseAddress(u.Handle()); err != nil || again != u {
			t.Errorf("ParseAddress(%q) = %q, %v", u.Handle(), again, err)
		}
	}
	for _, bad := range []string{"", "bob", "@bob:b.example", "bob@", "@b.example", "sip:bob@b.example", "mimi://b.example/r/x", "Bob@b.example", strings.Repeat("a", 129) + "@b.example"} {
		if u, err := mimi.ParseAddress(bad); !errors.Is(err, mimi.ErrAddress) && !errors.Is(err, mimi.ErrHandle) {
			t.Errorf("ParseAddress(%q) = %q, %v", bad, u, err)
		}
	}
}

func TestManualClock(t *testing.T) {
	c := mimi.NewManualClock(time.Unix(1000, 0))
	fired := make(chan struct{})
	c.AfterFunc(time.Minute, func() { close(fired) })
	stop := c.AfterFunc(time.Minute, func() { t.Error("a stopped timer fired") })
	if !stop() || stop() {
		t.Error("stop must report whether it prevented the call")
	}
	c.Advance(time.Minute)
	<-fired
	if want := time.Unix(1060, 0).UTC(); c.Now() != want {
		t.Errorf("Now = %v, want %v", c.Now(), want)
	}
}

func FuzzURI(f *testing.F) {
	for _, s := range []string{"mimi://a.example", "mimi://a.example/u/alice", "mimi://a.example/r/b%C3%BC", "mimi://A.example/u/alice", "https://a.example/"} {
		b, err := wire.Marshal(&wireURI{s})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var u mimi.URI
		if err := wire.Unmarshal(b, &u); err != nil {
			t.Skip(err)
		}
		again, err := wire.Marshal(&u)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %q and encodes to %x, %v", b, u, again, err)
		}
	})
}

type wireURI struct{ s string }

func (w *wireURI) Wire(c *wire.Codec) {
	b := []byte(w.s)
	wire.Opaque(c, &b)
}
