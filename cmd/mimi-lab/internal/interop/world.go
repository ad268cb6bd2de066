package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlspeer"
)

// A member is one client of a scenario.
type member struct {
	client
	name    string
	theirs  bool // it is of the other implementation
	encrypt bool // it sends handshake messages as PrivateMessages
	key     []byte
	in      bool // it is in the group
}

// A world is one group and those who are in it or could be. The first failure
// sticks, and makes every later step do nothing: scenarios need not check.
type world struct {
	ctx   context.Context
	suite uint16
	role  string
	cast  []*member
	init  mlspeer.Init // of everyone, but for the identity
	// Random histories avoid what a peer is known to be wrong about: they do not
	// empty half of the tree, and have no external Commits.
	keepRoot, noExternal bool
	err                  error
	secret               mlspeer.Hex // what agree has exported last
}

// failf records the first failure.
func (w *world) failf(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// do makes a request. After a failure it answers nothing at all.
func (w *world) do(m *member, op string, params any) *mlspeer.Answer {
	if w.err != nil {
		return &mlspeer.Answer{}
	}
	a, err := w.try(m, op, params)
	if err != nil {
		w.failf("%s: %s: %w", m.name, op, err)
		return &mlspeer.Answer{}
	}
	return a
}

// try makes a request that may fail.
func (w *world) try(m *member, op string, params any) (*mlspeer.Answer, error) {
	return ask(w.ctx, m, op, params)
}

// ask makes a request. It fails with errUnsupported if that is the answer.
func ask(ctx context.Context, c client, op string, params any) (*mlspeer.Answer, error) {
	request, err := mlspeer.MarshalRequest(op, params)
	if err != nil {
		return nil, err
	}
	answer, err := c.call(ctx, request)
	if err != nil {
		return nil, err
	}
	a := new(mlspeer.Answer)
	if err := json.Unmarshal(answer, a); err != nil {
		return nil, fmt.Errorf("malformed answer: %w", err)
	}
	switch {
	case a.OK:
		return a, nil
	case a.Unsupported:
		return nil, fmt.Errorf("%w: %s", errUnsupported, a.Error)
	default:
		return nil, errors.New(a.Error)
	}
}

// start makes everyone a new client.
func (w *world) start() {
	for _, m := range w.cast {
		q := w.init
		q.Suite, q.Identity, q.PublicHandshake = w.suite, mlspeer.Hex(m.name), !m.encrypt
		m.key = w.do(m, "init", q).SignatureKey
		m.in = false
	}
}

// create makes the group.
func (w *world) create(by *member, extensions ...mlspeer.Extension) {
	w.do(by, "create", mlspeer.Create{GroupID: mlspeer.Hex("group of " + by.name), Extensions: extensions})
	by.in = true
}

// members lists those who are in the group, but for the given ones.
func (w *world) members(but ...*member) []*member {
	var in []*member
	for _, m := range w.cast {
		if m.in && !slices.Contains(but, m) {
			in = append(in, m)
		}
	}
	return in
}

// commit makes a commit, and everyone else processes it.
func (w *world) commit(by *member, q mlspeer.Commit) *mlspeer.Answer {
	others := w.members(by)
	leaf := w.leaf(by)
	a := w.do(by, "commit", q)
	for _, m := range others {
		w.processCommit(m, a.Commit, &leaf, q.AAD)
	}
	return a
}

// processCommit lets m process a commit, and notes whether that removed it.
func (w *world) processCommit(m *member, commit []byte, sender *uint32, aad []byte) {
	r := w.do(m, "process", mlspeer.Process{Msg: commit})
	if w.err != nil {
		return
	}
	w.expect(m, r, mlspeer.KindCommit, sender, aad)
	if r.Active == nil {
		w.failf("%s does not say whether it is active", m.name)
		return
	}
	m.in = *r.Active
}

// expect checks what processing a message has answered. Not every library names
// the sender.
func (w *world) expect(m *member, r *mlspeer.Answer, kind string, sender *uint32, aad []byte) {
	switch {
	case w.err != nil:
	case r.Kind != kind:
		w.failf("%s: processed a %s as a %q", m.name, kind, r.Kind)
	case sender != nil && r.Sender != nil && *r.Sender != *sender:
		w.failf("%s: the sender of a %s is leaf %d, not %d", m.name, kind, *r.Sender, *sender)
	case !bytes.Equal(r.AAD, aad):
		w.failf("%s: the authenticated data of a %s are %x, not %x", m.name, kind, r.AAD, aad)
	}
}

// leaf returns where a member is in the tree.
func (w *world) leaf(m *member) uint32 {
	if own := w.do(m, "state", mlspeer.None{}).Own; own != nil {
		return *own
	}
	w.failf("%s does not say which leaf is its own", m.name)
	return 0
}

// keyPackage makes a KeyPackage.
func (w *world) keyPackage(m *member) mlspeer.Hex {
	return w.do(m, "keypackage", mlspeer.KeyPackage{}).KeyPackage
}

// add adds newcomers by value, with the tree in the Welcome.
func (w *world) add(by *member, newcomers ...*member) {
	q := mlspeer.Commit{Tree: true}
	for _, m := range newcomers {
		q.Add = append(q.Add, w.keyPackage(m))
	}
	a := w.commit(by, q)
	for _, m := range newcomers {
		w.do(m, "join", mlspeer.Join{Welcome: a.Welcome})
		m.in = true
	}
}

// remove removes a member by value. The one removed learns of it.
func (w *world) remove(by, who *member) {
	w.commit(by, mlspeer.Commit{Remove: []uint32{w.leaf(who)}})
	if w.err == nil && who.in {
		w.failf("%s was removed, and does not notice", who.name)
	}
}

// propose makes a proposal, and everyone else stores it.
func (w *world) propose(by *member, q mlspeer.Propose) {
	leaf := w.leaf(by)
	a := w.do(by, "propose", q)
	for _, m := range w.members(by) {
		w.expect(m, w.do(m, "process", mlspeer.Process{Msg: a.Proposal}), mlspeer.KindProposal, &leaf, q.AAD)
	}
}

// join joins by an external Commit, with a GroupInfo of a member.
func (w *world) join(who, from *member, q mlspeer.ExternalJoin) {
	info := w.do(from, "group_info", mlspeer.GroupInfo{Tree: len(q.Tree) == 0})
	q.GroupInfo = info.GroupInfo
	if len(q.Tree) != 0 || q.Resync {
		q.Tree = info.Tree
	}
	others := w.members(who)
	a := w.do(who, "external_join", q)
	for _, m := range others {
		w.processCommit(m, a.Commit, nil, q.AAD)
	}
	who.in = true
}

// say sends a message to everyone.
func (w *world) say(from *member, text string, aad []byte) {
	w.deliver(from, w.protect(from, text, aad), text, aad)
}

func (w *world) protect(from *member, text string, aad []byte) []byte {
	return w.do(from, "protect", mlspeer.Protect{Data: mlspeer.Hex(text), AAD: aad}).Msg
}

// deliver lets everyone else process a message.
func (w *world) deliver(from *member, msg []byte, text string, aad []byte) {
	leaf := w.leaf(from)
	for _, m := range w.members(from) {
		r := w.do(m, "process", mlspeer.Process{Msg: msg})
		w.expect(m, r, mlspeer.KindApplication, &leaf, aad)
		if w.err == nil && string(r.Data) != text {
			w.failf("%s: read %x, not %x", m.name, r.Data, text)
		}
	}
}

// everyoneSpeaks sends a message of every member to every other.
func (w *world) everyoneSpeaks() {
	for _, m := range w.members() {
		w.say(m, "this is "+m.name, nil)
	}
}

// agree checks that all members are in the same epoch, with the same members,
// extensions and secrets. It returns what they agree on.
func (w *world) agree() *mlspeer.Answer {
	var first *mlspeer.Answer
	var secret mlspeer.Hex
	for i, m := range w.members() {
		state := w.do(m, "state", mlspeer.None{})
		exported := w.do(m, "export", mlspeer.Export{Label: "interop", Context: mlspeer.Hex("context"), Length: 48}).Secret
		if w.err != nil {
			return &mlspeer.Answer{}
		}
		if len(state.Extensions) == 0 {
			state.Extensions = nil // an absent member and an empty list say the same
		}
		if i == 0 {
			first, secret = state, exported
			continue
		}
		w.same(m, "group ID", state.GroupID, first.GroupID)
		w.same(m, "epoch", state.Epoch, first.Epoch)
		w.same(m, "extensions", state.Extensions, first.Extensions)
		w.same(m, "roster", state.Roster, first.Roster)
		w.same(m, "tree hash", state.TreeHash, first.TreeHash)
		w.same(m, "epoch authenticator", state.EpochAuthenticator, first.EpochAuthenticator)
		w.same(m, "exported secret", exported, secret)
	}
	if w.err != nil {
		return &mlspeer.Answer{}
	}
	if len(first.EpochAuthenticator) == 0 || len(secret) != 48 {
		w.failf("the epoch has no secrets")
	}
	if bytes.Equal(secret, w.secret) {
		w.failf("the exporter gives the same secret again")
	}
	w.secret = secret
	if len(first.Roster) != len(w.members()) {
		w.failf("there are %d members in the roster, and not %d", len(first.Roster), len(w.members()))
	}
	return first
}

// same checks that m agrees on something.
func (w *world) same(m *member, what string, got, want any) {
	g, err := json.Marshal(got)
	if err != nil {
		w.failf("%w", err)
	}
	v, err := json.Marshal(want)
	if err != nil {
		w.failf("%w", err)
	}
	if !bytes.Equal(g, v) {
		w.failf("%s: the %s is %s, not %s", m.name, what, g, v)
	}
}
