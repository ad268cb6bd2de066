package client_test

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// hooks are what tests do with a gateway's traffic, beside losing it.
type hooks struct {
	// sending is called with each request that is about to go to a hub.
	sending func(*protocol.UpdateRequest)
	// sent are these requests.
	sent []*protocol.UpdateRequest
	// fetched is called after the gateway has asked for key material, which it has
	// done fetchings times.
	fetched   func()
	fetchings int
	// lie changes what a hub shows to a joiner of this gateway.
	lie func(*protocol.GroupInfoRatchetTreeTBE)
	// requesting is called with each connection request that is about to be sent.
	requesting func(*protocol.ConnectionRequest)
	// warnings are the lines of the log that an operator should read.
	warnings []string
	// cas are identity CAs that this gateway is shown in the place of the true ones.
	cas map[string]*identity.Authority
	// withheld is a provider whose directory this gateway does not get.
	withheld string
	// armed counts the timers that this gateway has set, by how long they run.
	armed map[time.Duration]int
	// directories counts how often this gateway asked for directories.
	directories int
}

// A watchedClock is the world's clock, for a gateway whose timers are counted.
type watchedClock struct {
	*mimi.ManualClock
	g *gateway
}

// AfterFunc implements [mimi.Clock].
func (c watchedClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	stop = c.ManualClock.AfterFunc(d, f)
	c.g.set(func(g *gateway) {
		if g.armed == nil {
			g.armed = map[time.Duration]int{}
		}
		g.armed[d]++
	})
	return stop
}

// Write takes in a line of the log.
func (g *gateway) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "level=WARN") {
		g.set(func(g *gateway) { g.warnings = append(g.warnings, string(line)) })
	}
	return len(line), nil
}

func (g *gateway) sends(req *protocol.UpdateRequest) {
	var f func(*protocol.UpdateRequest)
	g.set(func(g *gateway) {
		f = g.sending
		g.sent = append(g.sent, req)
	})
	if f != nil {
		f(req)
	}
}

func (g *gateway) fetches() {
	var f func()
	g.set(func(g *gateway) {
		g.fetchings++
		f = g.fetched
	})
	if f != nil {
		f()
	}
}

func (g *gateway) otherCA(domain string) (ca *identity.Authority) {
	g.set(func(g *gateway) { ca = g.cas[domain] })
	return ca
}

// lied lets the hub at a gateway show a joiner something else than there is: it
// knows what it would show, and answers with its own signature.
func (g *gateway) lied(ctx context.Context, at running, room mimi.URI, req *protocol.GroupInfoRequest, answer *protocol.GroupInfoResponse, err error) (*protocol.GroupInfoResponse, error) {
	var lie func(*protocol.GroupInfoRatchetTreeTBE)
	g.set(func(g *gateway) { lie = g.lie })
	if err != nil || lie == nil {
		return answer, err
	}
	t := g.w.t
	s := lookup(t)
	private := must[suite.HPKEPrivateKey](t)(s.GenerateHPKEKey(rand.Reader))
	leaf := identitytest.NewProvider(t, s, g.domain).Person(t, "spy", "spy").Leaf(t, mimi.URI{}, nil)
	spy := &protocol.GroupInfoRequest{
		Credential:         must[mls.Credential](t)(leaf.Credential.Credential()),
		GroupInfoPublicKey: private.Public(), JoiningCode: req.JoiningCode,
	}
	if err := spy.Sign(s, leaf.Key); err != nil {
		t.Error(err)
	}
	seen, err := at.hub.GroupInfo(ctx, g.domain, room, spy)
	if err != nil {
		return nil, err
	}
	content, err := seen.Open(s, private, room)
	if err != nil {
		return nil, err
	}
	lie(content)
	key, err := at.client.HubKey(s.ID())
	if err != nil {
		return nil, err
	}
	return protocol.NewGroupInfoResponse(s, answer.HubSender, key, room, req.GroupInfoPublicKey, content)
}

// until waits for something that nothing announces.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for limit := time.After(2 * time.Minute); !ok(); {
		select {
		case <-limit:
			w.t.Fatalf("there was no %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// holds reports whether so many notify requests were kept from the gateway.
func (g *gateway) holds(kept *[][]byte, n int) (enough bool) {
	g.set(func(*gateway) { enough = len(*kept) >= n })
	return enough
}
