package mmrtest

import (
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// A Draft is a Commit that is about to be made. A [Bend] adds to it, or spoils it.
type Draft struct {
	W    *World
	Node *Node
	// From is the committer, or the client that joins.
	From string
	// Commit is what a member commits; External is set instead for a joiner.
	Commit   mls.CommitOptions
	External *mls.ExternalOptions
	// Entries become the AddAAD, if there are any.
	Entries []*identity.EncryptedIdentityLinkKey
	// EmptyAddAAD sends an AddAAD without entries.
	EmptyAddAAD bool
	// Safe are further components of the SafeAAD, ascending.
	Safe mls.SafeAAD
	// List is what happens to the participant list.
	List room.ParticipantListUpdate
	// KeepMetadata leaves out what the first non-removing Commit after a rotation
	// has to do.
	KeepMetadata bool
	// Info bends the public GroupInfo, Request the whole request at last.
	Info    func(*Info)
	Request func(*protocol.UpdateRequest)

	added []*Client
	self  *Client // with its new identity, if it gets one
}

// Info is what the public GroupInfo of a Commit will say.
type Info struct {
	// State is its identity_link_state, nil for none.
	State *identity.IdentityLinkState
	// Others are its other components.
	Others mls.AppDataDictionary
	// ExternalPub says whether there is one.
	ExternalPub bool
}

// A Bend changes a draft.
type Bend func(*Draft)

// An Attempt is a Commit that was made, and waits for the hub's answer.
type Attempt struct {
	// From is the provider that sends it.
	From    string
	Request *protocol.UpdateRequest
	// Refused is why an obedient committer does not make it. Then there is no
	// Request.
	Refused error

	w     *World
	draft *Draft
}

// Make makes a Commit of a member.
func (w *World) Make(from string, bends ...Bend) *Attempt {
	w.T.Helper()
	return w.make(&Draft{W: w, Node: w.node(DomainOf(from)), From: from}, bends)
}

// Join makes an external Commit of a client that is no member. The node has the
// keys of another one, as from a join link.
func (w *World) Join(name string, bends ...Bend) *Attempt {
	w.T.Helper()
	_, known := w.Users[userOf(name)]
	d := w.external(w.Client(name))
	if !known {
		d.List.Added = append(d.List.Added, room.Participant{User: d.self.User(), Role: room.RoleMember})
	}
	return w.make(d, bends)
}

// JoinAs is Join with a client that is there already: one that was shown the
// GroupInfo.
func (w *World) JoinAs(c *Client, bends ...Bend) *Attempt {
	w.T.Helper()
	d := w.external(c)
	d.List.Added = append(d.List.Added, room.Participant{User: c.User(), Role: room.RoleMember})
	return w.make(d, bends)
}

// Resync makes an external Commit that replaces the leaf of a member.
func (w *World) Resync(name string, bends ...Bend) *Attempt {
	w.T.Helper()
	leaf := w.Leaf(name)
	d := w.external(w.Client(name))
	d.External.Resync = &leaf
	return w.make(d, bends)
}

func (w *World) external(c *Client) *Draft {
	w.T.Helper()
	n := w.node(c.Domain)
	if n.Group == nil || !n.Group.Active() {
		from := w.active()[0]
		n.reset()
		n.Ring = from.Ring
		n.Rules.Set(from.Rules.Room())
	}
	newest := n.Ring.Newest().Generation
	d := &Draft{W: w, Node: n, From: c.Name, self: c, External: &mls.ExternalOptions{
		Leaf: c.Params, PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: identity.JoinPSKID(newest)}},
		SelfRemoves: w.SelfRemoves,
	}}
	if n.Rules.Room().Policy().Requirement != identity.Forbidden {
		d.Entries = append(d.Entries, w.Wrap(n, c.Identity))
	} else {
		d.Entries = append(d.Entries, nil)
	}
	return d
}

// Commit makes a Commit of a member, gets it accepted, and lets everyone process
// it.
func (w *World) Commit(from string, bends ...Bend) {
	w.T.Helper()
	w.Accept(w.Make(from, bends...))
}

// Accept gets a Commit accepted, and lets everyone process it.
func (w *World) Accept(a *Attempt) {
	w.T.Helper()
	if err := a.Send(); err != nil {
		w.T.Fatalf("%s: %v", a.draft.From, err)
	}
	a.Accepted()
}

func (w *World) make(d *Draft, bends []Bend) *Attempt {
	w.T.Helper()
	for _, bend := range bends {
		bend(d)
	}
	if d.External != nil && d.External.Resync == nil && w.Joining != nil {
		w.Joining(d.External.Leaf)
	}
	a := &Attempt{From: d.Node.Domain, w: w, draft: d}
	pending, err := d.commit()
	if err != nil && w.Obedient {
		a.Refused = err
		return a
	}
	if err != nil {
		w.T.Fatalf("%s: make a Commit: %v", d.From, err)
	}
	a.Request = &protocol.UpdateRequest{
		ProposalOrCommit: *pending.MLSMessage(), Welcome: pending.Welcome,
		GroupInfo: protocol.GroupInfoOption{Full: pending.GroupInfo}, RatchetTree: protocol.HubTree(),
	}
	if d.Request != nil {
		d.Request(a.Request)
	}
	return a
}

// commit makes the Commit, whatever the rules say.
func (d *Draft) commit() (*mls.PendingCommit, error) {
	ctx, n := d.W.T.Context(), d.Node
	proposals, err := d.proposals()
	if err != nil {
		return nil, err
	}
	safe, err := d.safeAAD()
	if err != nil {
		return nil, err
	}
	aad := mls.AuthenticatedData{Safe: safe}
	n.policy.lenient = !d.W.Obedient
	defer func() { n.policy.lenient = false }()
	if d.External == nil {
		opts := d.Commit
		opts.Proposals, opts.AAD, opts.GroupInfo = proposals, aad, d.groupInfos
		return n.Group.Commit(ctx, d.W.Leaf(d.From), opts)
	}
	opts := *d.External
	opts.Proposals, opts.AAD, opts.GroupInfo = proposals, aad, d.groupInfos
	if n.Group != nil {
		return n.Group.ExternalCommit(ctx, opts)
	}
	tree := d.W.active()[0].Group.RatchetTree()
	group, pending, err := mls.ExternalJoin(ctx, n.cfg, Again(d.W.T, d.W.Last), Again(d.W.T, tree), opts)
	n.Group = group
	return pending, err
}

// proposals are all by value, with the change of the participant list and, if it
// is due, the re-encrypted metadata.
func (d *Draft) proposals() ([]mls.ProposalBody, error) {
	out := slices.Clone(d.Commit.Proposals)
	if d.External != nil {
		out = slices.Clone(d.External.Proposals)
	}
	if len(d.List.Added)+len(d.List.Removed)+len(d.List.Changed) > 0 {
		op, err := d.List.Operation()
		if err != nil {
			return nil, err
		}
		out = append(out, update(mls.ComponentID(op.ID), op.Data))
	}
	before, newest := d.Node.Rules.Room(), d.Node.Ring.Newest()
	due := before.Metadata() != nil && before.Metadata().Generation != newest.Generation
	if due && d.External == nil && !d.KeepMetadata && !d.removes() {
		out = append(out, d.W.nameUpdate(newest, "the same room"))
	}
	return out, nil
}

func (d *Draft) removes() bool {
	return d.Commit.AllPending || len(d.Commit.References) > 0 ||
		slices.ContainsFunc(d.Commit.Proposals, func(b mls.ProposalBody) bool { return b.ProposalType() == mls.ProposalRemove })
}

func (d *Draft) safeAAD() (mls.SafeAAD, error) {
	if len(d.Entries) == 0 && !d.EmptyAddAAD {
		return d.Safe, nil
	}
	item, err := (&identity.AddAAD{Keys: d.Entries}).SafeAADItem()
	return append(mls.SafeAAD{item}, d.Safe...), err
}

// groupInfos makes the two GroupInfos. If the rules do not say what comes after
// the Commit, because it breaks them, they show the state before.
func (d *Draft) groupInfos(next *mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
	n, view := d.Node, next.Commit()
	after, refused := n.Rules.Next(view)
	ring := n.Ring
	if refused != nil {
		after = n.Rules.Room()
	} else if after.Newest() != n.Rules.Room().Newest() {
		if ring, err = ring.Derive(d.W.Suite, after.Policy().Mode, after.Epoch(), next); err != nil {
			return public, welcome, err
		}
	}
	info := &Info{ExternalPub: true}
	if info.State, err = identity.NewLinkState(d.W.Suite, after.Table(), ring.Newest()); err != nil {
		return public, welcome, err
	}
	if d.Info != nil {
		d.Info(info)
	}
	if public, err = info.options(); err != nil {
		return public, welcome, err
	}
	live, err := ring.Live(after.Table(), after.Metadata())
	if err != nil {
		return public, welcome, err
	}
	components, err := identity.WelcomeKeys{Keys: live.Keys(), Table: after.Table()}.ForWelcome(d.W.Suite)
	if err != nil {
		return public, welcome, err
	}
	extension, err := components.Dictionary().Extension()
	welcome.Extensions = mls.Extensions{extension}
	return public, welcome, err
}

func (i *Info) options() (mls.GroupInfoOptions, error) {
	dictionary := i.Others
	if i.State != nil {
		components, err := i.State.PublicComponents()
		if err != nil {
			return mls.GroupInfoOptions{}, err
		}
		for _, c := range components {
			dictionary = dictionary.With(c.ID, c.Data)
		}
	}
	extension, err := dictionary.Extension()
	return mls.GroupInfoOptions{Extensions: mls.Extensions{extension}, ExternalPub: i.ExternalPub}, err
}

// Send sends the request to the hub.
func (a *Attempt) Send() error {
	a.w.T.Helper()
	_, err := a.w.Hub.Update(a.w.T.Context(), a.From, a.w.Room, Again(a.w.T, a.Request))
	return err
}

// Message returns the Commit.
func (a *Attempt) Message() *mls.MLSMessage { return Again(a.w.T, &a.Request.ProposalOrCommit) }

// Tree returns the ratchet tree that the Commit leads to.
func (a *Attempt) Tree() *mls.RatchetTree {
	return a.draft.Node.Group.Pending().View.After.RatchetTree()
}

// Open is what a joiner says who is let into the room that the Commit leads to,
// with the table that comes of its entries, whatever the rules say of them.
func (a *Attempt) Open() error {
	a.w.T.Helper()
	d := a.draft
	view := d.Node.Group.Pending().View
	before := d.Node.Rules.Room()
	change := identity.TableChange{Epoch: before.Epoch() + 1}
	for _, m := range view.Removed {
		change.Removed = append(change.Removed, m.Index)
	}
	for i, m := range view.Added {
		entry := identity.IdentityLinkEntry{Leaf: m.Index}
		if i < len(d.Entries) {
			entry.Key = d.Entries[i]
		}
		change.Added = append(change.Added, entry)
	}
	table, err := before.Table().Apply(change)
	if err != nil {
		a.w.T.Fatal(err)
	}
	newest := before.Newest()
	if len(view.Removed) > 0 {
		newest = identity.Generation(change.Epoch)
	}
	_, err = mmr.Open(a.w.Suite, view.After, newest, table)
	return err
}

// Drop gives the Commit up.
func (a *Attempt) Drop() {
	n := a.draft.Node
	if n.Group.Active() || len(n.own) > 0 {
		n.Group.Discard()
	} else {
		n.reset()
	}
}

// Accepted lets everyone process a Commit that the hub has accepted.
func (a *Attempt) Accepted() {
	w, d, n := a.w, a.draft, a.draft.Node
	w.T.Helper()
	tree := a.merge()
	for _, other := range w.active() {
		if other != n {
			result, err := other.Group.Process(w.T.Context(), a.Message())
			if err != nil {
				w.T.Fatalf("%s does not process the Commit of %s: %v", other.Domain, d.From, err)
			}
			other.follow(&result.Commit.CommitView)
		}
	}
	for _, c := range d.added {
		if a.Request.Welcome != nil && c.Keys != nil {
			w.node(c.Domain).welcome(a.Request.Welcome, tree, c)
		}
	}
	w.Last, w.SelfRemoves = a.Request.GroupInfo.Full, nil
	w.Check()
}

// merge puts the Commit into effect at its author.
func (a *Attempt) merge() *mls.RatchetTree {
	w, d, n := a.w, a.draft, a.draft.Node
	w.T.Helper()
	result, err := n.Group.Merge(w.T.Context())
	if err != nil {
		w.T.Fatalf("%s: merge: %v", d.From, err)
	}
	n.follow(&result.CommitView)
	if d.self != nil {
		n.take(d.self, result.Committer)
	}
	return n.Group.RatchetTree()
}

// Propose sends proposals of a member to the hub, in one request. If the hub
// accepts them, everyone has them pending.
func (w *World) Propose(from string, bodies ...mls.ProposalBody) error {
	w.T.Helper()
	req := w.MakeProposals(from, bodies...)
	if _, err := w.Hub.Update(w.T.Context(), DomainOf(from), w.Room, Again(w.T, req)); err != nil {
		return err
	}
	w.Proposed(DomainOf(from), req)
	return nil
}

// MakeProposals makes proposals, whatever the rules say, and leaves them pending at
// their author.
func (w *World) MakeProposals(from string, bodies ...mls.ProposalBody) *protocol.UpdateRequest {
	w.T.Helper()
	n := w.node(DomainOf(from))
	n.policy.lenient = true
	defer func() { n.policy.lenient = false }()
	var messages []mls.MLSMessage
	for _, body := range bodies {
		m, _, err := n.Group.Propose(w.T.Context(), w.Leaf(from), body, mls.AuthenticatedData{})
		if err != nil {
			w.T.Fatalf("%s: propose: %v", from, err)
		}
		messages = append(messages, mls.MLSMessage{PublicMessage: m})
	}
	return &protocol.UpdateRequest{ProposalOrCommit: messages[0], MoreProposals: messages[1:]}
}

// Proposed lets everyone but the author process proposals that were accepted.
func (w *World) Proposed(author string, req *protocol.UpdateRequest) {
	w.T.Helper()
	for _, m := range slices.Concat([]mls.MLSMessage{req.ProposalOrCommit}, req.MoreProposals) {
		if m.PublicMessage.Content.Proposal.Type() == mls.ProposalSelfRemove {
			w.SelfRemoves = append(w.SelfRemoves, Again(w.T, &m).PublicMessage)
		}
		for _, n := range w.active() {
			if n.Domain == author {
				continue
			}
			if _, err := n.Group.Process(w.T.Context(), Again(w.T, &m)); err != nil {
				w.T.Fatalf("%s does not process a proposal: %v", n.Domain, err)
			}
		}
	}
}

// Say makes an application message of a member.
func (w *World) Say(from, text string) *protocol.SubmitMessageRequest {
	w.T.Helper()
	n := w.node(DomainOf(from))
	m, err := n.Group.Protect(w.Leaf(from), []byte(text), mls.AuthenticatedData{})
	if err != nil {
		w.T.Fatalf("%s: %v", from, err)
	}
	return &protocol.SubmitMessageRequest{Message: mls.MLSMessage{PrivateMessage: m}, Sender: w.Users[userOf(from)]}
}

// MemberRefuses returns why a member refuses a handshake message. Then it is as
// before.
func (w *World) MemberRefuses(domain string, m *mls.MLSMessage) error {
	w.T.Helper()
	_, err := w.node(domain).Group.Process(w.T.Context(), m)
	return err
}
