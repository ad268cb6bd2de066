// Package mmrtest makes minimal-metadata rooms for tests, directly on the
// packages mls, identity and room: without the client engine, and so with commits
// that no client would make.
//
// A [World] is one room with its hub and, for each provider, one node that has the
// leaves of that provider's clients. Clients are named user@domain or, if a user
// has several, user@domain/device:
//
//	w := mmrtest.New(t, hub, mmrtest.GroupPolicy(), "alice@a.example")
//	w.Commit("alice@a.example", mmrtest.Add("bob@b.example"))
//	bad := w.Make("bob@b.example", mmrtest.Add("carol@c.example"), mmrtest.NoEntries)
//	err := bad.Send()
//
// Commits are made without asking the rules, so that bending one thing of a draft
// is enough to break one rule. What the hub accepts is processed by all nodes under
// the rules; after each step they are compared.
package mmrtest

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Hub hosts the room.
type Hub interface {
	Create(ctx context.Context, c *mmr.Creation) error
	Update(ctx context.Context, from string, room mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error)
}

// A World is a room with its hub and its members.
type World struct {
	T      testing.TB
	Suite  *suite.Suite
	Clock  *mimi.ManualClock
	Random io.Reader
	Hub    Hub
	Room   mimi.URI
	// Users are the pseudonyms that users have in the room.
	Users map[string]mimi.URI
	// Nodes are the members, by domain.
	Nodes map[string]*Node
	// Last is what came with the last Commit that was accepted.
	Last *mls.GroupInfo
	// Joining is called, unless nil, with the leaf of a client that is about to join
	// by an external Commit: a hub may want to be asked for the GroupInfo before.
	Joining func(leaf mls.LeafParams)
	// Obedient makes committers keep to the rules: what theirs refuse is in
	// [Attempt.Refused].
	Obedient bool
	// SelfRemoves are pending, for external joiners.
	SelfRemoves []*mls.PublicMessage

	providers map[string]*provider
}

type provider struct {
	*identitytest.Provider
	queues identity.ProviderKeyRing
}

// GroupPolicy is the policy of an ordinary group.
func GroupPolicy() identity.MinimalMetadataPolicy {
	return identity.MinimalMetadataPolicy{Requirement: identity.RequireAll, Mode: identity.WrapperEpochRotated, MaxUsers: 4096}
}

// HubKey is the signature key of the hub of all test rooms.
func HubKey(tb testing.TB, s *suite.Suite) suite.SignatureKey {
	tb.Helper()
	return must(s.GenerateSignatureKey(identitytest.Random("hub")))(tb)
}

// HubSender is how the hub at a domain stands in the rooms.
func HubSender(tb testing.TB, s *suite.Suite, domain string) mls.ExternalSender {
	tb.Helper()
	return mls.ExternalSender{
		SignatureKey: HubKey(tb, s).Public(), Credential: mls.BasicCredential([]byte(mimi.ProviderURI(domain).String())),
	}
}

// must returns a function that fails the test unless there is no error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// Start makes a world without a room, for tests that create it themselves.
func Start(tb testing.TB, hub Hub) *World {
	tb.Helper()
	w := &World{
		T: tb, Suite: identitytest.Suite(tb, suite.X25519AES128), Clock: mimi.NewManualClock(identitytest.Start),
		Random: identitytest.Random("world"), Hub: hub,
		Users: map[string]mimi.URI{}, Nodes: map[string]*Node{}, providers: map[string]*provider{},
	}
	if w.Hub == nil {
		w.Hub = NewPublicHub()
	}
	return w
}

// New makes a world with a room that has one member. Without a hub it has a
// [PublicHub].
func New(tb testing.TB, hub Hub, policy identity.MinimalMetadataPolicy, creator string) *World {
	tb.Helper()
	w := Start(tb, hub)
	w.Found(policy, creator)
	return w
}

// Found makes the room, with one member.
func (w *World) Found(policy identity.MinimalMetadataPolicy, creator string) {
	w.T.Helper()
	creation := w.Create(policy, creator)
	if err := w.Hub.Create(w.T.Context(), creation); err != nil {
		w.T.Fatalf("create: %v", err)
	}
	w.Last = creation.GroupInfo
}

// Create makes the room at its creator's node, and returns what the hub is given.
// The bends change the creator's leaf and the GroupContext before.
func (w *World) Create(policy identity.MinimalMetadataPolicy, creator string, bends ...func(*mls.CreateParams)) *mmr.Creation {
	w.T.Helper()
	me := w.Client(creator)
	w.Room = identitytest.Room(w.T, me.Domain, w.Random)
	n := w.node(me.Domain)
	n.Ring = must(identity.NewKeyRing(must(identity.NewWrapperKey(w.Suite, w.Random))(w.T)))(w.T)
	params := mls.CreateParams{
		CipherSuite: w.Suite.ID(), GroupID: w.groupID(), Leaf: me.Params, Extensions: w.extensions(&policy, me, n.Ring.Newest()),
	}
	for _, bend := range bends {
		bend(&params)
	}
	n.policy.lenient = true
	n.Group = must(mls.Create(w.T.Context(), n.cfg, params))(w.T)
	n.policy.lenient = false
	n.own[creator], n.identities[0] = 0, me.Identity
	table := &identity.IdentityLinkTable{GroupID: w.groupID(), Entries: []identity.IdentityLinkEntry{{Leaf: 0}}}
	if policy.Requirement != identity.Forbidden {
		table.Entries[0].Key = w.Wrap(n, me.Identity)
	}
	if opened, err := mmr.Open(w.Suite, n.Group.View(), 0, table); err == nil {
		n.Rules.Set(opened)
	} else if len(bends) == 0 {
		w.T.Fatal(err)
	}
	info := mls.GroupInfoOptions{ExternalPub: true}
	state := must(identity.NewLinkState(w.Suite, table, n.Ring.Newest()))(w.T)
	info.Extensions = mls.Extensions{must(must(state.PublicComponents())(w.T).Extension())(w.T)}
	return &mmr.Creation{GroupInfo: must(n.Group.GroupInfo(0, info))(w.T), Tree: n.Group.RatchetTree(), Table: table}
}

func (w *World) groupID() []byte { return identity.GroupID(w.Room) }

// extensions are those of the GroupContext of a new room.
func (w *World) extensions(policy *identity.MinimalMetadataPolicy, me *Client, key identity.WrapperKey) mls.Extensions {
	w.T.Helper()
	instance := room.Cooperative()
	var metadata *identity.EncryptedRoomMetadata
	if policy.ConnectionRoom {
		instance = room.ConnectionRoom()
	} else {
		metadata = w.SealName(key, "a room")
	}
	dictionary := must(identity.GroupComponents(policy, metadata))(w.T)
	for id, data := range must(room.InitialComponents(me.User(), instance))(w.T) {
		dictionary = dictionary.With(mls.ComponentID(id), data)
	}
	required := identity.RequiredCapabilities()
	return mls.Extensions{
		must(required.Extension())(w.T),
		must(mls.ExternalSendersExtension(HubSender(w.T, w.Suite, w.Room.Domain)))(w.T),
		must(dictionary.Extension())(w.T),
	}
}

// SealName encrypts a name for the room.
func (w *World) SealName(key identity.WrapperKey, name string) *identity.EncryptedRoomMetadata {
	w.T.Helper()
	plaintext := must(room.Encode(&room.RoomMetadata{URI: w.Room.String(), Name: name}))(w.T)
	return must(key.SealMetadata(w.Suite, w.groupID(), plaintext, w.Random))(w.T)
}

// Wrap makes the entry of a leaf under the newest key that a node knows.
func (w *World) Wrap(n *Node, id *identity.LeafIdentity) *identity.EncryptedIdentityLinkKey {
	w.T.Helper()
	return must(id.Wrap(w.Suite, w.groupID(), n.Ring.Newest(), w.Random))(w.T)
}

// A Client is a leaf that is about to enter, or to change.
type Client struct {
	Name, Domain string
	Identity     *identity.LeafIdentity
	Params       mls.LeafParams
	// Keys is the KeyPackage, if it was asked for.
	Keys *mls.KeyPackagePrivate
}

// User returns the user pseudonym.
func (c *Client) User() mimi.URI { return c.Identity.TBS().UserPseudonym }

// userOf is the user in the name of a client.
func userOf(name string) string {
	user, _, _ := strings.Cut(name, "/")
	return user
}

// DomainOf is the domain in the name of a client.
func DomainOf(name string) string {
	_, domain, _ := strings.Cut(userOf(name), "@")
	return domain
}

// Client makes a client with fresh keys: the first one of a user chooses the user
// pseudonym for this room.
func (w *World) Client(name string) *Client {
	w.T.Helper()
	c := w.ClientAs(name, w.Users[userOf(name)])
	w.Users[userOf(name)] = c.User()
	return c
}

// ClientAs makes a client with a user pseudonym of its choice.
func (w *World) ClientAs(name string, pseudonym mimi.URI) *Client {
	w.T.Helper()
	local, _, _ := strings.Cut(name, "@")
	_, device, _ := strings.Cut(name, "/")
	p := w.provider(DomainOf(name))
	id := p.Person(w.T, local, cmp.Or(device, "1")).Leaf(w.T, pseudonym, nil)
	queue := make([]byte, 16)
	_, _ = w.Random.Read(queue)
	key, _ := p.queues.Newest()
	_, notAfter := identity.KeyPackageLifetime(w.Clock.Now())
	extensions := must(id.Extensions(key, identity.QueueID{ID: queue, NotAfter: uint64(notAfter.Unix())}))(w.T)
	return &Client{Name: name, Domain: p.Domain, Identity: id, Params: mls.LeafParams{
		Credential: must(id.Credential.Credential())(w.T), Capabilities: identity.Capabilities(), Extensions: extensions, SignatureKey: id.Key,
	}}
}

func (w *World) provider(domain string) *provider {
	w.T.Helper()
	p, ok := w.providers[domain]
	if !ok {
		p = &provider{Provider: identitytest.NewProvider(w.T, w.Suite, domain)}
		now := w.Clock.Now()
		p.queues = must(p.queues.Rotate(w.Suite, now, now.Add(30*24*time.Hour).Truncate(time.Second), 90*24*time.Hour, w.Random))(w.T)
		w.providers[domain] = p
	}
	return p
}

// KeyPackage makes the KeyPackage of a client, for its params as they are now.
func (w *World) KeyPackage(c *Client) *mls.KeyPackage {
	w.T.Helper()
	if c.Keys == nil {
		notBefore, notAfter := identity.KeyPackageLifetime(w.Clock.Now())
		c.Keys = must(mls.NewKeyPackage(w.Random, mls.KeyPackageParams{
			CipherSuite: w.Suite.ID(), Leaf: c.Params, NotBefore: uint64(notBefore.Unix()), NotAfter: uint64(notAfter.Unix()),
		}))(w.T)
	}
	return &c.Keys.KeyPackage
}

// Leaf returns the leaf of a client that is a member.
func (w *World) Leaf(name string) mls.LeafIndex {
	w.T.Helper()
	i, ok := w.node(DomainOf(name)).own[name]
	if !ok {
		w.T.Fatalf("%s is no member", name)
	}
	return i
}

// Key returns the signature key of a member.
func (w *World) Key(name string) suite.SignatureKey {
	w.T.Helper()
	key, ok := w.node(DomainOf(name)).Group.SignatureKey(w.Leaf(name))
	if !ok {
		w.T.Fatalf("no key of %s", name)
	}
	return key
}

// Credential returns the credential of a member.
func (w *World) Credential(name string) mls.Credential {
	w.T.Helper()
	m, ok := w.node(DomainOf(name)).Group.View().Member(w.Leaf(name))
	if !ok {
		w.T.Fatalf("%s has no leaf", name)
	}
	return m.Leaf.Credential
}

// Public returns the room as the members see it.
func (w *World) Public() *mmr.Room {
	w.T.Helper()
	return w.active()[0].Rules.Room()
}

// Check compares all nodes with each other.
func (w *World) Check() {
	w.T.Helper()
	nodes := w.active()
	first := nodes[0]
	hash := must(first.Rules.Room().Table().Hash(w.Suite))(w.T)
	for _, n := range nodes {
		if n.Group.Epoch() != n.Rules.Room().Epoch() {
			w.T.Fatalf("%s: group is in epoch %d, room in %d", n.Domain, n.Group.Epoch(), n.Rules.Room().Epoch())
		}
		if n.Group.Epoch() != first.Group.Epoch() || !bytes.Equal(must(n.Rules.Room().Table().Hash(w.Suite))(w.T), hash) {
			w.T.Fatalf("%s and %s are in different rooms", n.Domain, first.Domain)
		}
		a, b := n.Ring.Newest(), first.Ring.Newest()
		if a.Generation != b.Generation || !a.Key.Equal(b.Key) || a.Generation != n.Rules.Room().Newest() {
			w.T.Fatalf("%s and %s have different wrapper keys", n.Domain, first.Domain)
		}
	}
}

// active returns the nodes that are members, by domain.
func (w *World) active() []*Node {
	var out []*Node
	for _, n := range w.Nodes {
		if n.Group != nil && n.Group.Active() {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *Node) int { return cmp.Compare(a.Domain, b.Domain) })
	return out
}

// Again sends a message through its encoding, as a network does.
func Again[T any, P interface {
	*T
	wire.Message
}](tb testing.TB, m P) P {
	tb.Helper()
	out := P(new(T))
	if err := wire.Unmarshal(must(wire.Marshal(m))(tb), out); err != nil {
		tb.Fatal(err)
	}
	return out
}
