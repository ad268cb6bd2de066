package attack

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// An implant is the attacker's copy of a room, in a group that lets everything pass.
// It is read from the store of the attacker's gateway, which does not know of it.
type implant struct {
	w       *world
	uri     mimi.URI
	groupID []byte
	group   *mls.Group
	cfg     mls.Config
	ring    identity.KeyRing
	rules   *mmr.Rules
	// own are the leaves of the attacker's accounts.
	own map[mimi.URI]mls.LeafIndex
	// info and tree are set in place of group for a room that the attacker is not in.
	info *mls.GroupInfo
	tree *mls.RatchetTree
	// wrongPSK has the implant use another join PSK than the room's.
	wrongPSK bool
	// early is a message of Eve's that was encrypted before anything was pending.
	early *mls.MLSMessage
}

// implant takes over a room.
func (w *world) implant(uri mimi.URI) *implant {
	w.settle(uri)
	store := w.evil.Store.Client()
	im := w.newImplant(uri)
	stored, rows, err := mmr.SplitRows(must(store.Rows(w.ctx, uri)))
	w.check(err)
	var group []mls.Row
	for _, row := range rows {
		switch {
		case row.Key == "client/keys":
			w.check(wire.Unmarshal(row.Value, &im.ring))
		case !strings.HasPrefix(row.Key, "client/"):
			group = append(group, row)
		}
	}
	im.group = must(mls.LoadGroup(im.cfg, group))
	im.rules.Set(must(stored.Open(w.suite, im.group.View())))
	for _, l := range must(store.Leaves(w.ctx, uri)) {
		im.own[l.Account] = mls.LeafIndex(l.Index)
	}
	return im
}

// newImplant is one without a group.
func (w *world) newImplant(uri mimi.URI) *implant {
	im := &implant{w: w, uri: uri, groupID: identity.GroupID(uri), rules: mmr.NewRules(nil), own: map[mimi.URI]mls.LeafIndex{}}
	im.cfg = mls.Config{Policy: lenient{im.rules}, Random: w.random, Now: time.Now, PSK: im.psk}
	return im
}

// psk gives join PSKs, and for any other PSK zeros.
func (im *implant) psk(_ context.Context, id mls.PreSharedKeyID) (suite.Secret, error) {
	if generation, ok := identity.ParseJoinPSKID(id.ID); ok && !im.wrongPSK {
		if key, ok := im.ring.Key(generation); ok {
			return key.JoinPSK(im.w.suite, im.groupID)
		}
	}
	return suite.NewSecret(make([]byte, im.w.suite.Nh())), nil
}

// room is the room as everyone sees it.
func (im *implant) room() *mmr.Room { return im.rules.Room() }

// merge puts the last Commit into effect in the implant.
func (im *implant) merge() {
	result := must(im.group.Merge(im.w.ctx))
	im.rules.Set(must(im.rules.Next(&result.CommitView)))
}

// key is the signature key of an own leaf.
func (im *implant) key(account mimi.URI) suite.SignatureKey {
	key, ok := im.group.SignatureKey(im.own[account])
	if !ok {
		panic(failure{fmt.Errorf("no leaf of %s", account)})
	}
	return key
}

// tbs are the pseudonyms of an own leaf.
func (im *implant) tbs(account mimi.URI) *identity.PseudonymousCredentialTBS {
	tbs, ok := im.room().Leaf(im.own[account])
	if !ok {
		panic(failure{fmt.Errorf("no leaf of %s", account)})
	}
	return tbs
}

// credential is that of a leaf.
func (im *implant) credential(leaf mls.LeafIndex) mls.Credential {
	m, ok := im.group.View().Member(leaf)
	if !ok {
		panic(failure{fmt.Errorf("no leaf %d", leaf)})
	}
	return m.Leaf.Credential
}

// victimLeaf is a leaf of the victim's.
func (im *implant) victimLeaf() mls.LeafIndex {
	for _, i := range im.room().Leaves() {
		if tbs, _ := im.room().Leaf(i); tbs.Domain() == im.w.victim.Domain {
			return i
		}
	}
	panic(failure{fmt.Errorf("nobody of the victim's is in the room")})
}

// lenient is a policy that lets everything pass.
type lenient struct{ *mmr.Rules }

func (lenient) ValidateCredential(context.Context, mls.Credential, []byte) error { return nil }
func (lenient) SameClient(mls.Credential, mls.Credential) bool                   { return true }
func (lenient) ValidateProposal(context.Context, *mls.ProposalView) error        { return nil }
func (lenient) ValidateCommit(context.Context, *mls.CommitView) error            { return nil }
func (lenient) ApplyComponent(_ context.Context, id mls.ComponentID, old []byte, updates [][]byte) ([]byte, error) {
	next, err := room.ApplyComponent(room.ComponentID(id), old, updates)
	if err != nil {
		return updates[len(updates)-1], nil
	}
	return next, nil
}

// ca is the attacker's identity CA, as it stands at a time.
func (w *world) ca(now time.Time) *identity.CA {
	var stored struct{ seed, certificate []byte }
	b := must(w.evil.Store.Client().Secret(w.ctx, "identity-ca"))
	w.check(wire.Unmarshal(b, fields(func(c *wire.Codec) {
		wire.Opaque(c, &stored.seed)
		wire.Opaque(c, &stored.certificate)
	})))
	key := must(w.suite.ImportSignatureKey(suite.NewSecret(stored.seed)))
	return must(identity.LoadCA(identity.CAConfig{
		Suite: w.suite, Domain: w.evil.Domain, Clock: mimi.NewManualClock(now), Random: w.random,
	}, key, stored.certificate))
}

// fields is a structure made of a function.
type fields func(*wire.Codec)

// Wire implements [wire.Message].
func (f fields) Wire(c *wire.Codec) { f(c) }

// ring are provider keys of the attacker's gateway.
func (w *world) ring(name string) identity.ProviderKeyRing {
	var r identity.ProviderKeyRing
	w.check(wire.Unmarshal(must(w.evil.Store.Client().Secret(w.ctx, name)), &r))
	return r
}

// hubKey signs for the attacker as a hub.
func (w *world) hubKey() suite.SignatureKey { return must(w.evil.Node.Client().HubKey(w.suite.ID())) }

// signer is a client of one of the attacker's users, with a certificate of its CA.
func (w *world) signer(user mimi.URI) *identity.Client {
	key := must(w.suite.GenerateSignatureKey(w.random))
	device := must(mimi.NewID(w.evil.Domain, mimi.KindClient, w.random))
	cert := must(w.ca(time.Now()).Issue(user, device, key.Public()))
	return &identity.Client{Suite: w.suite, Key: key, Certificate: cert.Credential()}
}

// keys are what somebody of the attacker's has given a contact, and was given.
func (w *world) keys(account, peer mimi.URI) (ours, theirs *connection.Keys) {
	stored := must(w.evil.Store.Client().Contact(w.ctx, account, peer))
	var c connection.Contact
	_, err := wire.UnmarshalPrefix(stored.Secret, &c)
	w.check(err)
	return c.Ours, c.Theirs
}

// requestOf is the request of a person of the victim's that waits for an answer.
func (w *world) requestOf(account, asker mimi.URI) *connection.IncomingRequest {
	must(w.evil.Await(w.ctx, "a request", func(e *client.Event) bool {
		return e.Kind == client.EventAsked && e.Account == account && e.Peer == asker
	}))
	for _, r := range must(w.evil.Store.Client().Requests(w.ctx, account)) {
		if r.Peer == asker {
			return must(connection.UnmarshalIncoming(r.Secret))
		}
	}
	panic(failure{fmt.Errorf("no request of %s", asker)})
}

// A newcomer is a leaf that is about to enter, or to change.
type newcomer struct {
	id     *identity.LeafIdentity
	params mls.LeafParams
	keys   *mls.KeyPackagePrivate
}

// newcomer makes a leaf of one of the attacker's users under a user pseudonym, zero
// for a fresh one. Only who has key can open a link that was made with one.
func (w *world) newcomer(user, pseudonym mimi.URI, key *identity.ConnectionKey) *newcomer {
	return w.newcomerOf(w.signer(user), pseudonym, key)
}

func (w *world) newcomerOf(signer identity.ClientSigner, pseudonym mimi.URI, key *identity.ConnectionKey) *newcomer {
	n := &newcomer{id: must(identity.NewLeafIdentity(identity.LeafConfig{
		Suite: w.suite, Domain: w.evil.Domain, User: pseudonym, Client: signer, ConnectionKey: key, Random: w.random,
	}))}
	n.params = w.params(n.id)
	return n
}

// params are those of a leaf as everyone's.
func (w *world) params(id *identity.LeafIdentity) mls.LeafParams {
	queueKey, _ := w.ring("queue-keys").Newest()
	_, notAfter := identity.KeyPackageLifetime(time.Now())
	extensions := must(id.Extensions(queueKey, identity.QueueID{ID: make([]byte, 16), NotAfter: uint64(notAfter.Unix())}))
	return mls.LeafParams{
		Credential: must(id.Credential.Credential()), Capabilities: identity.Capabilities(), Extensions: extensions, SignatureKey: id.Key,
	}
}

// keyPackage makes the KeyPackage of a newcomer, as its params are now.
func (w *world) keyPackage(n *newcomer, change ...func(*mls.KeyPackageParams)) *mls.KeyPackage {
	notBefore, notAfter := identity.KeyPackageLifetime(time.Now())
	params := mls.KeyPackageParams{
		CipherSuite: w.suite.ID(), Leaf: n.params, NotBefore: uint64(notBefore.Unix()), NotAfter: uint64(notAfter.Unix()),
	}
	for _, f := range change {
		f(&params)
	}
	n.keys = must(mls.NewKeyPackage(w.random, params))
	return &n.keys.KeyPackage
}

// recredential gives a newcomer a credential that says something else, under the
// same link.
func (n *newcomer) recredential(change func(*identity.PseudonymousCredential)) {
	change(&n.id.Credential)
	n.params.Credential = must(n.id.Credential.Credential())
}

// implantOf is one of a room that the attacker is not in, as its hub shows it.
func (w *world) implantOf(uri mimi.URI, info *protocol.GroupInfoRatchetTreeTBE, keys ...identity.WrapperKey) *implant {
	im := w.newImplant(uri)
	im.ring = must(identity.NewKeyRing(keys...))
	im.info, im.tree = &info.GroupInfo, &info.RatchetTree.Tree
	group := must(mls.NewPublicGroup(w.ctx, im.cfg, im.info, im.tree))
	im.rules.Set(must(mmr.Open(w.suite, group.View(), im.ring.Newest().Generation, info.Table)))
	return im
}
