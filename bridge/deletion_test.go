package bridge_test

import (
	"context"
	"strings"
	"testing"

	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func (e *engine) DeleteAccount(_ context.Context, account mimi.URI) (*client.Deletion, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("DeleteAccount", account); err != nil {
		return nil, err
	}
	if _, ok := e.accounts[account]; !ok {
		return nil, client.ErrNoAccount
	}
	e.deletions[account] = &client.Deletion{Rooms: 12}
	return e.deletions[account], nil
}

func (e *engine) Deletion(_ context.Context, account mimi.URI) (*client.Deletion, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d, ok := e.deletions[account]; ok {
		return d, nil
	}
	return nil, client.ErrNotFound
}

// TestDeletingAnAccount: it is confirmed after what it does not do was said, its progress
// is told, and afterwards nobody has a login or an account before they ask for it.
func TestDeletingAnAccount(t *testing.T) {
	w := newWorld(t, options{})
	_, direct := w.connected()
	_, people, portal := w.group()
	account, alice := w.account("alice")
	w.mx.Join(t.Context(), alice, direct)
	w.command(alice, "delete-account", "alice@"+alphaDomain, "does not delete copies on the other side", "delete-account confirm")
	w.command(alice, "delete-account now", "Usage")
	if n := w.engine.calls("DeleteAccount", account); n != 0 {
		t.Fatal("deleted without being confirmed")
	}
	w.command(alice, "delete-account confirm", "is being deleted", "0 of 12 rooms")
	w.command(alice, "delete-account confirm", "is being deleted", "0 of 12 rooms")
	if n := w.engine.calls("DeleteAccount", account); n != 1 {
		t.Errorf("deleted %d times", n)
	}
	w.deliver(&client.Event{Kind: client.EventDeleting, Account: account, Count: 3, Total: 12})
	w.engine.mu.Lock()
	w.engine.deletions[account] = &client.Deletion{Rooms: 12, Left: 12, Done: true}
	delete(w.engine.accounts, account)
	w.engine.mu.Unlock()
	w.deliver(&client.Event{Kind: client.EventDeleted, Account: account, Total: 12})
	told := map[string]int{}
	for _, membership := range []event.Membership{event.MembershipJoin, event.MembershipInvite} {
		for _, room := range w.mx.Rooms(alice, membership) {
			for _, text := range w.texts(room, bridgetest.BotID) {
				for _, part := range []string{"left 3 of 12 rooms", "Copies on the other side stay"} {
					told[part] += strings.Count(text, part)
				}
			}
		}
	}
	if told["left 3 of 12 rooms"] != 1 || told["Copies on the other side stay"] != 1 {
		t.Errorf("told %v", told)
	}
	w.wantMember(direct, alice, event.MembershipLeave)
	w.wantMember(portal, alice, event.MembershipLeave)
	user, err := w.bridge.GetUserByMXID(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if user.GetDefaultLogin() != nil {
		t.Error("the login is there")
	}
	// Nothing brings the account back but its owner.
	w.deliver(&client.Event{Kind: client.EventGone, Room: w.engine.anyRoom(), Account: account, Actor: people[0]})
	w.command(alice, "requests", "logged in")
	if w.engine.has(account) || user.GetDefaultLogin() != nil {
		t.Error("the account is back")
	}
	w.command(alice, "login", "can now be reached")
	if !w.engine.has(account) {
		t.Error("the account is not back")
	}
}

func (e *engine) anyRoom() (room mimi.URI) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for room = range e.rooms {
		break
	}
	return room
}

func (e *engine) has(account mimi.URI) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.accounts[account]
	return ok
}

// TestAdministratorsDeleteAccounts of others; nobody else does.
func TestAdministratorsDeleteAccounts(t *testing.T) {
	w := newWorld(t, options{})
	account, alice := w.account("alice")
	_, anna := w.account("anna")
	w.command(alice, "login", "can now be reached")
	w.command(anna, "delete-account "+alice.String()+" confirm", "Only administrators")
	if n := w.engine.calls("DeleteAccount", account); n != 0 {
		t.Fatal("deleted by somebody else")
	}
	w.bridge.Config.Permissions[anna.String()] = &bridgeconfig.PermissionLevelAdmin
	user, err := w.bridge.GetUserByMXID(t.Context(), anna)
	if err != nil {
		t.Fatal(err)
	}
	user.Permissions = w.bridge.Config.Permissions.Get(anna)
	w.command(anna, "delete-account "+alice.String(), "does not delete copies", "delete-account "+alice.String()+" confirm")
	w.command(anna, "delete-account "+alice.String()+" confirm", "alice@"+alphaDomain+" is being deleted")
	if n := w.engine.calls("DeleteAccount", account); n != 1 {
		t.Errorf("deleted %d times", n)
	}
	w.command(anna, "delete-account @bob:elsewhere.example confirm", "Only accounts of this homeserver")
	w.command(anna, "delete-account @carol:"+bridgetest.Server+" confirm", "no such account")
}
