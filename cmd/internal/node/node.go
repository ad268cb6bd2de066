// Package node puts the MIMI side of a gateway together: hub, client, the HTTPS
// server for other providers and the HTTPS client to them, on the stores of one
// database.
//
// It joins what the packages below mimi/ declare where they need it: a call for
// this provider's own domain stays in the process, any other goes over HTTPS.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/peer"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/provider"
)

// Config is what a node works with. All fields but Faults, GroupHub, Metrics and
// Refused are mandatory.
type Config struct {
	// Settings must be valid.
	Settings config.Config
	Store    *mapping.Store
	// People and Sink are the Matrix side.
	People client.People
	Sink   client.Sink
	Clock  mimi.Clock
	Log    *slog.Logger
	Faults client.Faults
	// HubFaults are empty but in the lab.
	HubFaults hub.Faults
	// Metrics is told of key material; nil for nobody.
	Metrics client.Metrics
	// GroupHub hosts the groups that accounts make; nil for this node's own hub.
	GroupHub client.OwnHub
	// Refused counts refusals by the code of the check; nil for nobody.
	Refused func(check string)
}

// A Node is the MIMI side of a gateway.
type Node struct {
	cfg    Config
	hub    *hub.Hub
	client *client.Client
	peers  *peer.Client
	server *provider.Server

	end    context.CancelFunc
	served sync.WaitGroup
	failed chan error
}

// cipherSuite is the one of new rooms and accounts (docs/mmr-profile.md).
const cipherSuite = suite.X25519AES128

// New reads the certificates and puts the parts together. Nothing runs before
// [Node.Start].
func New(cfg Config) (*Node, error) {
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	n := &Node{cfg: cfg, failed: make(chan error, 1)}
	refused := func(err error) { n.cfg.Refused(CheckOf(err)) }
	trust, err := loadTrust(&cfg.Settings)
	if err != nil {
		return nil, err
	}
	s, err := suite.Lookup(cipherSuite)
	if err != nil {
		return nil, err
	}
	domain := cfg.Settings.Domain
	if n.peers, err = peer.New(peer.Config{
		Domain: domain, Certificate: trust.certificate.get, Peers: trust.overrides, RootCAs: trust.roots, Clock: cfg.Clock, Log: cfg.Log,
	}); err != nil {
		return nil, err
	}
	if n.hub, err = hub.New(hub.Config{
		Domain: domain, Store: cfg.Store.Hub(), Queue: cfg.Store.Hub(), Notifier: notifier{n}, KeyMaterial: keyMaterial{n},
		Key:   func(id suite.ID) (suite.SignatureKey, error) { return n.client.HubKey(id) },
		Clock: cfg.Clock, Random: rand.Reader, Log: cfg.Log, Limits: hub.Limits{Message: cfg.Settings.Limits.MessageBytes},
		Faults: cfg.HubFaults,
	}); err != nil {
		return nil, err
	}
	people := cfg.Store.People()
	if n.client, err = client.New(client.Config{
		Domain: domain, Suite: s, Store: cfg.Store.Client(),
		Packages: people, Replays: people, KeyPackages: people, Privates: people, Nonces: people, Pseudonyms: people, Pins: people,
		Registrations: people, Allowances: people,
		Hub: hubs{n}, OwnHub: n.hub, GroupHub: cfg.GroupHub, Peers: n.peers, People: cfg.People, Sink: cfg.Sink,
		Clock: cfg.Clock, Random: rand.Reader, Log: cfg.Log, Metrics: cfg.Metrics, Faults: cfg.Faults, Refused: refused,
		PlainRooms: cfg.Settings.PlainRooms,
		Limits: client.Limits{
			Users: uint32(cfg.Settings.Limits.RoomParticipants), AccountRooms: cfg.Settings.Limits.RoomsPerUser, //nolint:gosec // validated
			Requests: cfg.Settings.Limits.ConnectionRequests, Sets: cfg.Settings.Limits.KeyPackageSets,
			Crowd: cfg.Settings.SmallCrowd, Uploads: cfg.Settings.Limits.KeyPackageUploads, Packages: cfg.Settings.Limits.ConnectionPackages,
		},
	}); err != nil {
		return nil, err
	}
	n.server, err = provider.New(provider.Config{
		Domain: domain, TLS: trust.server(), Roots: trust.rootsOf,
		Hub: n.hub, Inbox: n.client, People: n.client, KeyMaterial: n.client, Directory: n,
		Clock: cfg.Clock, Log: cfg.Log, Limits: provider.Limits{
			PerPeer: cfg.Settings.Limits.PeerRequests, Total: cfg.Settings.Limits.Requests, Connections: cfg.Settings.Limits.Connections,
			BodyBytes: cfg.Settings.Limits.BodyBytes, RequestTime: cfg.Settings.Limits.RequestTimeout,
			AnswerStep: cfg.Settings.Limits.AnswerStep,
		},
		Limiter: provider.NewTokenBuckets(cfg.Clock, provider.DefaultRates()), Refused: refused,
	})
	return n, err
}

// Client acts for the local users.
func (n *Node) Client() *client.Client { return n.client }

// Hub hosts the rooms that they create.
func (n *Node) Hub() *hub.Hub { return n.hub }

// Start listens, takes up what was left, and serves. It fails if the address
// cannot be bound, or a store cannot be read.
func (n *Node) Start(ctx context.Context) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", n.cfg.Settings.Listen.Address)
	if err != nil {
		return fmt.Errorf("listen for other providers on network.listen.address: %w", err)
	}
	return n.StartOn(ctx, l)
}

// StartOn is Start on a listener that is there already.
func (n *Node) StartOn(ctx context.Context, l net.Listener) error {
	if err := n.client.Start(ctx); err != nil {
		return errors.Join(err, l.Close())
	}
	if err := n.hub.Start(ctx); err != nil {
		n.client.Stop()
		return errors.Join(err, l.Close())
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	n.end = end
	n.served.Go(func() {
		if err := n.server.Serve(serving, l); err != nil {
			n.failed <- err
		}
	})
	n.cfg.Log.InfoContext(ctx, "serving other providers", "address", l.Addr().String(), "domain", n.cfg.Settings.Domain)
	return nil
}

// Failed receives the error with which serving ended before Stop.
func (n *Node) Failed() <-chan error { return n.failed }

// Stop ends everything, in the order in which nothing new comes in, and waits for
// it.
func (n *Node) Stop() {
	if n.end != nil {
		n.end()
		n.served.Wait()
	}
	n.hub.Stop()
	n.client.Stop()
	n.peers.Close()
}

// Directory implements [provider.Directory].
func (n *Node) Directory(context.Context) (*protocol.Directory, error) {
	draft, profile, err := provider.Endpoints(n.cfg.Settings.Domain, 0)
	if err != nil {
		return nil, err
	}
	authority, keys, err := n.client.IdentityCA()
	if err != nil {
		return nil, err
	}
	if !n.cfg.Settings.PlainRooms {
		// Nobody here can consent to be added.
		delete(draft, protocol.EndpointRequestConsent)
		delete(draft, protocol.EndpointUpdateConsent)
	}
	return &protocol.Directory{
		Endpoints: draft, IdentityCA: authority, Profile: &protocol.Profile{Endpoints: profile, KeyMaterialKeys: keys},
	}, nil
}
