package mimiid_test

import (
	"crypto/rand"
	"testing"

	"maunium.net/go/mautrix/bridgev2/networkid"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi"
)

func TestRoundTrips(t *testing.T) {
	room, err := mimi.ParseURI("mimi://mimi.alpha.localhost/r/abc")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := mimiid.ParsePortalID(mimiid.MakePortalKey(room, "").ID); err != nil || got != room {
		t.Errorf("the portal of %v is that of %v (%v)", room, got, err)
	}
	message := [mimiid.MessageIDBytes]byte{1, 2, 255}
	if got, err := mimiid.ParseMessageID(mimiid.MakeMessageID(message)); err != nil || got != message {
		t.Errorf("message %x came back as %x (%v)", message, got, err)
	}
	if got, err := mimiid.ParseUserLoginID(mimiid.MakeUserLoginID("@a:b.example")); err != nil || got != "@a:b.example" {
		t.Errorf("the login came back as %s (%v)", got, err)
	}
}

func TestMalformed(t *testing.T) {
	for _, id := range []networkid.PortalID{"", "x", "mimi://mimi.alpha.localhost/u/abc"} {
		if _, err := mimiid.ParsePortalID(id); err == nil {
			t.Errorf("portal id %q was accepted", id)
		}
	}
	for _, id := range []networkid.MessageID{"", "00", "zz"} {
		if _, err := mimiid.ParseMessageID(id); err == nil {
			t.Errorf("message id %q was accepted", id)
		}
	}
	if _, err := mimiid.ParseUserLoginID("alice"); err == nil {
		t.Error("a login id that is no Matrix id was accepted")
	}
}

func TestGhostIDs(t *testing.T) {
	a, err := mimiid.NewGhostID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := mimiid.NewGhostID(rand.Reader)
	if err != nil || a == b {
		t.Errorf("two ghosts are both %s (%v)", a, err)
	}
	if !mimiid.IsGhostID(a) {
		t.Errorf("%s is not recognised", a)
	}
	for _, id := range []networkid.UserID{"", "bob", a + "a", a[1:], "A" + a[1:]} {
		if mimiid.IsGhostID(id) {
			t.Errorf("%q is taken for a ghost's id", id)
		}
	}
}
