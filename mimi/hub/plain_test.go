package hub_test

import (
	"bytes"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// plainWorld is a plain room at the real hub, with Alice, Bob and Carol in it.
type plainWorld struct {
	*mmrtest.PlainWorld
	*world
}

func plainTrio(t *testing.T) *plainWorld {
	t.Helper()
	w := start(t, hub.Limits{})
	p := &plainWorld{mmrtest.StartPlain(t, w), w}
	p.PlainWorld.Clock = w.Clock
	p.Found(alice)
	b, c := p.PlainWorld.Client(bob), p.PlainWorld.Client(carol)
	p.PlainWorld.Make(alice, p.Adding(b, c), b, c).Accept()
	return p
}

// Found makes the plain room.
func (p *plainWorld) Found(creator string) { p.PlainWorld.Found(creator) }

// askAs asks for the GroupInfo of the plain room in the name of a client.
func (p *plainWorld) askAs(from string, m *mmrtest.PlainMember, code suite.Secret) (*protocol.GroupInfoRatchetTreeTBE, error) {
	p.t.Helper()
	p.world.Room = p.PlainWorld.Room
	return p.ask(from, m.Params.Credential, m.Key, code)
}

// TestPlainFanout: what goes out for a plain room has the draft's own form, to each
// provider of a participant but the sender's; a Welcome goes to those of whom it adds.
func TestPlainFanout(t *testing.T) {
	p := plainTrio(t)
	d := p.PlainWorld.Client(dave)
	p.PlainWorld.Make(bob, p.Adding(d), d).Accept()
	p.net.wait(t, func() bool {
		return len(p.net.got["a.example"]) == 1 && len(p.net.got["c.example"]) == 2 && len(p.net.got["d.example"]) == 1
	})
	first, err := protocol.ParsePlainFanout(p.net.got["c.example"][0].body)
	if err != nil || len(first) != 1 || first[0].Message.Welcome == nil {
		t.Errorf("Carol's provider got %v: %v", first, err)
	}
	second, err := protocol.ParsePlainFanout(p.net.got["c.example"][1].body)
	if err != nil || len(second) != 1 || second[0].Message.PublicMessage == nil {
		t.Errorf("Carol's provider got %v: %v", second, err)
	}
	welcome, err := protocol.ParsePlainFanout(p.net.got["d.example"][0].body)
	if err != nil || len(welcome) != 1 || welcome[0].Message.Welcome == nil {
		t.Errorf("Dave's provider got %v: %v", welcome, err)
	}
	if bytes.Contains(p.net.got["d.example"][0].body, []byte(protocol.KeyMaterialTarget{Domain: "d.example"}.String())) {
		t.Error("there are targets in it")
	}
}

// TestPlainParticipants: the hub sees real addresses, also after a restart.
func TestPlainParticipants(t *testing.T) {
	p := plainTrio(t)
	p.restart()
	seen, err := p.hub.Participants(t.Context(), p.PlainWorld.Room)
	if err != nil || len(seen) != 3 || seen[1] != p.Members[bob].User {
		t.Errorf("the hub sees %v: %v", seen, err)
	}
	d := p.PlainWorld.Client(dave)
	p.PlainWorld.Make(carol, p.Adding(d), d).Accept()
}

// TestPlainSenderIsOfThePeer: a provider speaks for its own users alone.
func TestPlainSenderIsOfThePeer(t *testing.T) {
	p := plainTrio(t)
	d := p.PlainWorld.Client(dave)
	a := p.PlainWorld.Make(bob, p.Adding(d), d)
	a.From = "c.example"
	wantNotAllowed(t, a.Send(), "another provider")
	a.Drop()
	second := p.PlainWorld.Join(p.PlainWorld.Client(bob+"/2"), mls.ExternalOptions{})
	second.From = "c.example"
	wantNotAllowed(t, second.Send(), "another provider")
	m, err := p.Members[bob].Group.Protect(p.Members[bob].Leaf, []byte("hello"), mls.AuthenticatedData{})
	if err != nil {
		t.Fatal(err)
	}
	req := &protocol.SubmitMessageRequest{Message: mls.MLSMessage{PrivateMessage: m}, Sender: p.Members[bob].User}
	_, err = p.hub.SubmitMessage(t.Context(), "c.example", p.PlainWorld.Room, req)
	wantNotAllowed(t, err, "another provider")
	if _, err = p.hub.SubmitMessage(t.Context(), "b.example", p.PlainWorld.Room, req); err != nil {
		t.Error(err)
	}
}

// TestPlainGroupInfo: clients of participants see the room, each over the connection
// of its own provider, and joiners with a code; nobody else does.
func TestPlainGroupInfo(t *testing.T) {
	p := plainTrio(t)
	second, stranger := p.PlainWorld.Client(bob+"/2"), p.PlainWorld.Client(dave)
	info, err := p.askAs("b.example", second, suite.Secret{})
	if err != nil || info.Table != nil || info.GroupInfo.GroupContext.Epoch != 1 {
		t.Fatalf("a second client of Bob's: %v", err)
	}
	p.PlainWorld.Join(second, mls.ExternalOptions{}).Accept()
	if _, err := p.askAs("b.example", p.Members[bob], suite.Secret{}); err != nil {
		t.Errorf("a member: %v", err)
	}
	_, err = p.askAs("c.example", p.PlainWorld.Client(bob+"/3"), suite.Secret{})
	wantNotAllowed(t, err, "another provider")
	_, err = p.askAs("d.example", stranger, suite.Secret{})
	wantNotAllowed(t, err, "not a participant")
	// The leaf of a minimal-metadata room does not open a plain one, nor the other way
	// round.
	leaf := p.Minimal("bob@b.example")
	_, err = p.ask("b.example", leaf.Credential, leaf.SignatureKey, suite.Secret{})
	wantNotAllowed(t, err, "other kind")
	minimal := trio(t)
	_, err = minimal.ask("b.example", second.Params.Credential, second.Key, suite.Secret{})
	wantNotAllowed(t, err, "other kind")
	// Who leaves does not see it any more.
	index, _ := p.Public().State().Find(p.Members[carol].User)
	p.PlainWorld.Make(alice, []mls.ProposalBody{
		&mls.Remove{Removed: p.Members[carol].Leaf}, p.Listing(room.ParticipantListUpdate{Removed: []uint32{index}}),
	}).Accept()
	_, err = p.askAs("c.example", p.PlainWorld.Client(carol+"/2"), suite.Secret{})
	wantNotAllowed(t, err, "not a participant")
}

// TestPlainKeyMaterial: the hub relays the requests of its members, and of nobody
// else.
func TestPlainKeyMaterial(t *testing.T) {
	p := plainTrio(t)
	b, d := p.Members[bob], p.PlainWorld.Client(dave)
	sent := func(from string, by *mmrtest.PlainMember, change func(*protocol.KeyMaterialRequest)) error {
		req := &protocol.KeyMaterialRequest{
			RequestingUser: b.User, TargetUser: d.User, Room: p.PlainWorld.Room,
			Requester: protocol.Requester{
				CipherSuites: []suite.ID{p.PlainWorld.Suite.ID()}, Required: identity.PlainRequiredCapabilities(), Credential: by.Params.Credential,
			},
		}
		if err := req.Sign(p.PlainWorld.Suite, by.Key); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(req)
		}
		_, err := p.hub.RelayUserKeyMaterial(t.Context(), from, mmrtest.Again(t, req))
		return err
	}
	if err := sent("b.example", b, nil); err != nil || len(p.net.relayedPlain) != 1 || p.net.relayedPlain[0].TargetUser != d.User {
		t.Errorf("Bob asks for Dave: %v", err)
	}
	wantNotAllowed(t, sent("c.example", b, nil), "another provider")
	wantNotAllowed(t, sent("b.example", d, nil), "not a member")
	wantNotAllowed(t, sent("b.example", p.Members[carol], nil), "another user")
	wantNotAllowed(t, sent("b.example", b, func(req *protocol.KeyMaterialRequest) { req.TargetUser = p.Members[carol].User }), "does not verify")
	wantNotAllowed(t, sent("b.example", b, func(req *protocol.KeyMaterialRequest) {
		if err := req.Sign(p.PlainWorld.Suite, d.Key); err != nil {
			t.Fatal(err)
		}
	}), "another signature key")
	p.world.World.Found(mmrtest.GroupPolicy(), alice) // at the same hub
	wantNotAllowed(t, sent("b.example", b, func(req *protocol.KeyMaterialRequest) { req.Room = p.world.Room }), "no place in this room")
	if len(p.net.relayedPlain) != 1 {
		t.Errorf("%d requests were relayed", len(p.net.relayedPlain))
	}
}
