package client_test

import (
	"context"
	"crypto/rand"
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
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// must fails the test on an error.
func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func lookup(tb testing.TB) *suite.Suite {
	tb.Helper()
	return must[*suite.Suite](tb)(suite.Lookup(suite.X25519AES128))
}

// A rogue is a program in the place of a gateway's client: it has what that has
// stored of a room. It keeps to the rules that hubs can check, and to no other.
type rogue struct {
	t     *testing.T
	g     *gateway
	room  mimi.URI
	group *mls.Group
	rules *mmr.Rules
	ring  identity.KeyRing
	// psk is what it takes for the join PSK.
	psk suite.Secret
}

// rogue takes over a gateway in a room. The gateway's own client must not commit
// any more.
func (g *gateway) rogue(room mimi.URI) *rogue {
	t, s := g.w.t, lookup(g.w.t)
	t.Helper()
	x := &rogue{t: t, g: g, room: room, rules: mmr.NewRules(nil), psk: suite.NewSecret(make([]byte, s.Nh()))}
	stored, rows, err := mmr.SplitRows(must[[]mls.Row](t)(g.stores.Client.Rows(t.Context(), room)))
	if err != nil {
		t.Fatal(err)
	}
	var others []mls.Row
	for _, row := range rows {
		switch {
		case row.Key == "client/keys":
			if err := wire.Unmarshal(row.Value, &x.ring); err != nil {
				t.Fatal(err)
			}
		case !strings.HasPrefix(row.Key, "client/"):
			others = append(others, row)
		}
	}
	x.group = must[*mls.Group](t)(mls.LoadGroup(mls.Config{
		Policy: x.rules, Random: rand.Reader, Now: g.w.clock.Now,
		PSK: func(context.Context, mls.PreSharedKeyID) (suite.Secret, error) { return x.psk, nil },
	}, others))
	x.rules.Set(must[*mmr.Room](t)(stored.Open(s, x.group.View())))
	return x
}

// leaf makes a further leaf for a user pseudonym.
func (x *rogue) leaf(user mimi.URI) (*identity.LeafIdentity, mls.LeafParams) {
	t, s := x.t, lookup(x.t)
	t.Helper()
	p := identitytest.NewProvider(t, s, x.g.domain)
	p.Random = rand.Reader
	id := p.Person(t, "nobody", "nothing").Leaf(t, user, nil)
	now := x.g.w.clock.Now()
	keys := must[identity.ProviderKeyRing](t)(identity.ProviderKeyRing{}.Rotate(s, now, now.Add(30*24*time.Hour).Truncate(time.Second), 90*24*time.Hour, rand.Reader))
	key, _ := keys.Newest()
	return id, mls.LeafParams{
		Credential: must[mls.Credential](t)(id.Credential.Credential()), Capabilities: identity.Capabilities(), SignatureKey: id.Key,
		Extensions: must[mls.Extensions](t)(id.Extensions(key, identity.QueueID{ID: make([]byte, 16), NotAfter: uint64(now.Add(90 * 24 * time.Hour).Unix())})),
	}
}

// entry is what a Commit says of a leaf, wrapped as it has to be or not.
func (x *rogue) entry(id *identity.LeafIdentity, key identity.WrapperKey) mls.SafeAADItem {
	x.t.Helper()
	wrapped := must[*identity.EncryptedIdentityLinkKey](x.t)(id.Wrap(lookup(x.t), identity.GroupID(x.room), key, rand.Reader))
	return must[mls.SafeAADItem](x.t)((&identity.AddAAD{Keys: []*identity.EncryptedIdentityLinkKey{wrapped}}).SafeAADItem())
}

// poison lets a further client of an own leaf's user in, by an external Commit that
// proves nothing. The hub cannot see that.
func (x *rogue) poison(own mls.LeafIndex) error {
	x.t.Helper()
	tbs, _ := x.rules.Room().Leaf(own)
	key, _ := x.group.SignatureKey(own)
	id, params := x.leaf(tbs.UserPseudonym)
	proof := must[*identity.SiblingProof](x.t)(identity.NewSiblingProof(lookup(x.t), identity.GroupID(x.room), own, key, id.TBS()))
	newest := x.ring.Newest()
	pending, err := x.group.ExternalCommit(x.t.Context(), mls.ExternalOptions{
		Leaf: params, GroupInfo: x.infos,
		PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: identity.JoinPSKID(newest.Generation)}},
		AAD: mls.AuthenticatedData{Safe: mls.SafeAAD{
			x.entry(id, newest), must[mls.SafeAADItem](x.t)(proof.SafeAADItem()),
		}},
	})
	if err != nil {
		return err
	}
	return x.send(pending)
}

// intrude lets a further client of an own leaf's user in, as is right, but with an
// entry that is wrapped under a key that nobody has.
func (x *rogue) intrude(own mls.LeafIndex) error {
	x.t.Helper()
	s := lookup(x.t)
	tbs, _ := x.rules.Room().Leaf(own)
	key, _ := x.group.SignatureKey(own)
	id, params := x.leaf(tbs.UserPseudonym)
	proof := must[*identity.SiblingProof](x.t)(identity.NewSiblingProof(s, identity.GroupID(x.room), own, key, id.TBS()))
	newest := x.ring.Newest()
	x.psk = must[suite.Secret](x.t)(newest.JoinPSK(s, identity.GroupID(x.room)))
	wrong := must[identity.WrapperKey](x.t)(identity.NewWrapperKey(s, rand.Reader))
	wrong.Generation = newest.Generation
	pending, err := x.group.ExternalCommit(x.t.Context(), mls.ExternalOptions{
		Leaf: params, GroupInfo: x.infos,
		PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: identity.JoinPSKID(newest.Generation)}},
		AAD: mls.AuthenticatedData{Safe: mls.SafeAAD{
			x.entry(id, wrong), must[mls.SafeAADItem](x.t)(proof.SafeAADItem()),
		}},
	})
	if err != nil {
		return err
	}
	return x.send(pending)
}

// renew gives an own leaf a new credential with an own entry that is wrapped under
// a key that nobody has.
func (x *rogue) renew(own mls.LeafIndex) error {
	x.t.Helper()
	tbs, _ := x.rules.Room().Leaf(own)
	id, params := x.leaf(tbs.UserPseudonym)
	key := must[identity.WrapperKey](x.t)(identity.NewWrapperKey(lookup(x.t), rand.Reader))
	key.Generation = x.ring.Newest().Generation
	pending, err := x.group.Commit(x.t.Context(), own, mls.CommitOptions{
		NewLeaf: &params, GroupInfo: x.infos, AAD: mls.AuthenticatedData{Safe: mls.SafeAAD{x.entry(id, key)}},
	})
	if err != nil {
		return err
	}
	return x.send(pending)
}

// infos makes the GroupInfo for the hub.
func (x *rogue) infos(next *mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
	after, err := x.rules.Next(next.Commit())
	if err != nil {
		return public, welcome, err
	}
	state, err := identity.NewLinkState(lookup(x.t), after.Table(), x.ring.Newest())
	if err != nil {
		return public, welcome, err
	}
	components, err := state.PublicComponents()
	if err != nil {
		return public, welcome, err
	}
	extension, err := components.Extension()
	return mls.GroupInfoOptions{Extensions: mls.Extensions{extension}, ExternalPub: true}, mls.GroupInfoOptions{}, err
}

func (x *rogue) send(pending *mls.PendingCommit) error {
	_, err := network{x.g}.Update(x.t.Context(), x.room, &protocol.UpdateRequest{
		ProposalOrCommit: *pending.MLSMessage(), GroupInfo: protocol.GroupInfoOption{Full: pending.GroupInfo}, RatchetTree: protocol.HubTree(),
	})
	return err
}
