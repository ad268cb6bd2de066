package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// withoutProfile makes a provider one that has no minimal-metadata rooms, as far as
// others can see.
func withoutProfile(e *wiretap.Exchange, pass func() error) error {
	if err := pass(); err != nil || e.Target != protocol.DirectoryPath {
		return err
	}
	var d map[string]json.RawMessage
	if err := json.Unmarshal(e.Response, &d); err != nil {
		return err
	}
	if d["requestConsent"] == nil || d["updateConsent"] == nil {
		return errors.New("the directory does not have the endpoints about consent")
	}
	delete(d, "mgp")
	var err error
	e.Response, err = json.Marshal(d)
	return err
}

// TestConsentOverHTTPS: people of two gateways, each of which takes the other for a
// provider without connections, ask for consent, give it, and are in a plain room.
func TestConsentOverHTTPS(t *testing.T) {
	w, err := newEngines(t.Context(), []string{"alpha", "beta"}, client.Faults{}, plainRooms)
	defer w.close()
	if err != nil {
		t.Fatal(err)
	}
	for _, tap := range w.taps {
		tap.SetHand(withoutProfile)
	}
	alpha, beta := w.all[0], w.all[1]
	person := func(e *engine, localpart string) mimi.URI {
		t.Helper()
		u, err := e.client().Provision(t.Context(), localpart, localpart)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	alice, bob := person(alpha, "alice.liddell"), person(beta, "bob.dylan")
	if _, err := alpha.client().Connect(t.Context(), alice, bob); !errors.Is(err, protocol.ErrNoProfile) {
		t.Fatalf("a connection: %v", err)
	}
	if err := alpha.client().AskConsent(t.Context(), alice, bob); err != nil {
		t.Fatal(err)
	}
	asked, err := beta.await(t.Context(), "a request", func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Account == bob && e.Plain })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := beta.client().Accept(t.Context(), bob, asked.Request); err != nil {
		t.Fatal(err)
	}
	if _, err := alpha.await(t.Context(), "consent", func(e *client.Event) bool { return e.Kind == client.EventGranted && e.Account == alice }); err != nil {
		t.Fatal(err)
	}
	room, failed, err := alpha.client().CreateRoom(t.Context(), alice, client.RoomOptions{Name: plainName, Plain: true}, []mimi.URI{bob})
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	if _, err := beta.await(t.Context(), "an invitation", func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Room == room && e.Plain }); err != nil {
		t.Fatal(err)
	}
	if err := beta.client().RemoveContact(t.Context(), bob, alice); err != nil {
		t.Fatal(err)
	}
	if _, err := alpha.await(t.Context(), "its end", func(e *client.Event) bool { return e.Reason == client.ReasonConsentRevoked }); err != nil {
		t.Fatal(err)
	}
	for _, e := range []protocol.Endpoint{protocol.EndpointRequestConsent, protocol.EndpointUpdateConsent} {
		if !slices.ContainsFunc(w.log.All(), func(x *wiretap.Exchange) bool { return x.Status == 201 && strings.Contains(x.Target, string(e)) }) {
			t.Errorf("nothing went to %s", e)
		}
	}
}

// TestConsentIsNotOffered: who allows no plain rooms does not say that consent can be
// asked for.
func TestConsentIsNotOffered(t *testing.T) {
	for name, test := range map[string]struct {
		changes []func(*engines)
		want    bool
	}{"plain rooms": {[]func(*engines){plainRooms}, true}, "no plain rooms": {nil, false}} {
		t.Run(name, func(t *testing.T) {
			w, err := newEngines(t.Context(), []string{"alpha"}, client.Faults{}, test.changes...)
			defer w.close()
			if err != nil {
				t.Fatal(err)
			}
			d, err := w.all[0].node.Directory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []protocol.Endpoint{protocol.EndpointRequestConsent, protocol.EndpointUpdateConsent} {
				if _, offered := d.Endpoints[e]; offered != test.want {
					t.Errorf("%s is offered: %t", e, offered)
				}
			}
		})
	}
}
