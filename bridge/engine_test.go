package bridge_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

const (
	alphaDomain = "mimi.alpha.localhost"
	betaDomain  = "mimi.beta.localhost"
)

func user(t testing.TB, domain, localpart string) mimi.URI {
	t.Helper()
	uri, err := mimi.UserURI(domain, localpart)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// An engine is a MIMI side that does what it is told, and remembers it.
type engine struct {
	t testing.TB

	mu               sync.Mutex
	started, stopped int
	accounts         map[mimi.URI]string
	contacts         []*client.Contact
	requests         []*client.Request
	consents         []*client.Consent
	rooms            map[mimi.URI]*client.RoomInfo
	links            []*client.Link
	// sent are messages by room and source.
	sent map[string]*sent
	// log is what was asked for, in order.
	log []string
	// fail is what calls of a name answer.
	fail       map[string]error
	unverified []client.UnverifiedMember
	changes    []identity.PinChange
	deletions  map[mimi.URI]*client.Deletion
	// keys is the version of everybody's keys.
	keys byte
	// crowd is how many people there are.
	crowd client.Crowd
}

// Crowd implements [bridge.Accounts].
func (e *engine) Crowd(context.Context) (client.Crowd, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.crowd, e.fail["Crowd"]
}

// sent is a message that the bridge has sent.
type sent struct {
	account, room mimi.URI
	message       content.Message
	id            content.MessageID
}

func newEngine(t testing.TB) *engine {
	return &engine{
		t: t, accounts: map[mimi.URI]string{}, rooms: map[mimi.URI]*client.RoomInfo{}, deletions: map[mimi.URI]*client.Deletion{}, sent: map[string]*sent{}, fail: map[string]error{},
	}
}

// Start implements [bridge.Node].
func (e *engine) Start(context.Context) error { e.started++; return nil }

// Stop implements [bridge.Node].
func (e *engine) Stop() { e.stopped++ }

// call notes a call, and returns how it fails.
func (e *engine) call(name string, args ...any) error {
	e.log = append(e.log, fmt.Sprintln(append([]any{name}, args...)...))
	return e.fail[name]
}

// calls returns how often something was asked for.
func (e *engine) calls(name string, args ...any) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	line := fmt.Sprintln(append([]any{name}, args...)...)
	for _, l := range e.log {
		if l == line {
			n++
		}
	}
	return n
}

// failing lets calls of a name fail from now on.
func (e *engine) failing(name string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail[name] = err
}

func (e *engine) Provision(_ context.Context, localpart, name string) (mimi.URI, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	uri, err := mimi.UserURI(alphaDomain, localpart)
	if _, ok := e.accounts[uri]; !ok && err == nil {
		e.accounts[uri] = name
		delete(e.deletions, uri)
	}
	return uri, err
}

func (e *engine) SetName(_ context.Context, account mimi.URI, name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.accounts[account] = name
	return e.call("SetName", account, name)
}

func (e *engine) AskConsent(_ context.Context, account, peer mimi.URI) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.call("AskConsent", account, peer)
}

func (e *engine) Consents(_ context.Context, account mimi.URI) (all []*client.Consent, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.consents {
		if o.Account == account {
			all = append(all, o)
		}
	}
	return all, e.fail["Consents"]
}

func (e *engine) Connect(_ context.Context, account, peer mimi.URI) (*client.Contact, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Connect", account, peer); err != nil {
		return nil, err
	}
	for _, c := range e.contacts {
		if c.Account == account && c.Peer == peer {
			return nil, map[client.ContactState]error{
				client.ContactConnected: client.ErrAlreadyConnected, client.ContactAsked: client.ErrAlreadyAsked,
			}[c.State]
		}
	}
	c := &client.Contact{ID: fmt.Sprint(len(e.contacts)), Account: account, Peer: peer, State: client.ContactAsked}
	e.contacts = append(e.contacts, c)
	return c, nil
}

// Accept joins the room that the test has put into the engine.
func (e *engine) Accept(_ context.Context, account mimi.URI, ref client.Ref) (mimi.URI, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Accept", account, ref); err != nil {
		return mimi.URI{}, err
	}
	i := slices.IndexFunc(e.requests, func(r *client.Request) bool { return r.Ref == ref && r.Account == account })
	if i < 0 {
		return mimi.URI{}, client.ErrNoRequest
	}
	e.requests = slices.Delete(e.requests, i, i+1)
	return mimi.URI{}, nil
}

func (e *engine) Decline(_ context.Context, account mimi.URI, ref client.Ref) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Decline", account, ref); err != nil {
		return err
	}
	i := slices.IndexFunc(e.requests, func(r *client.Request) bool { return r.Ref == ref && r.Account == account })
	if i < 0 {
		return client.ErrNoRequest
	}
	e.requests = slices.Delete(e.requests, i, i+1)
	return nil
}

func (e *engine) Requests(_ context.Context, account mimi.URI) (out []*client.Request, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.requests {
		if r.Account == account {
			out = append(out, r)
		}
	}
	return out, nil
}

func (e *engine) Contacts(_ context.Context, account mimi.URI) (out []*client.Contact, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.contacts {
		if c.Account == account {
			out = append(out, c)
		}
	}
	return out, nil
}

func (e *engine) CreateRoom(_ context.Context, account mimi.URI, opts client.RoomOptions, invite []mimi.URI) (mimi.URI, map[mimi.URI]error, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("CreateRoom", account, opts.Name, len(invite)); err != nil {
		return mimi.URI{}, nil, err
	}
	info := e.newRoom(client.RoomGroup, opts.Name)
	info.Plain = opts.Plain
	info.Topic, info.Requirement = opts.Topic, opts.Requirement
	e.add(info, account, true, client.LeafJoined)
	failed := map[mimi.URI]error{}
	for _, u := range invite {
		if err := e.fail["Invite "+u.String()]; err != nil {
			failed[u] = err
		} else {
			e.add(info, u, false, client.LeafInvited)
		}
	}
	return info.Room, failed, nil
}

// newRoom makes a room without members; add gives it one.
func (e *engine) newRoom(kind client.RoomKind, name string) *client.RoomInfo {
	uri, err := mimi.NewID(alphaDomain, mimi.KindRoom, rand.Reader)
	if err != nil {
		e.t.Error(err)
	}
	e.rooms[uri] = &client.RoomInfo{Room: uri, Kind: kind, Name: name}
	return e.rooms[uri]
}

func (e *engine) add(info *client.RoomInfo, u mimi.URI, admin bool, state client.LeafState) client.Person {
	pseudonym, err := mimi.NewID(u.Domain, mimi.KindUser, rand.Reader)
	if err != nil {
		e.t.Error(err)
	}
	m := client.RoomMember{Person: client.Person{User: u, Pseudonym: pseudonym, Local: u.Domain == alphaDomain}, Admin: admin}
	if m.Local {
		m.State = state
	}
	info.Members = append(info.Members, m)
	return m.Person
}

// room makes a room with these members, the first of them its administrator.
func (e *engine) room(kind client.RoomKind, name string, members ...mimi.URI) (mimi.URI, []client.Person) {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := e.newRoom(kind, name)
	var people []client.Person
	for i, u := range members {
		people = append(people, e.add(info, u, i == 0, client.LeafJoined))
	}
	return info.Room, people
}

// state sets the state of a local member.
func (e *engine) state(room, account mimi.URI, state client.LeafState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, m := range e.rooms[room].Members {
		if m.User == account {
			e.rooms[room].Members[i].State = state
		}
	}
}

func (e *engine) without(room, u mimi.URI) bool {
	info, ok := e.rooms[room]
	if !ok {
		return false
	}
	n := len(info.Members)
	info.Members = slices.DeleteFunc(slices.Clone(info.Members), func(m client.RoomMember) bool { return m.User == u || m.User.IsZero() && m.Pseudonym == u })
	return len(info.Members) < n
}

// drop takes a member out of a room.
func (e *engine) drop(room, u mimi.URI) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.without(room, u)
}

func (e *engine) Invite(_ context.Context, account, room, u mimi.URI) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Invite", account, room, u); err != nil {
		return err
	}
	info := e.rooms[room]
	if slices.ContainsFunc(info.Members, func(m client.RoomMember) bool { return m.User == u }) {
		return client.ErrAlreadyMember
	}
	e.add(info, u, false, client.LeafInvited)
	return nil
}

func (e *engine) Kick(_ context.Context, account, room, u mimi.URI) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Kick", account, room, u); err != nil {
		return err
	}
	if !e.without(room, u) {
		return client.ErrNotMember
	}
	return nil
}

func (e *engine) Leave(_ context.Context, account, room mimi.URI) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Leave", account, room); err != nil {
		return err
	}
	if !e.without(room, account) {
		return client.ErrNotMember
	}
	return nil
}

func (e *engine) Join(_ context.Context, account, room mimi.URI) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Join", account, room); err != nil {
		return err
	}
	for i, m := range e.rooms[room].Members {
		if m.User == account {
			e.rooms[room].Members[i].State = client.LeafJoined
			return nil
		}
	}
	return client.ErrNotMember
}

func (e *engine) RoomsOf(_ context.Context, account mimi.URI) (out []*client.Leaf, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for room, info := range e.rooms {
		for _, m := range info.Members {
			if m.User == account {
				out = append(out, &client.Leaf{Room: room, Account: account, State: m.State})
			}
		}
	}
	return out, nil
}

func (e *engine) JoinPseudonymously(ctx context.Context, account, room mimi.URI) error {
	e.mu.Lock()
	err := e.call("JoinPseudonymously", account, room)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return e.Join(ctx, account, room)
}

func (e *engine) Identify(_ context.Context, account, room mimi.URI) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.call("Identify", account, room)
}

func (e *engine) Loosen(_ context.Context, account, room mimi.URI, requirement identity.LinkRequirement) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Loosen", account, room, requirement); err != nil {
		return err
	}
	e.rooms[room].Requirement = requirement
	return nil
}

func (e *engine) SetRole(_ context.Context, account, room, u mimi.URI, admin bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("SetRole", account, room, u, admin); err != nil {
		return err
	}
	if !e.setAdmin(room, u, admin) {
		return client.ErrNotMember
	}
	return nil
}

// role gives somebody another role, elsewhere.
func (e *engine) role(room, u mimi.URI, admin bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.setAdmin(room, u, admin)
}

func (e *engine) setAdmin(room, u mimi.URI, admin bool) bool {
	for i, m := range e.rooms[room].Members {
		if m.User == u || m.User.IsZero() && m.Pseudonym == u {
			e.rooms[room].Members[i].Admin = admin
			return true
		}
	}
	return false
}

func (e *engine) SetTopic(_ context.Context, account, room mimi.URI, topic string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("SetTopic", account, room, topic); err != nil {
		return err
	}
	e.rooms[room].Topic = topic
	return nil
}

func (e *engine) SetAvatar(_ context.Context, account, room mimi.URI, avatar *rules.Avatar) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("SetAvatar", account, room, avatar != nil); err != nil {
		return err
	}
	e.rooms[room].Avatar = avatar
	return nil
}

// MakeLink makes a link with an ID and no secret.
func (e *engine) MakeLink(_ context.Context, account, room mimi.URI, opts client.LinkOptions) (*client.Link, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("MakeLink", account, room, opts.Uses, opts.Lifetime); err != nil {
		return nil, err
	}
	made := time.UnixMilli(1_800_000_000_000).UTC()
	l := &client.Link{
		ID: fmt.Sprintf("%08x", len(e.links)), Account: account, Room: room, Made: made,
		NotAfter: made.Add(max(opts.Lifetime, time.Hour)), Uses: max(opts.Uses, 1),
	}
	e.links = append(e.links, l)
	return l, nil
}

func (e *engine) Links(_ context.Context, account, room mimi.URI) (out []*client.Link, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.links {
		if l.Account == account && l.Room == room {
			out = append(out, l)
		}
	}
	return out, e.call("Links", account, room)
}

func (e *engine) RevokeLink(_ context.Context, account, room mimi.URI, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("RevokeLink", account, room, id); err != nil {
		return err
	}
	i := slices.IndexFunc(e.links, func(l *client.Link) bool { return l.Account == account && l.Room == room && l.ID == id })
	if i < 0 {
		return client.ErrNoLink
	}
	e.links = slices.Delete(e.links, i, i+1)
	return nil
}

// JoinLink takes the address of a room for a link to it.
func (e *engine) JoinLink(_ context.Context, account mimi.URI, text string, opts client.JoinOptions) (mimi.URI, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("JoinLink", account, text, opts.Pseudonymous); err != nil {
		return mimi.URI{}, err
	}
	base, _, _ := strings.Cut(text, "#")
	room, err := mimi.ParseURIKind(base, mimi.KindRoom)
	if err != nil {
		return mimi.URI{}, client.ErrLinkForm
	}
	e.add(e.rooms[room], account, false, client.LeafJoined)
	return room, nil
}

func (e *engine) Rename(_ context.Context, account, room mimi.URI, name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Rename", account, room, name); err != nil {
		return err
	}
	e.rooms[room].Name = name
	return nil
}

func (e *engine) Room(_ context.Context, room mimi.URI) (*client.RoomInfo, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	info, ok := e.rooms[room]
	if !ok || !slices.ContainsFunc(info.Members, func(m client.RoomMember) bool { return m.Local }) {
		return nil, client.ErrNotMember
	}
	out := *info
	out.Members = slices.Clone(info.Members)
	return &out, nil
}

func (e *engine) Unverified(_ context.Context, account, room mimi.URI) ([]client.UnverifiedMember, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.unverified), e.call("Unverified", account, room)
}

// SendAnyway accepts all who are unverified.
func (e *engine) SendAnyway(_ context.Context, account, room mimi.URI, leaves int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("SendAnyway", account, room, leaves); err != nil {
		return err
	}
	if leaves != len(e.unverified) {
		return &client.QuarantineError{Leaves: len(e.unverified)}
	}
	for i := range e.unverified {
		e.unverified[i].Accepted = true
	}
	return nil
}

// Send sends a message once for each source, and fails as the test says.
func (e *engine) Send(_ context.Context, account, room mimi.URI, source string, m content.Message) (client.Sent, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.fail["Send"]
	key := room.String() + " " + source
	if s, ok := e.sent[key]; ok {
		return client.Sent{ID: s.id, Accepted: time.UnixMilli(1)}, err
	}
	if err != nil && err != client.ErrQueued { //nolint:errorlint // the test's own
		return client.Sent{}, err
	}
	s := &sent{account: account, room: room, message: m}
	if _, err := rand.Read(s.id[:]); err != nil {
		return client.Sent{}, err
	}
	s.id[0] = 1 // SHA-256
	e.sent[key] = s
	return client.Sent{ID: s.id, Accepted: time.UnixMilli(1)}, err
}

// message returns what was sent for a Matrix event.
func (e *engine) message(room mimi.URI, source string) *sent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sent[room.String()+" "+source]
}

// ask puts a request of a peer into the engine.
func (e *engine) ask(account, peer mimi.URI) client.Ref {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ref client.Ref
	if _, err := rand.Read(ref[:]); err != nil {
		e.t.Error(err)
	}
	e.requests = append(e.requests, &client.Request{Ref: ref, Account: account, Peer: peer, Received: time.UnixMilli(1)})
	return ref
}

// connect puts a connection into the engine.
func (e *engine) connect(account, peer mimi.URI) mimi.URI {
	room, _ := e.room(client.RoomConnection, "", peer, account)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.contacts = append(e.contacts, &client.Contact{
		ID: room.ID, Account: account, Peer: peer, State: client.ContactConnected, Room: room,
	})
	return room
}
