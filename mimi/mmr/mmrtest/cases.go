package mmrtest

import (
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The members of the rooms in which cases are tried.
const (
	Alice = "alice@a.example" // at the hub's provider; administrator
	Bob   = "bob@b.example"
	Carol = "carol@c.example"
	Dave  = "dave@d.example" // not in the room
)

// An Answer is how a hub refuses.
type Answer uint8

// The answers.
const (
	NotAllowed Answer = iota
	InvalidProposal
	RemovalPending
)

// A Row is one of the table in docs/mmr-profile.md, section 8, as its tests name
// it.
type Row string

// The rows that everyone can check.
const (
	RowLeaves         Row = "Leaves"
	RowSecondLeaf     Row = "SecondLeaf"
	RowAddAAD         Row = "AddAAD"
	RowRoles          Row = "Roles"
	RowProposals      Row = "Proposals"
	RowJoinPSK        Row = "JoinPSK"
	RowConnectionRoom Row = "ConnectionRoom"
)

// A Case is a Commit that breaks one rule that everyone can check
// (docs/mmr-profile.md, sections 1, 2, 3, 6 and 8). Hub and members have to refuse
// it, for the same reason.
type Case struct {
	// Row is where section 8 says who checks this.
	Row Row
	// Name is that of the rule.
	Name string
	// Policy of the room; nil for [GroupPolicy].
	Policy *identity.MinimalMetadataPolicy
	// Prepare leads to the room in which the case is tried; nil for one with Alice,
	// Bob and Carol.
	Prepare func(w *World)
	// Make makes the Commit. The same without what is wrong with it is accepted, as
	// the tests of this package show.
	Make func(w *World) *Attempt
	// Want is the reason, and Answer how the hub says it.
	Want   error
	Answer Answer
	// Joiner is the reason of a joiner who sees the room after the Commit, and not
	// the Commit; nil if it is Want.
	Joiner error
}

// Room makes the room of a case.
func (c *Case) Room(w *World) {
	w.T.Helper()
	if c.Prepare != nil {
		c.Prepare(w)
		return
	}
	Trio(w)
}

// RoomPolicy is the policy of the case's room.
func (c *Case) RoomPolicy() identity.MinimalMetadataPolicy {
	if c.Policy != nil {
		return *c.Policy
	}
	return GroupPolicy()
}

// Trio lets Bob and Carol into a room of Alice's.
func Trio(w *World) { w.Commit(Alice, Add(Bob, Carol)) }

// rotated is a room whose wrapper key has been rotated.
func rotated(w *World) {
	w.Commit(Alice, Add(Bob, Carol, "eve@b.example"))
	w.Commit(Alice, Remove("eve@b.example"))
}

// by is a case in which a member commits.
func by(name, from string, want error, bends ...Bend) Case {
	return Case{Name: name, Want: want, Make: func(w *World) *Attempt { return w.Make(from, bends...) }}
}

// joining is a case in which Dave joins.
func joining(name string, want error, bends ...Bend) Case {
	return Case{Name: name, Want: want, Make: func(w *World) *Attempt { return w.Join(Dave, bends...) }}
}

func (c Case) in(prepare func(w *World)) Case {
	c.Prepare = prepare
	return c
}

func (c Case) under(p identity.MinimalMetadataPolicy) Case {
	c.Policy = &p
	return c
}

func (c Case) as(a Answer) Case {
	c.Answer = a
	return c
}

func (c Case) afterwards(joiner error) Case {
	c.Joiner = joiner
	return c
}

// requiring is a group with another requirement.
func requiring(r identity.LinkRequirement) identity.MinimalMetadataPolicy {
	p := GroupPolicy()
	p.Requirement = r
	return p
}

// Cases returns all cases.
func Cases() []Case {
	return slices.Concat(
		in(RowLeaves, leafCases()), in(RowSecondLeaf, siblingCases()), in(RowAddAAD, entryCases(), rotationCases()), in(RowJoinPSK, pskCases()),
		in(RowProposals, proposalCases()), in(RowRoles, policyCases()), in(RowConnectionRoom, connectionCases()),
	)
}

// CasesOf returns the cases of a row.
func CasesOf(row Row) []Case {
	return slices.DeleteFunc(Cases(), func(c Case) bool { return c.Row != row })
}

// in says of cases in which row they are.
func in(row Row, cases ...[]Case) []Case {
	all := slices.Concat(cases...)
	for i := range all {
		all[i].Row = row
	}
	return all
}

// withLeaf is an Add of Dave with another leaf.
func withLeaf(change func(w *World, c *Client)) Bend {
	return func(d *Draft) {
		c := d.W.Client(Dave)
		change(d.W, c)
		d.add(c, true)
	}
}

// renewed is a path with another leaf of the same credential.
func renewed(change func(l *mls.LeafParams)) Bend {
	return func(d *Draft) {
		m, _ := d.Node.Group.View().Member(d.W.Leaf(d.From))
		params := mls.LeafParams{
			Credential: m.Leaf.Credential, Capabilities: identity.Capabilities(), Extensions: slices.Clone(m.Leaf.Extensions), SignatureKey: d.W.Key(d.From),
		}
		change(&params)
		d.Commit.NewLeaf = &params
	}
}

// withCredential gives a client a credential that says something else.
func withCredential(w *World, c *Client, change func(*identity.PseudonymousCredential)) {
	cred := c.Identity.Credential
	change(&cred)
	c.Params.Credential = must(cred.Credential())(w.T)
}

// leafCases are those of sections 1 and 2, "Leaf".
func leafCases() []Case {
	extra := mls.Extension{Type: 0x0a0a, Data: []byte("who I am")}
	return []Case{
		by("signature_public_key equals the LeafNode's", Bob, identity.ErrSignatureKey, withLeaf(func(w *World, c *Client) {
			c.Params.SignatureKey = must(w.Suite.GenerateSignatureKey(w.Random))(w.T)
		})),
		by("a credential is well-formed", Bob, identity.ErrPseudonym, withLeaf(func(_ *World, c *Client) {
			c.Params.Credential.Body = slices.Clone(c.Params.Credential.Body)
			// The version in the UUID of the client pseudonym.
			at := slices.Index(c.Params.Credential.Body, '-')
			c.Params.Credential.Body[at+6] = '1'
		})),
		by("capabilities of an added leaf are everyone's", Bob, mmr.ErrLeaf, withLeaf(func(_ *World, c *Client) {
			c.Params.Capabilities.Extensions = append(c.Params.Capabilities.Extensions, 0x0a0a)
		})),
		by("capabilities are in the profile's order", Bob, mmr.ErrLeaf, withLeaf(func(_ *World, c *Client) {
			slices.Reverse(c.Params.Capabilities.CipherSuites)
		})),
		by("capabilities of a changed leaf are everyone's", Bob, mmr.ErrLeaf, renewed(func(l *mls.LeafParams) {
			l.Capabilities.Proposals = append(l.Capabilities.Proposals, 0x1a1a)
		})),
		by("an added leaf has no further extension", Bob, mmr.ErrLeaf, withLeaf(func(_ *World, c *Client) {
			c.Params.Capabilities.Extensions = append(c.Params.Capabilities.Extensions, extra.Type)
			c.Params.Extensions = append(c.Params.Extensions, extra)
		})),
		by("a changed leaf has no further extension", Bob, mmr.ErrLeaf, renewed(func(l *mls.LeafParams) {
			l.Capabilities.Extensions = append(l.Capabilities.Extensions, extra.Type)
			l.Extensions = append(l.Extensions, extra)
		})),
		by("a leaf has no further component", Bob, mmr.ErrLeaf, renewed(func(l *mls.LeafParams) {
			l.Extensions, _ = l.Extensions.WithComponents(mls.ComponentData{ID: 0xf00d, Data: []byte("who I am")})
		})),
		by("a leaf has a queue reference", Bob, mmr.ErrLeaf, renewed(func(l *mls.LeafParams) {
			dictionary, _ := l.Extensions.AppDataDictionary()
			extension, _ := dictionary.Without(identity.ComponentQueueReference).Extension()
			l.Extensions = mls.Extensions{extension}
		})),
		by("the queue is at the provider of the pseudonyms", Bob, identity.ErrDomain, withLeaf(func(w *World, c *Client) {
			c.Params.Extensions = w.Client("other@c.example").Params.Extensions
		})),
		joining("a joiner's leaf is everyone's", mmr.ErrLeaf, func(d *Draft) {
			d.External.Leaf.Capabilities.Extensions = append(d.External.Leaf.Capabilities.Extensions, 0x0a0a)
		}),
		by("client_pseudonym is unique in the group", Bob, identity.ErrDuplicatePseudonym, sameClient),
		by("client_pseudonym is unique among the Adds", Bob, identity.ErrDuplicatePseudonym, func(d *Draft) {
			c := d.W.Client(Dave)
			d.add(c, true)
			d.add(d.W.like("dora@d.example", c.Identity.TBS().ClientPseudonym), true)
		}),
		by("client_pseudonym is unique among Adds and the new credential", Bob, identity.ErrDuplicatePseudonym, func(d *Draft) {
			c := d.W.Client("bob@b.example/2")
			d.add(c, false)
			d.self = d.W.like(Bob, c.Identity.TBS().ClientPseudonym)
			d.Commit.NewLeaf = &d.self.Params
			OwnEntry(d)
		}),
		by("a leaf's user is in the participant list", Bob, room.ErrNotParticipant, func(d *Draft) { d.add(d.W.Client(Dave), false) }).as(InvalidProposal),
		by("who has a leaf stays in the participant list", Alice, room.ErrClientsRemain, func(d *Draft) { d.Unlist(Carol) }).
			as(InvalidProposal).afterwards(room.ErrNotParticipant),
		joining("a joiner is in the participant list", room.ErrNotParticipant, func(d *Draft) { d.List = room.ParticipantListUpdate{} }).as(InvalidProposal),
		by("a new credential is of the same user pseudonym", Bob, mls.ErrSuccessor, func(d *Draft) {
			d.self = d.W.ClientAs(Bob, mimi.URI{})
			d.Commit.NewLeaf = &d.self.Params
			OwnEntry(d)
		}).afterwards(room.ErrNotParticipant),
	}
}

// like makes a client with somebody's client pseudonym.
func (w *World) like(name string, client mimi.URI) *Client {
	w.T.Helper()
	c := w.Client(name)
	withCredential(w, c, func(cred *identity.PseudonymousCredential) { cred.ClientPseudonym = client })
	return c
}

// sameClient adds somebody under the client pseudonym of Bob.
func sameClient(d *Draft) {
	tbs := must(mmr.ReadCredential(d.W.Credential(Bob)))(d.W.T)
	d.add(d.W.like("ben@b.example", tbs.ClientPseudonym), true)
}

// siblingCases are those of section 1, "Second leaves".
func siblingCases() []Case {
	second := func(bends ...Bend) func(w *World) *Attempt {
		return func(w *World) *Attempt { return w.Join("bob@b.example/2", bends...) }
	}
	return []Case{
		by("a second leaf is added by the same user pseudonym", Alice, identity.ErrSibling, Add("bob@b.example/2")),
		{Name: "a second leaf that joins has a sibling proof", Make: second(), Want: identity.ErrSibling},
		{Name: "a sibling proof is by a leaf of the same user pseudonym", Make: second(Proof(Carol)), Want: identity.ErrSibling},
		{Name: "a sibling proof is for this credential", Want: identity.ErrSibling, Make: second(func(d *Draft) {
			other := d.W.Client("bob@b.example/3")
			proof := must(identity.NewSiblingProof(d.W.Suite, d.W.groupID(), d.W.Leaf(Bob), d.W.Key(Bob), other.Identity.TBS()))(d.W.T)
			d.Safe = append(d.Safe, must(proof.SafeAADItem())(d.W.T))
		})},
		{Name: "a sibling proof is for this group", Want: identity.ErrSibling, Make: second(func(d *Draft) {
			proof := must(identity.NewSiblingProof(d.W.Suite, []byte("another"), d.W.Leaf(Bob), d.W.Key(Bob), d.self.Identity.TBS()))(d.W.T)
			d.Safe = append(d.Safe, must(proof.SafeAADItem())(d.W.T))
		})},
		{Name: "a sibling proof names a leaf that is there", Want: identity.ErrSibling, Make: second(func(d *Draft) {
			proof := must(identity.NewSiblingProof(d.W.Suite, d.W.groupID(), 77, d.W.Key(Bob), d.self.Identity.TBS()))(d.W.T)
			d.Safe = append(d.Safe, must(proof.SafeAADItem())(d.W.T))
		})},
		{
			Name: "a resync removes exactly the own leaf", Want: mls.ErrSuccessor,
			Make: func(w *World) *Attempt {
				return w.Resync(Bob, func(d *Draft) {
					carol := d.W.Leaf(Carol)
					d.External.Resync = &carol
				})
			},
		},
		{
			Name: "a resync has a fresh client pseudonym", Want: mls.ErrSuccessor,
			Make: func(w *World) *Attempt {
				return w.Resync(Bob, func(d *Draft) {
					tbs := must(mmr.ReadCredential(d.W.Credential(Bob)))(d.W.T)
					withCredential(d.W, d.self, func(cred *identity.PseudonymousCredential) { cred.ClientPseudonym = tbs.ClientPseudonym })
					d.External.Leaf.Credential = d.self.Params.Credential
				})
			},
		},
		{Name: "a resync has no sibling proof", Want: identity.ErrSibling, Make: func(w *World) *Attempt {
			return w.Resync(Bob, Proof(Bob))
		}},
		by("a sibling proof stands in an external Commit", Bob, mmr.ErrAuthenticated, Item(identity.ComponentSiblingProof, 0)),
	}
}

// entryCases are those of section 3, "Who sends what": the AddAAD.
func entryCases() []Case {
	generation := func(change int) Bend {
		return func(d *Draft) {
			e := *d.Entries[len(d.Entries)-1]
			e.Generation += identity.Generation(change)
			d.Entries[len(d.Entries)-1] = &e
		}
	}
	absent := func(d *Draft) { d.Entries[len(d.Entries)-1] = nil }
	return []Case{
		by("AddAAD has an entry per Add", Bob, identity.ErrAddAAD, Add(Dave), NoEntries),
		by("AddAAD has no entry too few", Bob, identity.ErrAddAAD, Add(Dave, "dora@d.example"), func(d *Draft) { d.Entries = d.Entries[:1] }),
		by("AddAAD has no entry too many", Bob, identity.ErrAddAAD, Add(Dave), OwnEntry, OwnEntry),
		by("AddAAD is left out if it is empty", Bob, identity.ErrAddAAD, func(d *Draft) { d.EmptyAddAAD = true }),
		by("AddAAD has no own entry without a path", Bob, identity.ErrAddAAD, Add(Dave), OwnEntry, func(d *Draft) { d.Commit.NoPath = true }),
		by("AddAAD decodes", Bob, wire.ErrLength, Item(identity.ComponentIdentityLink, 0xff)),
		by("a new credential has its own entry", Bob, identity.ErrAddAAD, NewCredential, NoEntries),
		joining("a joiner has its own entry", identity.ErrAddAAD, NoEntries),
		by("the entry of an Add is of the newest generation", Bob, identity.ErrNotNewest, Add(Dave), generation(1)),
		by("the entry of an Add is not of an older generation", Bob, identity.ErrNotNewest, Add(Dave), generation(-1)).in(rotated),
		by("the own entry is of the newest generation", Bob, identity.ErrNotNewest, NewCredential, generation(1)),
		joining("the entry of a joiner is of the newest generation", identity.ErrNotNewest, generation(1)),
		by("the policy wants every leaf's entry", Bob, identity.ErrEntryRequired, Add(Dave), absent),
		joining("the policy wants a joiner's entry", identity.ErrEntryRequired, absent),
		by("the policy wants an administrator's entry", Alice, identity.ErrEntryRequired, Add(Dave), absent, func(d *Draft) {
			d.List.Added[0].Role = room.RoleAdmin
		}).under(requiring(identity.RequireAdmins)),
		by("only who has entries becomes an administrator", Alice, identity.ErrEntryRequired, func(d *Draft) {
			index, _ := d.Node.Rules.Room().State().Find(d.W.Users[Bob])
			d.List.Changed = append(d.List.Changed, room.RoleAssignment{Index: index, Role: room.RoleAdmin})
		}).under(requiring(identity.RequireAdmins)).in(func(w *World) {
			w.Commit(Alice, Add(Bob), absent)
		}),
		by("forbidden: nobody is added", Alice, identity.ErrAddForbidden, Add(Bob), absent).
			under(requiring(identity.Forbidden)).in(func(*World) {}),
		Case{Name: "forbidden: no entry is present", Want: identity.ErrEntryForbidden, Make: func(w *World) *Attempt {
			return w.Join(Dave, func(d *Draft) { d.Entries[0] = d.W.Wrap(d.Node, d.self.Identity) })
		}}.under(requiring(identity.Forbidden)).in(func(*World) {}),
	}
}

// rotationCases are those of section 3, "Wrapper keys".
func rotationCases() []Case {
	return []Case{
		by("a removing Commit does not Add", Alice, identity.ErrRotation, Remove(Carol), Add(Dave)),
		by("a removing Commit does not change its sender's credential", Alice, identity.ErrRotation, Remove(Carol), NewCredential),
		by("a removing Commit carries no own entry", Alice, identity.ErrAddAAD, Remove(Carol), OwnEntry),
		by("a removing Commit does not update 0x8D46", Alice, identity.ErrRotation, Remove(Carol), Rename("another name")),
		by("the first Commit after a rotation re-encrypts 0x8D46", Bob, identity.ErrRotation, Add(Dave), func(d *Draft) { d.KeepMetadata = true }).in(rotated),
		joining("a joiner does not update 0x8D46", identity.ErrJoinerMetadata, Rename("what a joiner says")).in(rotated),
		by("0x8D46 is under the newest generation", Bob, identity.ErrNotNewest, Propose(func(w *World, n *Node) mls.ProposalBody {
			key := n.Ring.Newest()
			key.Generation++
			return w.nameUpdate(key, "a name")
		})),
		{
			Name: "a joiner does not commit the removal of another leaf", Want: mmr.ErrRemovalPending, Answer: RemovalPending,
			Prepare: func(w *World) {
				Trio(w)
				if err := w.Propose(Carol, w.Leave(Carol)...); err != nil {
					w.T.Fatal(err)
				}
			},
			Make: func(w *World) *Attempt { return w.Join(Dave) },
		},
	}
}

// pskCases are those of section 3, "External Commits prove knowledge".
func pskCases() []Case {
	ids := func(ids ...mls.PreSharedKeyID) Bend {
		return func(d *Draft) { d.External.PSKs = ids }
	}
	join := mls.PreSharedKeyID{Type: mls.PSKExternal, ID: identity.JoinPSKID(0)}
	return []Case{
		joining("an external Commit carries a PSK", identity.ErrAddAAD, ids()),
		joining("an external Commit carries one PSK", identity.ErrAddAAD, ids(join, join)),
		joining("an external Commit carries no further PSK", identity.ErrAddAAD, ids(join, mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("else")})),
		joining("the PSK is the join PSK", identity.ErrAddAAD, ids(mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("MGP1 join")})),
		joining("the join PSK is of the newest generation", identity.ErrNotNewest,
			ids(mls.PreSharedKeyID{Type: mls.PSKExternal, ID: identity.JoinPSKID(9)})),
		joining("the join PSK is not of an older generation", identity.ErrNotNewest, ids(join)).in(rotated),
		by("a member's Commit has no PSK", Bob, mmr.ErrProposal, Propose(func(*World, *Node) mls.ProposalBody {
			return &mls.PreSharedKey{PSK: join}
		})).as(InvalidProposal),
	}
}

// proposalCases are those of section 3, "Who sends what", for Commits.
func proposalCases() []Case {
	return []Case{
		by("GroupContextExtensions is not legal", Alice, mmr.ErrProposal, Propose(func(_ *World, n *Node) mls.ProposalBody {
			return &mls.GroupContextExtensions{Extensions: n.Group.View().Context().Extensions}
		})).as(InvalidProposal),
		by("ReInit is not legal", Alice, mmr.ErrProposal, Propose(func(w *World, _ *Node) mls.ProposalBody {
			return &mls.ReInit{GroupID: []byte("another"), Version: mls.MLS10, CipherSuite: w.Suite.ID()}
		})).as(InvalidProposal),
		by("an unknown component is not updated", Alice, room.ErrUnknownComponent, Propose(func(*World, *Node) mls.ProposalBody {
			return update(0xf00d, []byte("data"))
		})).as(InvalidProposal),
		by("app_components stay", Alice, room.ErrUnknownComponent, Propose(func(*World, *Node) mls.ProposalBody {
			return update(mls.ComponentAppComponents, []byte{0})
		})).as(InvalidProposal),
		by("0x8D46 is not removed", Alice, room.ErrMissingComponent, Propose(func(*World, *Node) mls.ProposalBody {
			return &mls.AppDataUpdate{Component: identity.ComponentRoomMetadata, Operation: mls.AppDataUpdateRemove}
		})).as(InvalidProposal),
		by("room_metadata names nothing", Alice, room.ErrPlainMetadata,
			Update(mls.ComponentID(room.ComponentRoomMetadata), &room.RoomMetadata{URI: "mimi://a.example/r/x", Name: "a secret name"})).as(InvalidProposal),
	}
}

// policyCases are those of section 6.
func policyCases() []Case {
	two := GroupPolicy()
	two.MaxUsers = 2
	return []Case{
		by("the requirement only weakens", Alice, identity.ErrPolicyChange, policyUpdate(func(p *identity.MinimalMetadataPolicy) {
			p.Requirement = identity.RequireAll
		})).under(requiring(identity.RequireNone)).as(InvalidProposal),
		by("forbidden is not entered", Alice, identity.ErrPolicyChange, policyUpdate(func(p *identity.MinimalMetadataPolicy) {
			p.Requirement = identity.Forbidden
		})).as(InvalidProposal),
		by("the policy is not removed", Alice, mmr.ErrNotMinimal, Propose(func(*World, *Node) mls.ProposalBody {
			return &mls.AppDataUpdate{Component: identity.ComponentPolicy, Operation: mls.AppDataUpdateRemove}
		})),
		by("an ordinary participant does not change the policy", Bob, room.ErrDenied, policyUpdate(func(p *identity.MinimalMetadataPolicy) { p.MaxUsers = 7 })),
		by("an ordinary participant does not remove others", Bob, room.ErrDenied, Remove(Carol)),
		by("max_users is kept", Alice, room.ErrMaxUsers, Add(Dave)).under(two).in(func(w *World) { w.Commit(Alice, Add(Bob)) }),
		by("max_users does not fall below the participants", Alice, room.ErrMaxUsers, policyUpdate(func(p *identity.MinimalMetadataPolicy) { p.MaxUsers = 2 })),
	}
}

// policyUpdate is an update of the room's policy.
func policyUpdate(change func(*identity.MinimalMetadataPolicy)) Bend {
	return func(d *Draft) {
		next := d.Node.Rules.Room().Policy()
		change(&next)
		Update(identity.ComponentPolicy, &next)(d)
	}
}

// connectionCases are those of section 6 for connection rooms.
func connectionCases() []Case {
	return []Case{
		by("connection_room does not change", Alice, identity.ErrPolicyChange, policyUpdate(func(p *identity.MinimalMetadataPolicy) {
			*p = identity.ConnectionRoomPolicy()
		})).as(InvalidProposal),
		by("a connection response stands in an external Commit", Bob, mmr.ErrAuthenticated, Item(identity.ComponentConnectionResponse, 0)),
		by("connection room: nobody adds", Alice, room.ErrDenied, Add(Bob)).under(identity.ConnectionRoomPolicy()).in(func(*World) {}),
		joining("connection room: no third user", room.ErrDenied).under(identity.ConnectionRoomPolicy()).in(connected),
		by("connection room: no policy change", Alice, identity.ErrPolicyChange, policyUpdate(func(p *identity.MinimalMetadataPolicy) {
			*p = GroupPolicy()
		})).under(identity.ConnectionRoomPolicy()).in(connected).as(InvalidProposal),
		by("connection room: the responder does not remove the creator", Bob, room.ErrDenied, Remove(Alice)).
			under(identity.ConnectionRoomPolicy()).in(connected),
	}
}

// connected is a connection room of two.
func connected(w *World) { w.Accept(w.Join(Bob)) }
