package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

// An elsewhere is a provider whose users have several clients.
type elsewhere struct {
	*identitytest.Provider
	t         *testing.T
	store     *storetest.PeopleStore
	tokenKeys identity.ProviderKeyRing
	queueKeys identity.ProviderKeyRing
	issuers   keymaterial.IssuerKeyRing
	issuer    *keymaterial.Issuer
	provider  *keymaterial.Provider
}

func (w *world) newElsewhere(domain string) *elsewhere {
	w.t.Helper()
	t, s := w.t, identitytest.Suite(w.t, suite.X25519AES128)
	e := &elsewhere{Provider: identitytest.NewProvider(t, s, domain), t: t, store: storetest.NewPeople()}
	now := w.clock.Now()
	e.Clock.Advance(now.Sub(e.Clock.Now()))
	var err error
	for ring, lives := range map[*identity.ProviderKeyRing]time.Duration{&e.tokenKeys: time.Hour, &e.queueKeys: 90 * 24 * time.Hour} {
		if *ring, err = ring.Rotate(s, now, now.Add(30*24*time.Hour), lives, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if e.issuers, err = e.issuers.Rotate(now, rand.Reader); err != nil {
		t.Fatal(err)
	}
	e.issuer = keymaterial.NewIssuer(keymaterial.IssuerConfig{
		Keys:       func(context.Context) (keymaterial.IssuerKeyRing, error) { return e.issuers, nil },
		Allowances: e.store, Spent: e.store, Limit: 100, Clock: e.Clock,
	})
	e.provider = keymaterial.NewProvider(keymaterial.ProviderConfig{
		Domain: domain, Store: e.store, Registrations: e.store, Nonces: e.store, Tokens: e.issuer, Atomically: e.store.Atomically,
		Keys:  func(context.Context) (identity.ProviderKeyRing, error) { return e.tokenKeys, nil },
		Clock: e.Clock, Log: slog.New(slog.DiscardHandler),
	})
	if w.elsewhere == nil {
		w.elsewhere = map[string]*elsewhere{}
	}
	w.elsewhere[domain] = e
	return e
}

// directory is the provider's directory document.
func (e *elsewhere) directory() *protocol.Directory {
	newest, _ := e.tokenKeys.Newest()
	return &protocol.Directory{IdentityCA: e.Authority, Profile: &protocol.Profile{KeyMaterialKeys: []identity.ProviderKey{newest}}}
}

// uploads stores one set of these clients for a contact that was given keys.
func (e *elsewhere) uploads(peer mimi.URI, keys connection.Keys, clients ...*identitytest.Person) {
	e.t.Helper()
	queueKey, _ := e.queueKeys.Newest()
	cfg := keymaterial.SetConfig{
		Suite: e.Suite, Account: clients[0].User, Peer: peer, Key: keys.Key, Token: keys.Token, QueueKey: queueKey,
		Clock: e.Clock, Random: rand.Reader,
	}
	var slots []uint32
	for i, c := range clients {
		queue := identity.QueueID{ID: []byte(c.URI.ID), NotAfter: uint64(e.Clock.Now().Add(90 * 24 * time.Hour).Unix())}
		cfg.Slots, slots = append(cfg.Slots, keymaterial.Slot{Number: uint32(i), Client: c, Queue: queue}), append(slots, uint32(i))
	}
	rows, _, err := keymaterial.NewSet(cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	u, err := keymaterial.NewUpload(keys.Token, slots, rows)
	if err != nil {
		e.t.Fatal(err)
	}
	issuerKey, _ := e.issuers.Newest()
	request, pending, err := keymaterial.RequestTokens(issuerKey, len(rows), rand.Reader)
	if err != nil {
		e.t.Fatal(err)
	}
	response, err := e.issuer.Issue(e.t.Context(), clients[0].User, request)
	if err != nil {
		e.t.Fatal(err)
	}
	if u.Tokens, err = pending.Finish(response); err != nil {
		e.t.Fatal(err)
	}
	key, err := e.Suite.GenerateSignatureKey(rand.Reader)
	if err != nil {
		e.t.Fatal(err)
	}
	u.Sequence = 1
	if err := u.Sign(e.Suite, key); err != nil {
		e.t.Fatal(err)
	}
	if err := e.provider.Upload(e.t.Context(), u); err != nil {
		e.t.Fatal(err)
	}
}

// TestPersonWithTwoClients: who has two clients is added with both in one commit,
// under one pseudonym, as one participant; and is removed with both.
func TestPersonWithTwoClients(t *testing.T) {
	c := newCouple(t)
	e := c.newElsewhere("c.example")
	phone, laptop := e.Person(t, "carol", "phone"), e.Person(t, "carol", "laptop")
	keys, err := connection.NewKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.PutConnected(t.Context(), c.alice, phone.User, keys); err != nil {
		t.Fatal(err)
	}
	e.uploads(c.alice, keys, phone, laptop)
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, phone.User); err != nil {
		t.Fatal(err)
	}
	c.say(c.alice, c.group, "Carol is here", "b.example")
	for _, g := range c.gateways {
		members, err := g.stores.Client.Members(t.Context(), c.group)
		if err != nil {
			t.Fatal(err)
		}
		pseudonyms, clients := map[mimi.URI]bool{}, map[mimi.URI]bool{}
		for _, m := range members {
			if m.User == phone.User {
				pseudonyms[m.UserPseudonym], clients[m.Client] = true, true
			}
		}
		if len(members) != 4 || len(pseudonyms) != 1 || !clients[phone.URI] || !clients[laptop.URI] {
			t.Errorf("%s sees %d leaves, and of Carol %d pseudonyms and the clients %v", g.domain, len(members), len(pseudonyms), clients)
		}
	}
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, phone.User); err == nil {
		t.Error("Carol is added twice")
	}
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, phone.User); err != nil {
		t.Fatal(err)
	}
	c.say(c.alice, c.group, "Carol is gone", "b.example")
	for _, g := range c.gateways {
		members, err := g.stores.Client.Members(t.Context(), c.group)
		if err != nil || len(members) != 2 {
			t.Errorf("%s sees %d leaves after that, %v", g.domain, len(members), err)
		}
	}
	// Nothing is left to hand out, and that is what the adder is told.
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, phone.User); !errors.Is(err, client.ErrNoMaterial) {
		t.Errorf("Carol is added with key material that was used: %v", err)
	}
}

// TestFetchErrors: the adder is told what is the matter.
func TestFetchErrors(t *testing.T) {
	c := newCouple(t)
	e := c.newElsewhere("c.example")
	carol, dave := e.Person(t, "carol", "phone"), e.Person(t, "dave", "phone")
	keys, err := connection.NewKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.PutConnected(t.Context(), c.alice, carol.User, keys); err != nil {
		t.Fatal(err)
	}
	invite := func() error { return c.a.client.Invite(t.Context(), c.alice, c.group, carol.User) }
	if err := invite(); !errors.Is(err, client.ErrNoConsent) {
		t.Errorf("a token that nobody has given out: %v", err)
	}
	e.uploads(c.alice, keys, dave)
	if err := invite(); !errors.Is(err, client.ErrUnverified) {
		t.Errorf("KeyPackages of somebody else: %v", err)
	}
	if err := invite(); !errors.Is(err, client.ErrNoMaterial) {
		t.Errorf("nothing left: %v", err)
	}
}
