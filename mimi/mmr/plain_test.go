package mmr_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// plainTrio is a plain room with Alice, Bob and Carol in it.
func plainTrio(t *testing.T, hub mmrtest.Hub) *mmrtest.PlainWorld {
	t.Helper()
	p := mmrtest.StartPlain(t, hub)
	// What the library refuses for want of support is not what is tested here.
	p.Further = []mls.CredentialType{mls.CredentialBasic, identity.CredentialPseudonymous}
	p.Found(alice)
	b, c := p.Client(bob), p.Client(carol)
	p.Make(alice, p.Adding(b, c), b, c).Accept()
	return p
}

// TestPlainRoom: the participants of a plain room are its leaves' real addresses, and
// nothing is stored of it beside its group.
func TestPlainRoom(t *testing.T) {
	hub := mmrtest.NewPublicHub()
	p := plainTrio(t, hub)
	r := hub.Rules.Room()
	if !r.Plain() || r.Table() != nil || r.Metadata() != nil || hub.Written != 0 {
		t.Errorf("the room is plain: %v; %d rows were written", r.Plain(), hub.Written)
	}
	tbs, ok := r.Leaf(p.Members[bob].Leaf)
	if !ok || tbs.UserPseudonym != p.Members[bob].User || tbs.ClientPseudonym != p.Members[bob].URI {
		t.Errorf("Bob's leaf is %+v", tbs)
	}
	if got := r.State().Metadata().Name; got != "a plain room" {
		t.Errorf("its name is %q", got)
	}
	stored, others, err := mmr.SplitRows(hub.Stored())
	if err != nil || len(others) != len(hub.Rows) {
		t.Fatal(err)
	}
	again, err := stored.Open(p.Suite, hub.Group.View())
	if err != nil || !again.Plain() || len(again.Leaves()) != 3 {
		t.Errorf("it is read again as %+v: %v", again, err)
	}
}

// TestPlainRoomLife: what a client of a plain room may do.
func TestPlainRoomLife(t *testing.T) {
	for name, do := range map[string]func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt{
		"a renewed certificate": func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			b := p.Members[bob]
			cert, err := b.Provider.CA.Issue(b.User, b.URI, b.Key.Public())
			if err != nil {
				t.Fatal(err)
			}
			leaf := b.Params
			if leaf.Credential, err = cert.Credential().Leaf(); err != nil {
				t.Fatal(err)
			}
			return p.Commit(bob, mls.CommitOptions{NewLeaf: &leaf})
		},
		"a second client that is added": func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			second := p.Client(bob + "/2")
			return p.Make(bob, p.Adding(second), second)
		},
		"a second client that joins": func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			return p.Join(p.Client(bob+"/2"), mls.ExternalOptions{})
		},
		"a client that joins anew, under its own address and key": func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			b := p.Members[bob]
			leaf := b.Leaf
			delete(p.Members, bob)
			return p.Join(b, mls.ExternalOptions{Resync: &leaf})
		},
		"a new name": func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			data, err := room.Encode(&room.RoomMetadata{URI: p.Room.String(), Name: "another"})
			if err != nil {
				t.Fatal(err)
			}
			return p.Make(bob, []mls.ProposalBody{&mls.AppDataUpdate{
				Component: mls.ComponentID(room.ComponentRoomMetadata), Operation: mls.AppDataUpdateUpdate, Update: data,
			}})
		},
	} {
		t.Run(name, func(t *testing.T) { do(plainTrio(t, mmrtest.NewPublicHub())).Accept() })
	}
}

// TestPlainRefused: hub and members refuse in a plain room what does not belong there,
// for the same reason: above all what would make it another kind of room.
func TestPlainRefused(t *testing.T) {
	update := func(id mls.ComponentID, data []byte) []mls.ProposalBody {
		return []mls.ProposalBody{&mls.AppDataUpdate{Component: id, Operation: mls.AppDataUpdateUpdate, Update: data}}
	}
	policy := mmrtest.GroupPolicy()
	encoded, err := mls.Marshal(&policy)
	if err != nil {
		t.Fatal(err)
	}
	withDave := func(change func(p *mmrtest.PlainWorld, dave *mmrtest.PlainMember)) func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
		return func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			d := p.Client(dave)
			change(p, d)
			return p.Make(bob, p.Adding(d), d)
		}
	}
	for name, c := range map[string]struct {
		want error
		make func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt
	}{
		"a pseudonymous leaf": {identity.ErrCredentialType, withDave(func(p *mmrtest.PlainWorld, d *mmrtest.PlainMember) {
			d.Params = p.Minimal(dave)
			d.Params.Capabilities.Credentials = append(d.Params.Capabilities.Credentials, mls.CredentialX509, mls.CredentialBasic)
		})},
		"a basic credential": {identity.ErrCredentialType, withDave(func(_ *mmrtest.PlainWorld, d *mmrtest.PlainMember) {
			d.Params.Credential = mls.BasicCredential([]byte(mimi.ProviderURI("d.example").String()))
		})},
		"a client twice": {identity.ErrDuplicatePseudonym, func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			again := p.Client(carol)
			return p.Make(bob, p.Adding(again), again)
		}},
		"a leaf of nobody who is listed": {room.ErrNotParticipant, func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			d := p.Client(dave)
			return p.Make(bob, p.Adding(d)[:1], d)
		}},
		"another address in place of one's own": {mls.ErrSuccessor, func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			return p.Commit(bob, mls.CommitOptions{NewLeaf: &p.Client("ben@b.example").Params})
		}},
		"a joiner in the place of somebody else": {mls.ErrSuccessor, func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			leaf := p.Members[carol].Leaf
			return p.Join(p.Client("ben@b.example"), mls.ExternalOptions{Resync: &leaf})
		}},
		"the policy of minimal-metadata rooms": {nil, func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			return p.Make(alice, update(identity.ComponentPolicy, encoded))
		}},
		"encrypted metadata": {identity.ErrProfileComponent, func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			return p.Make(alice, update(identity.ComponentRoomMetadata, []byte("sealed")))
		}},
		"a pre-shared key": {mmr.ErrProposal, func(p *mmrtest.PlainWorld) *mmrtest.PlainAttempt {
			return p.Join(p.Client(bob+"/2"), mls.ExternalOptions{
				PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: identity.JoinPSKID(0)}},
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			hub := mmrtest.NewPublicHub()
			p := plainTrio(t, hub)
			a := c.make(p)
			atHub := a.Send()
			if atHub == nil || c.want != nil && !errors.Is(atHub, c.want) {
				t.Fatalf("the hub says %v, want %v", atHub, c.want)
			}
			if err := a.Refused(carol); err == nil || err.Error() != atHub.Error() {
				t.Errorf("Carol says %v, the hub %v", err, atHub)
			}
			if hub.Group.Epoch() != 1 || !hub.Rules.Room().Plain() {
				t.Error("the hub has changed")
			}
		})
	}
}

// TestPlainContext: which GroupContexts are those of a plain room.
func TestPlainContext(t *testing.T) {
	component := func(id mls.ComponentID, data ...byte) func(*mls.CreateParams) {
		return func(params *mls.CreateParams) {
			params.Extensions, _ = params.Extensions.WithComponents(mls.ComponentData{ID: id, Data: data})
		}
	}
	required := func(change func(*mls.RequiredCapabilities)) func(*mls.CreateParams) {
		return func(params *mls.CreateParams) {
			want := identity.PlainRequiredCapabilities()
			change(&want)
			params.Leaf.Capabilities.Credentials = slices.Clone(want.Credentials)
			params.Leaf.Capabilities.Credentials = append(params.Leaf.Capabilities.Credentials, mls.CredentialX509)
			extension, err := want.Extension()
			if err != nil {
				t.Fatal(err)
			}
			params.Extensions = params.Extensions.With(extension.Type, extension.Data)
		}
	}
	for name, c := range map[string]struct {
		want error
		bend func(*mls.CreateParams)
	}{
		"a component of the profile": {identity.ErrProfileComponent, component(identity.ComponentLinkState, 1)},
		"other credentials as well": {mmr.ErrGroup, required(func(r *mls.RequiredCapabilities) {
			r.Credentials = append(r.Credentials, mls.CredentialBasic)
		})},
		"no SelfRemove":        {mmr.ErrGroup, required(func(r *mls.RequiredCapabilities) { r.Proposals = r.Proposals[:1] })},
		"no AppDataDictionary": {mmr.ErrGroup, required(func(r *mls.RequiredCapabilities) { r.Extensions = nil })},
		"no external sender": {mmr.ErrGroup, func(params *mls.CreateParams) {
			params.Extensions = params.Extensions.Without(mls.ExtensionExternalSenders)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := mmrtest.StartPlain(t, mmrtest.NewPublicHub())
			if err := p.Hub.Create(t.Context(), p.Create(alice, c.bend)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestNewPlainRoom: how a plain room begins.
func TestNewPlainRoom(t *testing.T) {
	p := mmrtest.StartPlain(t, mmrtest.NewPublicHub())
	p.Found(alice)
	if err := p.Public().CheckNew(p.Public().URI().Domain); err != nil {
		t.Error(err)
	}
	b := p.Client(bob)
	p.Make(alice, p.Adding(b), b).Accept()
	if err := p.Public().CheckNew(p.Public().URI().Domain); !errors.Is(err, mmr.ErrGroup) {
		t.Errorf("a room with two members is new: %v", err)
	}
	// The policy of the other kind allows pseudonyms.
	p = mmrtest.StartPlain(t, mmrtest.NewPublicHub())
	p.Create(alice, func(params *mls.CreateParams) {
		in := room.Cooperative()
		data, err := room.Encode(&in.Base)
		if err != nil {
			t.Fatal(err)
		}
		params.Extensions, _ = params.Extensions.WithComponents(mls.ComponentData{ID: mls.ComponentID(room.ComponentBasePolicy), Data: data})
	})
	if err := p.Public().CheckNew(p.Public().URI().Domain); !errors.Is(err, mmr.ErrGroup) {
		t.Errorf("a room without a limit is new: %v", err)
	}
}

// TestLeavesOfTheOtherKind: rooms of each kind refuse the leaves of the other one.
func TestLeavesOfTheOtherKind(t *testing.T) {
	p := plainTrio(t, mmrtest.NewPublicHub())
	w := mmrtest.New(t, nil, mmrtest.GroupPolicy(), alice)
	plain, err := mls.NewKeyPackage(p.Random, mls.KeyPackageParams{CipherSuite: p.Suite.ID(), Leaf: p.Client(dave).Params, NotAfter: 1})
	if err != nil {
		t.Fatal(err)
	}
	minimal := w.KeyPackage(w.Client(dave))
	if _, err := w.Public().ParseLeaf(&plain.KeyPackage.LeafNode); !errors.Is(err, identity.ErrCredentialType) {
		t.Errorf("a minimal-metadata room: %v", err)
	}
	if _, err := p.Public().ParseLeaf(&minimal.LeafNode); !errors.Is(err, identity.ErrCredentialType) {
		t.Errorf("a plain room: %v", err)
	}
	if _, err := w.Public().ParseLeaf(&minimal.LeafNode); err != nil {
		t.Error(err)
	}
	if _, err := p.Public().ParseLeaf(&plain.KeyPackage.LeafNode); err != nil {
		t.Error(err)
	}
	// A room is opened as what it is.
	table := w.Public().Table()
	if _, err := mmr.Open(p.Suite, p.Members[bob].Group.View(), 0, table); !errors.Is(err, identity.ErrTable) {
		t.Errorf("a plain room with a table: %v", err)
	}
	if _, err := mmr.Open(w.Suite, w.Nodes["a.example"].Group.View(), 0, nil); !errors.Is(err, identity.ErrTable) {
		t.Errorf("a minimal-metadata room without one: %v", err)
	}
}
