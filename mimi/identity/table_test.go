package identity_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func ptr[T any](v T) *T { return &v }

func is(err, want error) bool { return errors.Is(err, want) }

func unmarshal(b []byte, m wire.Message) error { return wire.Unmarshal(b, m) }

// TestTableHistory: whatever a history of commits, the table has one entry per
// leaf, ascending, and the hub's and the members' agree with a plain map.
func TestTableHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := &identity.IdentityLinkTable{GroupID: []byte("g"), Entries: []identity.IdentityLinkEntry{{Leaf: 0, Key: wrapped(0)}}}
		model := map[mls.LeafIndex]identity.Generation{0: 0}
		for epoch := uint64(1); epoch <= uint64(rapid.IntRange(1, 30).Draw(t, "commits")); epoch++ {
			before, err := wire.Marshal(table)
			if err != nil {
				t.Fatal(err)
			}
			change := identity.TableChange{Epoch: epoch}
			g := identity.Generation(epoch)
			for leaf := range model {
				if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
					change.Removed = append(change.Removed, leaf)
				}
			}
			for _, leaf := range change.Removed {
				delete(model, leaf)
			}
			// The leftmost blank leaves are filled, those just removed among them.
			for leaf, adds := mls.LeafIndex(0), rapid.IntRange(0, 3).Draw(t, "adds"); adds > 0; leaf++ {
				if _, ok := model[leaf]; !ok {
					change.Added = append(change.Added, identity.IdentityLinkEntry{Leaf: leaf, Key: wrapped(g)})
					model[leaf] = g
					adds--
				}
			}
			slices.Reverse(change.Added) // the order does not matter
			next, err := table.Apply(change)
			if err != nil {
				t.Fatal(err)
			}
			if after, _ := wire.Marshal(table); !slices.Equal(before, after) {
				t.Fatal("Apply changed the table before")
			}
			var leaves []mls.LeafIndex
			for leaf, g := range model {
				leaves = append(leaves, leaf)
				if key, ok := next.Key(leaf); !ok || key.Generation != g {
					t.Fatalf("leaf %d has %+v", leaf, key)
				}
			}
			slices.Sort(leaves)
			if err := next.CheckLeaves([]byte("g"), epoch, leaves); err != nil {
				t.Fatal(err)
			}
			table = next
		}
	})
}

func TestTableRefuses(t *testing.T) {
	table := &identity.IdentityLinkTable{GroupID: []byte("g"), Epoch: 4, Entries: []identity.IdentityLinkEntry{{Leaf: 1, Key: wrapped(0)}, {Leaf: 3}}}
	type change = identity.TableChange
	for name, ch := range map[string]change{
		"an epoch later":      {Epoch: 6},
		"the same epoch":      {Epoch: 4},
		"unknown leaf":        {Epoch: 5, Removed: []mls.LeafIndex{2}},
		"removed twice":       {Epoch: 5, Removed: []mls.LeafIndex{1, 1}},
		"taken leaf":          {Epoch: 5, Added: []identity.IdentityLinkEntry{{Leaf: 3}}},
		"renewed and unknown": {Epoch: 5, Renewed: &identity.IdentityLinkEntry{Leaf: 2}},
		"renewed and removed": {Epoch: 5, Removed: []mls.LeafIndex{1}, Renewed: &identity.IdentityLinkEntry{Leaf: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := table.Apply(ch)
			wantError(t, err, identity.ErrTable)
		})
	}
	next := must[*identity.IdentityLinkTable](t)(table.Apply(change{Epoch: 5, Renewed: &identity.IdentityLinkEntry{Leaf: 3, Key: wrapped(2)}}))
	if !slices.Equal(next.Generations(), []identity.Generation{0, 2}) {
		t.Errorf("generations are %v", next.Generations())
	}
	leaves := []mls.LeafIndex{1, 3}
	if err := table.CheckLeaves([]byte("g"), 4, leaves); err != nil {
		t.Error(err)
	}
	wantError(t, table.CheckLeaves([]byte("h"), 4, leaves), identity.ErrTable)
	wantError(t, table.CheckLeaves([]byte("g"), 5, leaves), identity.ErrTable)
	wantError(t, table.CheckLeaves([]byte("g"), 4, leaves[:1]), identity.ErrTable)
	wantError(t, table.CheckLeaves([]byte("g"), 4, []mls.LeafIndex{1, 2}), identity.ErrTable)
	_, err := wire.Marshal(&identity.IdentityLinkTable{Entries: []identity.IdentityLinkEntry{{Leaf: 3}, {Leaf: 1}}})
	wantError(t, err, identity.ErrTable)
}

func TestLinkState(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		ring := ringOf(t, 0, 6)
		table := &identity.IdentityLinkTable{GroupID: []byte("g"), Epoch: 4, Entries: []identity.IdentityLinkEntry{{Leaf: 1, Key: wrapped(0)}}}
		leaves := []mls.LeafIndex{1}
		state := must[*identity.IdentityLinkState](t)(identity.NewLinkState(s, table, ring.Newest()))
		public := mls.Extensions{must[mls.Extension](t)(must[mls.AppDataDictionary](t)(state.PublicComponents()).Extension())}
		got := must[*identity.IdentityLinkState](t)(identity.LinkStateFrom(public))
		if err := got.CheckTable(s, table); err != nil {
			t.Error(err)
		}
		if err := got.CheckKey(s, table.GroupID, ring.Newest()); err != nil {
			t.Error(err)
		}
		old := *table
		old.Epoch = 3
		wantError(t, got.CheckTable(s, &old), identity.ErrLinkState)
		wantError(t, got.CheckKey(s, table.GroupID, wrapperKey(0)), identity.ErrLinkState)
		wantError(t, got.CheckKey(s, []byte("h"), ring.Newest()), identity.ErrLinkState)
		other := ring.Newest()
		other.Key = wrapperKey(9).Key
		wantError(t, got.CheckKey(s, table.GroupID, other), identity.ErrLinkState)
		_, err := identity.LinkStateFrom(nil)
		wantError(t, err, identity.ErrLinkState)

		welcome := must[identity.WelcomeComponents](t)(identity.WelcomeKeys{Keys: ring.Keys(), Table: table}.ForWelcome(s)).Dictionary()
		inside := mls.Extensions{must[mls.Extension](t)(welcome.Extension())}
		_, err = identity.LinkStateFrom(inside)
		wantError(t, err, identity.ErrLeakedKeys)
		keys := must[*identity.WelcomeKeys](t)(identity.KeysFromWelcome(s, inside, table.GroupID, 4, leaves))
		if len(keys.Keys) != 2 || !keys.Keys[1].Key.Equal(ring.Newest().Key) {
			t.Errorf("%d keys in the Welcome", len(keys.Keys))
		}
		_, err = identity.KeysFromWelcome(s, public, table.GroupID, 4, leaves)
		wantError(t, err, identity.ErrKeys)
		_, err = identity.KeysFromWelcome(s, inside, table.GroupID, 5, leaves)
		wantError(t, err, identity.ErrTable)
		_, err = identity.KeysFromWelcome(s, inside, table.GroupID, 4, []mls.LeafIndex{1, 2})
		wantError(t, err, identity.ErrTable)
		fewer := must[identity.WelcomeComponents](t)(identity.WelcomeKeys{Keys: ring.Keys()[:1], Table: table}.ForWelcome(s)).Dictionary()
		swapped, _ := fewer.Get(identity.ComponentWrapperKeys)
		_, err = identity.KeysFromWelcome(s, mls.Extensions{must[mls.Extension](t)(welcome.With(identity.ComponentWrapperKeys, swapped).Extension())}, table.GroupID, 4, leaves)
		wantError(t, err, identity.ErrLinkState)
		oldKeys := must[identity.WelcomeComponents](t)(identity.WelcomeKeys{Keys: ring.Keys(), Table: &identity.IdentityLinkTable{
			GroupID: table.GroupID, Epoch: 4, Entries: []identity.IdentityLinkEntry{{Leaf: 1, Key: wrapped(6)}},
		}}.ForWelcome(s)).Dictionary()
		swapped, _ = oldKeys.Get(identity.ComponentWrapperKeys)
		_, err = identity.KeysFromWelcome(s, mls.Extensions{must[mls.Extension](t)(welcome.With(identity.ComponentWrapperKeys, swapped).Extension())}, table.GroupID, 4, leaves)
		wantError(t, err, identity.ErrLinkState)
	})
}

func TestRoster(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	bob, eve := p.Person(t, "bob", "phone"), p.Person(t, "eve", "phone")
	first, eves := bob.Leaf(t, mimi.URI{}, nil), eve.Leaf(t, mimi.URI{}, nil)
	second := bob.Leaf(t, first.TBS().UserPseudonym, nil)
	thief := eve.Leaf(t, first.TBS().UserPseudonym, nil)
	group := []byte("g")
	roster := must[identity.Roster](t)(identity.ParseRoster(map[mls.LeafIndex]*identity.PseudonymousCredential{2: &first.Credential, 5: &eves.Credential}))
	verify := func(proof *identity.SiblingProof, sibling, newcomer *identity.PseudonymousCredentialTBS) error {
		return proof.Verify(s, group, sibling, newcomer)
	}
	proof := func(leaf mls.LeafIndex, by *identity.LeafIdentity, of *identity.LeafIdentity) *identity.SiblingProof {
		return must[*identity.SiblingProof](t)(identity.NewSiblingProof(s, group, leaf, by.Key, of.TBS()))
	}
	at := func(i mls.LeafIndex) *mls.LeafIndex { return &i }
	for name, test := range map[string]struct {
		leaf *identity.LeafIdentity
		how  identity.Entry
		want error
	}{
		"first leaf, added":                  {p.Person(t, "ann", "x").Leaf(t, mimi.URI{}, nil), identity.Entry{Committer: at(5)}, nil},
		"first leaf, joining":                {p.Person(t, "ann", "y").Leaf(t, mimi.URI{}, nil), identity.Entry{}, nil},
		"the same client twice":              {first, identity.Entry{Committer: at(2)}, identity.ErrDuplicatePseudonym},
		"second leaf, added by the first":    {second, identity.Entry{Committer: at(2)}, nil},
		"second leaf, added by another":      {thief, identity.Entry{Committer: at(5)}, identity.ErrSibling},
		"second leaf, joining unvouched":     {thief, identity.Entry{}, identity.ErrSibling},
		"second leaf, vouched for":           {second, identity.Entry{Proof: proof(2, first, second)}, nil},
		"vouched for by another user":        {thief, identity.Entry{Proof: proof(5, eves, thief)}, identity.ErrSibling},
		"vouched for in another's name":      {thief, identity.Entry{Proof: proof(2, eves, thief)}, identity.ErrSibling},
		"another one was vouched for":        {thief, identity.Entry{Proof: proof(2, first, second)}, identity.ErrSibling},
		"vouched for by a leaf not there":    {second, identity.Entry{Proof: proof(3, first, second)}, identity.ErrSibling},
		"resync":                             {second, identity.Entry{Replaces: at(2)}, nil},
		"resync of somebody else's leaf":     {second, identity.Entry{Replaces: at(5)}, identity.ErrSibling},
		"resync under another pseudonym":     {p.Person(t, "bob", "z").Leaf(t, mimi.URI{}, nil), identity.Entry{Replaces: at(2)}, identity.ErrSibling},
		"resync with the old client's leaf":  {first, identity.Entry{Replaces: at(2)}, identity.ErrDuplicatePseudonym},
		"a proof where there is a committer": {second, identity.Entry{Committer: at(2), Proof: proof(2, first, second)}, identity.ErrSibling},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, roster.CheckNew(test.leaf.TBS(), test.how, verify), test.want) })
	}
	_, err := identity.ParseRoster(map[mls.LeafIndex]*identity.PseudonymousCredential{1: &first.Credential, 2: &first.Credential})
	wantError(t, err, identity.ErrDuplicatePseudonym)

	// Links that contradict each other.
	open := func(leaf *identity.LeafIdentity) *identity.OpenedLink {
		return must[*identity.OpenedLink](t)(identity.OpenLink(s, &leaf.Credential, leaf.LinkKey, p.Authority, identity.LeafInTree(p.Clock.Now())))
	}
	links := map[mls.LeafIndex]*identity.OpenedLink{0: open(first), 1: open(eves), 2: open(second)}
	if got := identity.Contradictions(links); len(got) != 0 {
		t.Errorf("contradictions: %v", got)
	}
	links[3], links[4] = open(thief), open(bob.Leaf(t, mimi.URI{}, nil))
	got := identity.Contradictions(links)
	if len(got) != 2 || got[0].Leaf != 3 || !is(got[0].Err, identity.ErrTwoUsers) || got[1].Leaf != 4 || !is(got[1].Err, identity.ErrTwoPseudonyms) {
		t.Errorf("contradictions: %v", got)
	}
}

func TestQueue(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		p := identitytest.NewProvider(t, s, "b.example")
		bob := p.Person(t, "bob", "phone")
		leaf, other := bob.Leaf(t, mimi.URI{}, nil), bob.Leaf(t, mimi.URI{}, nil)
		now, day := p.Clock.Now(), 24*time.Hour
		keys := must[identity.ProviderKeyRing](t)(identity.ProviderKeyRing{}.Rotate(s, now, now.Add(30*day), 90*day, p.Random))
		key, _ := keys.Newest()
		queue := identity.QueueID{ID: []byte("queue 7"), NotAfter: uint64(now.Add(90 * day).Unix())}
		extensions := must[mls.Extensions](t)(leaf.Extensions(key, queue))
		ref := must[*identity.QueueReference](t)(identity.QueueFrom(extensions, leaf.TBS()))
		if got := must[*identity.QueueID](t)(keys.OpenQueue(leaf.TBS(), ref, now)); string(got.ID) != "queue 7" {
			t.Errorf("queue is %q", got.ID)
		}
		// Bound to the credential, it cannot be copied into another leaf (T11).
		_, err := keys.OpenQueue(other.TBS(), ref, now)
		wantError(t, err, identity.ErrQueue)
		_, err = keys.OpenQueue(leaf.TBS(), ref, now.Add(90*day+time.Second))
		wantError(t, err, identity.ErrValidity)
		again := must[*identity.QueueReference](t)(key.SealQueue(leaf.TBS(), queue))
		if slices.Equal(again.Sealed.Ciphertext, ref.Sealed.Ciphertext) {
			t.Error("a reference is the same at every update")
		}
		elsewhere := *ref
		elsewhere.Domain = "c.example"
		_, err = keys.OpenQueue(leaf.TBS(), &elsewhere, now)
		wantError(t, err, identity.ErrDomain)
		_, err = identity.QueueFrom(must[mls.Extensions](t)(identity.LeafExtensions(&elsewhere)), leaf.TBS())
		wantError(t, err, identity.ErrDomain)
		_, err = identity.QueueFrom(nil, leaf.TBS())
		wantError(t, err, identity.ErrQueue)
		_, err = key.SealQueue(leaf.TBS(), identity.QueueID{ID: make([]byte, identity.MaxQueueID+1)})
		wantError(t, err, identity.ErrQueue)

		// Old keys open for 30 days past the last not_after.
		rotated := must[identity.ProviderKeyRing](t)(keys.Rotate(s, now.Add(30*day), now.Add(60*day), 90*day, p.Random))
		next, _ := rotated.Newest()
		if next.ID == key.ID {
			t.Error("a key id is used twice")
		}
		must[*identity.QueueID](t)(rotated.OpenQueue(leaf.TBS(), ref, now))
		kept := must[identity.ProviderKeyRing](t)(rotated.Rotate(s, now.Add(150*day), now.Add(180*day), 90*day, p.Random))
		must[*identity.QueueID](t)(kept.OpenQueue(leaf.TBS(), ref, now))
		dropped := must[identity.ProviderKeyRing](t)(kept.Rotate(s, now.Add(150*day+time.Second), now.Add(180*day), 90*day, p.Random))
		_, err = dropped.OpenQueue(leaf.TBS(), ref, now)
		wantError(t, err, identity.ErrProviderKey)

		var stored identity.ProviderKeyRing
		decode(t, encode(t, &rotated), &stored)
		must[*identity.QueueID](t)(stored.OpenQueue(leaf.TBS(), ref, now))
	})
}

// TestProviderKeyIDs: ids go round, and are never used while their key is.
func TestProviderKeyIDs(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	now, random := identitytest.Start, identitytest.Random("keys")
	var ring identity.ProviderKeyRing
	for range 256 {
		ring = must[identity.ProviderKeyRing](t)(ring.Rotate(s, now, now.Add(time.Hour), 0, random))
	}
	if _, err := ring.Rotate(s, now, now.Add(time.Hour), 0, random); err == nil {
		t.Error("a 257th key has an id")
	}
	ring = must[identity.ProviderKeyRing](t)(ring.Rotate(s, now.Add(1000*time.Hour), now.Add(1001*time.Hour), 0, random))
	if key, _ := ring.Newest(); key.ID == 0 {
		// The last id was 0 (they start at 1); the next one is 1.
		t.Errorf("key id is %d", key.ID)
	}
}

func TestPinner(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	clock := mimi.NewManualClock(identitytest.Start)
	authority := func(seed string) *identity.Authority {
		ca := must[*identity.CA](t)(identity.NewCA(identity.CAConfig{Suite: s, Domain: "b.example", Clock: clock, Random: identitytest.Random(seed)}))
		return must[*identity.Authority](t)(identity.ParseAuthority("b.example", ca.PEM()))
	}
	one, two, three := authority("one"), authority("two"), authority("three")
	store := storetest.NewPeople()
	var alerts []identity.PinChange
	p := identity.NewPinner(identity.PinnerConfig{
		Store: store, Clock: clock, Log: slog.New(slog.DiscardHandler),
		Alert: func(_ context.Context, c identity.PinChange) error {
			alerts = append(alerts, c)
			return nil
		},
	})
	ctx := t.Context()
	inForce := func(want *identity.Authority) {
		t.Helper()
		if got := must[*identity.Authority](t)(p.Authority(ctx, "b.example")); got.Fingerprint() != want.Fingerprint() {
			t.Error("another identity CA is in force")
		}
	}
	observe := func(a *identity.Authority) error {
		_, err := p.Observe(ctx, "b.example", a.PEM())
		return err
	}

	_, err := p.Authority(ctx, "b.example")
	wantError(t, err, identity.ErrNoPin)
	_, err = p.Observe(ctx, "b.example", []byte("nothing"))
	wantError(t, err, identity.ErrCACertificate)
	for range 2 {
		wantError(t, observe(one), nil)
		inForce(one)
	}
	for range 3 {
		wantError(t, observe(two), identity.ErrPinChanged)
		inForce(one)
	}
	if len(alerts) != 1 || alerts[0].Pinned != one.Fingerprint() || alerts[0].Candidate != two.Fingerprint() {
		t.Fatalf("alerts: %+v", alerts)
	}
	wantError(t, observe(three), identity.ErrPinChanged)
	if len(alerts) != 2 {
		t.Errorf("%d alerts for two candidates", len(alerts))
	}
	wantError(t, p.Accept(ctx, "b.example", two.Fingerprint()), identity.ErrNoPin)
	inForce(one)
	wantError(t, p.Accept(ctx, "b.example", three.Fingerprint()), nil)
	inForce(three)
	wantError(t, observe(three), nil)
	wantError(t, p.Accept(ctx, "b.example", three.Fingerprint()), identity.ErrNoPin)
	// A candidate that goes away again is no change any more.
	wantError(t, observe(one), identity.ErrPinChanged)
	wantError(t, observe(three), nil)
	if changed := must[[]identity.Pin](t)(store.Changed(ctx)); len(changed) != 0 {
		t.Errorf("changed pins: %+v", changed)
	}
}
