package bridge_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"testing"
	"time"

	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

func (e *engine) IdentityCA() (*identity.Authority, []identity.ProviderKey, error) {
	return identitytest.NewProvider(e.t, identitytest.Suite(e.t, suite.X25519AES128), alphaDomain).Authority, nil, e.fail["IdentityCA"]
}

func (e *engine) IdentityCAChanges(context.Context) ([]identity.PinChange, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changes, e.fail["IdentityCAChanges"]
}

func (e *engine) AcceptIdentityCA(_ context.Context, domain string, fingerprint [32]byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("AcceptIdentityCA", domain, hex.EncodeToString(fingerprint[:])); err != nil {
		return err
	}
	e.changes = nil
	return nil
}

// admin makes somebody an administrator of the gateway.
func (w *world) admin(user id.UserID) {
	w.t.Helper()
	w.bridge.Config.Permissions[user.String()] = &bridgeconfig.PermissionLevelAdmin
	u, err := w.bridge.GetUserByMXID(w.t.Context(), user)
	if err != nil {
		w.t.Fatal(err)
	}
	u.Permissions = w.bridge.Config.Permissions.Get(user)
}

// TestAcceptingAnIdentityCA: administrators see both fingerprints, and accept the one that
// they were told; nobody else does.
func TestAcceptingAnIdentityCA(t *testing.T) {
	w := newWorld(t, options{})
	_, alice := w.account("alice")
	_, anna := w.account("anna")
	change := identity.PinChange{
		Domain: betaDomain, Pinned: [32]byte(bytes.Repeat([]byte{0xab}, 32)), Candidate: [32]byte(bytes.Repeat([]byte{0xcd}, 32)),
		PinnedSince: time.UnixMilli(0), FirstSeen: time.UnixMilli(1_700_000_000_000),
	}
	known, published := hex.EncodeToString(change.Pinned[:]), hex.EncodeToString(change.Candidate[:])
	w.engine.changes = []identity.PinChange{change}
	w.command(alice, "accept-identity-ca "+betaDomain+" "+published, "admin")
	w.admin(anna)
	own, _, err := w.engine.IdentityCA()
	if err != nil {
		t.Fatal(err)
	}
	digits := hex.EncodeToString(func() []byte { f := own.Fingerprint(); return f[:] }())
	w.command(anna, "identity-cas", digits[:4]+" "+digits[4:8], betaDomain+": another one since 2023-11-14")
	w.command(anna, "accept-identity-ca", "Usage")
	w.command(anna, "accept-identity-ca gamma.example", "no other identity CA")
	w.command(anna, "accept-identity-ca "+betaDomain, "abab abab", "cdcd cdcd", "Ask its administrator")
	w.command(anna, "accept-identity-ca "+betaDomain+" cdcd", "no fingerprint")
	w.command(anna, "accept-identity-ca "+betaDomain+" "+known, "no other identity CA")
	if n := w.engine.calls("AcceptIdentityCA", betaDomain, known) + w.engine.calls("AcceptIdentityCA", betaDomain, published); n != 0 {
		t.Fatal("accepted without its fingerprint")
	}
	w.command(anna, "accept-identity-ca "+betaDomain+" CDCD:"+published[4:], "is believed from now on")
	if n := w.engine.calls("AcceptIdentityCA", betaDomain, published); n != 1 {
		t.Errorf("accepted %d times", n)
	}
	w.command(anna, "identity-cas", "No provider publishes another one")
}

// TestIdentityCAIsTold to those who know somebody there, before it is accepted and after.
func TestIdentityCAIsTold(t *testing.T) {
	for reason, parts := range map[client.Reason][]string{
		client.ReasonIdentityCA:         {"provider of bob@mimi.beta.localhost uses other keys", "verify", "administrator"},
		client.ReasonIdentityCAAccepted: {"accepted", "bob@mimi.beta.localhost", "verify"},
	} {
		w := newWorld(t, options{})
		_, portal := w.connected()
		account, alice := w.account("alice")
		w.mx.Join(t.Context(), alice, portal)
		w.deliver(&client.Event{Kind: client.EventAlert, Account: account, Peer: user(t, betaDomain, "bob"), Reason: reason})
		answer(t, w.mx, portal, parts...)
		if n := len(w.texts(portal, bridgetest.BotID)); n > 2 {
			t.Errorf("%s: %d notices", reason, n)
		}
	}
}

// TestIdentityCAOfManyIsToldOnce: who knows several people at a provider hears of it in
// the chat with the bot alone, and of how many it concerns.
func TestIdentityCAOfManyIsToldOnce(t *testing.T) {
	for reason, part := range map[client.Reason]string{
		client.ReasonIdentityCA: "uses other keys", client.ReasonIdentityCAAccepted: "has accepted the other keys",
	} {
		w := newWorld(t, options{})
		_, portal := w.connected()
		account, alice := w.account("alice")
		w.mx.Join(t.Context(), alice, portal)
		before := len(w.texts(portal, bridgetest.BotID))
		u, err := w.bridge.GetUserByMXID(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		w.deliver(&client.Event{Kind: client.EventAlert, Account: account, Peer: user(t, betaDomain, "bob"), Reason: reason, Count: 3})
		answer(t, w.mx, u.ManagementRoom, part, "provider "+betaDomain+", where 3 of your contacts are", "`verify`")
		if n := len(w.texts(portal, bridgetest.BotID)); n != before {
			t.Errorf("%s: told in the chat with one of them", reason)
		}
	}
}
