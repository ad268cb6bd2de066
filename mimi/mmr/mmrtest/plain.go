package mmrtest

import (
	"cmp"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// A PlainWorld is a plain room with its hub, in which each client has a group of its
// own. Like a [World] it makes Commits without asking the rules.
type PlainWorld struct {
	T      testing.TB
	Suite  *suite.Suite
	Clock  *mimi.ManualClock
	Random io.Reader
	Hub    Hub
	Room   mimi.URI
	// Last is what came with the last Commit that was accepted, and Tree belongs to it.
	Last *mls.GroupInfo
	Tree *mls.RatchetTree
	// Further are credential types that leaves support beside x509.
	Further []mls.CredentialType
	// Members are the clients in the room, by name.
	Members map[string]*PlainMember

	providers map[string]*identitytest.Provider
}

// A PlainMember is a client in a plain room, or one that is about to enter it.
type PlainMember struct {
	*identitytest.Person
	Name   string
	Params mls.LeafParams
	Keys   *mls.KeyPackagePrivate
	Group  *mls.Group
	Rules  *mmr.Rules
	Leaf   mls.LeafIndex

	cfg    mls.Config
	policy *policy
}

// StartPlain makes a world without a room.
func StartPlain(tb testing.TB, hub Hub) *PlainWorld {
	tb.Helper()
	return &PlainWorld{
		T: tb, Suite: identitytest.Suite(tb, suite.X25519AES128), Clock: mimi.NewManualClock(identitytest.Start),
		Random: identitytest.Random("plain world"), Hub: hub, Members: map[string]*PlainMember{}, providers: map[string]*identitytest.Provider{},
	}
}

// Found makes the room, with one member.
func (p *PlainWorld) Found(creator string) {
	p.T.Helper()
	c := p.Create(creator)
	if err := p.Hub.Create(p.T.Context(), c); err != nil {
		p.T.Fatalf("create: %v", err)
	}
	p.Last, p.Tree = c.GroupInfo, c.Tree
}

// Create makes the room at its creator, and returns what the hub is given. The bends
// change leaf and GroupContext before.
func (p *PlainWorld) Create(creator string, bends ...func(*mls.CreateParams)) *mmr.Creation {
	p.T.Helper()
	me := p.Client(creator)
	p.Room = identitytest.Room(p.T, me.Provider.Domain, p.Random)
	dictionary := must(identity.PlainGroupComponents())(p.T)
	for id, data := range must(room.InitialComponents(me.User, room.Plain(100)))(p.T) {
		dictionary = dictionary.With(mls.ComponentID(id), data)
	}
	dictionary = dictionary.With(mls.ComponentID(room.ComponentRoomMetadata), must(room.Encode(&room.RoomMetadata{URI: p.Room.String(), Name: "a plain room"}))(p.T))
	required := identity.PlainRequiredCapabilities()
	params := mls.CreateParams{
		CipherSuite: p.Suite.ID(), GroupID: identity.GroupID(p.Room), Leaf: me.Params,
		Extensions: mls.Extensions{
			must(required.Extension())(p.T),
			must(mls.ExternalSendersExtension(HubSender(p.T, p.Suite, p.Room.Domain)))(p.T),
			must(dictionary.Extension())(p.T),
		},
	}
	for _, bend := range bends {
		bend(&params)
	}
	me.policy.lenient = true
	me.Group = must(mls.Create(p.T.Context(), me.cfg, params))(p.T)
	me.policy.lenient = false
	if opened, err := mmr.Open(p.Suite, me.Group.View(), 0, nil); err == nil {
		me.Rules.Set(opened)
	} else if len(bends) == 0 {
		p.T.Fatal(err)
	}
	p.Members[creator] = me
	return &mmr.Creation{
		GroupInfo: must(me.Group.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true}))(p.T), Tree: me.Group.RatchetTree(),
	}
}

// Client makes a client user@domain, or user@domain/device, that is not in the room.
func (p *PlainWorld) Client(name string) *PlainMember {
	p.T.Helper()
	domain := DomainOf(name)
	provider, ok := p.providers[domain]
	if !ok {
		provider = identitytest.NewProvider(p.T, p.Suite, domain)
		p.providers[domain] = provider
	}
	local, _, _ := strings.Cut(name, "@")
	_, device, _ := strings.Cut(name, "/")
	m := &PlainMember{Person: provider.Person(p.T, local, local+"-"+cmp.Or(device, "1")), Name: name, Rules: mmr.NewRules(nil)}
	m.Params = mls.LeafParams{
		Credential: must(m.Certificate.Leaf())(p.T), Capabilities: identity.PlainCapabilities(),
		Extensions: must(identity.PlainLeafExtensions())(p.T), SignatureKey: m.Key,
	}
	m.Params.Capabilities.Credentials = append(m.Params.Capabilities.Credentials, p.Further...)
	m.policy = &policy{Rules: m.Rules}
	m.cfg = mls.Config{Policy: m.policy, Random: p.Random, Now: p.Clock.Now, PSK: func(context.Context, mls.PreSharedKeyID) (suite.Secret, error) {
		return suite.NewSecret(make([]byte, p.Suite.Nh())), nil
	}}
	return m
}

// Minimal is a leaf of a minimal-metadata room.
func (p *PlainWorld) Minimal(name string) mls.LeafParams {
	p.T.Helper()
	w := Start(p.T, nil)
	return w.Client(name).Params
}

// KeyPackage returns the client's KeyPackage, for its params as they are now.
func (p *PlainWorld) KeyPackage(m *PlainMember) mls.KeyPackage {
	p.T.Helper()
	notBefore, notAfter := identity.KeyPackageLifetime(p.Clock.Now())
	m.Keys = must(mls.NewKeyPackage(p.Random, mls.KeyPackageParams{
		CipherSuite: p.Suite.ID(), Leaf: m.Params, NotBefore: uint64(notBefore.Unix()), NotAfter: uint64(notAfter.Unix()),
	}))(p.T)
	return m.Keys.KeyPackage
}

// A PlainAttempt is a Commit that was made, and that the hub has not seen.
type PlainAttempt struct {
	Request *protocol.UpdateRequest
	// From is the domain that sends it.
	From string

	p     *PlainWorld
	by    *PlainMember
	added []*PlainMember
}

// Adding are the proposals that add clients, and their users to the participant list.
func (p *PlainWorld) Adding(clients ...*PlainMember) []mls.ProposalBody {
	p.T.Helper()
	var out []mls.ProposalBody
	var update room.ParticipantListUpdate
	for _, c := range clients {
		out = append(out, &mls.Add{KeyPackage: p.KeyPackage(c)})
		if _, listed := p.Public().State().Find(c.User); !listed {
			update.Added = append(update.Added, room.Participant{User: c.User, Role: room.RoleMember})
		}
	}
	if len(update.Added) > 0 {
		out = append(out, p.Listing(update))
	}
	return out
}

// Listing is the proposal that changes the participant list.
func (p *PlainWorld) Listing(u room.ParticipantListUpdate) mls.ProposalBody {
	p.T.Helper()
	op := must(u.Operation())(p.T)
	return update(mls.ComponentID(op.ID), op.Data)
}

// Make makes a Commit of a member with these proposals, which add the clients.
func (p *PlainWorld) Make(by string, proposals []mls.ProposalBody, added ...*PlainMember) *PlainAttempt {
	p.T.Helper()
	return p.Commit(by, mls.CommitOptions{Proposals: proposals}, added...)
}

// Commit makes a Commit of a member.
func (p *PlainWorld) Commit(by string, opts mls.CommitOptions, added ...*PlainMember) *PlainAttempt {
	p.T.Helper()
	m := p.Members[by]
	opts.AllPending, opts.GroupInfo = true, p.groupInfo
	m.policy.lenient = true
	defer func() { m.policy.lenient = false }()
	pending := must(m.Group.Commit(p.T.Context(), m.Leaf, opts))(p.T)
	return p.attempt(m, pending, added)
}

// Join makes the external Commit of a client. A client of a user who is listed does
// not list it.
func (p *PlainWorld) Join(m *PlainMember, opts mls.ExternalOptions) *PlainAttempt {
	p.T.Helper()
	opts.Leaf, opts.GroupInfo = m.Params, p.groupInfo
	if _, listed := p.Public().State().Find(m.User); !listed {
		opts.Proposals = append(opts.Proposals, p.Listing(room.ParticipantListUpdate{Added: []room.Participant{{User: m.User, Role: room.RoleMember}}}))
	}
	m.policy.lenient = true
	defer func() { m.policy.lenient = false }()
	group, pending, err := mls.ExternalJoin(p.T.Context(), m.cfg, p.Last, p.Tree, opts)
	if err != nil {
		p.T.Fatalf("%s: join: %v", m.Name, err)
	}
	m.Group = group
	return p.attempt(m, pending, nil)
}

func (p *PlainWorld) groupInfo(*mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
	return mls.GroupInfoOptions{ExternalPub: true}, welcome, nil
}

func (p *PlainWorld) attempt(by *PlainMember, pending *mls.PendingCommit, added []*PlainMember) *PlainAttempt {
	return &PlainAttempt{p: p, by: by, added: added, From: by.Provider.Domain, Request: &protocol.UpdateRequest{
		ProposalOrCommit: *pending.MLSMessage(), Welcome: pending.Welcome,
		GroupInfo: protocol.GroupInfoOption{Full: pending.GroupInfo}, RatchetTree: protocol.HubTree(),
	}}
}

// Send offers the Commit to the hub, and changes nothing but there.
func (a *PlainAttempt) Send() error {
	a.p.T.Helper()
	_, err := a.p.Hub.Update(a.p.T.Context(), a.From, a.p.Room, Again(a.p.T, a.Request))
	return err
}

// Refused returns what a member says who is given the Commit.
func (a *PlainAttempt) Refused(by string) error {
	a.p.T.Helper()
	_, err := a.p.Members[by].Group.Process(a.p.T.Context(), Again(a.p.T, &a.Request.ProposalOrCommit))
	return err
}

// Drop forgets the Commit.
func (a *PlainAttempt) Drop() { a.by.Group.Discard() }

// Accept sends the Commit, which has to be good, and lets everybody follow.
func (a *PlainAttempt) Accept() {
	p, ctx := a.p, a.p.T.Context()
	p.T.Helper()
	if err := a.Send(); err != nil {
		p.T.Fatalf("%s: %v", a.by.Name, err)
	}
	for name, m := range p.Members {
		if m != a.by {
			result, err := m.Group.Process(ctx, Again(p.T, &a.Request.ProposalOrCommit))
			if err != nil {
				p.T.Fatalf("%s does not follow: %v", name, err)
			}
			m.follow(p.T, result.Commit)
		}
	}
	external := a.Request.ProposalOrCommit.PublicMessage.Content.Sender.Type == mls.SenderNewMemberCommit
	if external {
		opened := must(mmr.Open(p.Suite, must(mls.NewPublicGroup(ctx, a.by.cfg, p.Last, p.Tree))(p.T).View(), 0, nil))(p.T)
		a.by.Rules.Set(opened)
	}
	result := must(a.by.Group.Merge(ctx))(p.T)
	a.by.follow(p.T, result)
	p.Last, p.Tree = a.Request.GroupInfo.Full, a.by.Group.RatchetTree()
	if external {
		a.by.Leaf = result.Committer
		p.Members[a.by.Name] = a.by
	}
	for _, m := range a.added {
		group, joined, err := mls.JoinWelcome(ctx, m.cfg, Again(p.T, a.Request.Welcome), m.Keys, Again(p.T, p.Tree))
		if err != nil {
			p.T.Fatalf("%s does not join: %v", m.Name, err)
		}
		m.Group, m.Leaf = group, joined.Own
		m.Rules.Set(must(mmr.Open(p.Suite, group.View(), 0, nil))(p.T))
		p.Members[m.Name] = m
	}
}

// follow brings the member's room behind a Commit. Who was removed is out.
func (m *PlainMember) follow(tb testing.TB, result *mls.CommitResult) {
	tb.Helper()
	next, err := m.Rules.Next(&result.CommitView)
	if err != nil {
		tb.Fatalf("%s refuses what the hub has accepted: %v", m.Name, err)
	}
	m.Rules.Set(next)
}

// Public returns the room as its members see it.
func (p *PlainWorld) Public() *mmr.Room {
	for _, m := range p.Members {
		if m.Group.Active() {
			return m.Rules.Room()
		}
	}
	return nil
}
