package keymaterial_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// holdings returns what Bob's provider has stored for Alice.
func (w *world) holdings() []keymaterial.Holding {
	w.t.Helper()
	return must[[]keymaterial.Holding](w.t)(w.store.Holdings(w.t.Context(), keymaterial.HashToken(w.token)))
}

// TestUploadRefuses breaks one thing of an upload at a time; nothing is stored then,
// and no token is spent.
func TestUploadRefuses(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	rows, _ := w.newSet(false, mimi.URI{}, 0)
	w.upload(rows)
	other := must[suite.SignatureKey](t)(w.s.GenerateSignatureKey(w.b.Random))
	eve := identitytest.NewProvider(t, w.s, "e.example").Person(t, "eve", "phone")
	queueKey, _ := w.queueKeys.Newest()
	elsewhere, _, err := keymaterial.NewSet(keymaterial.SetConfig{
		Suite: w.s, Account: eve.User, Peer: w.alice.User, Key: w.key, Token: w.token, QueueKey: queueKey, Clock: w.b.Clock, Random: w.b.Random,
		Slots: []keymaterial.Slot{{Client: eve, Queue: identity.QueueID{ID: []byte("q"), NotAfter: 1 << 33}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	type upload = keymaterial.KeyMaterialUpload
	for name, test := range map[string]struct {
		change func(u *upload)
		resign suite.SignatureKey // signs after the change; the zero key: the usual one
		want   error
	}{
		"another key":        {func(*upload) {}, other, keymaterial.ErrUploadKey},
		"received before":    {func(u *upload) { u.Sequence = 1 }, suite.SignatureKey{}, keymaterial.ErrUploadOrder},
		"token of nobody":    {func(u *upload) { u.Tokens[0].Output[7] ^= 1 }, suite.SignatureKey{}, keymaterial.ErrUploadToken},
		"token of no key":    {func(u *upload) { u.Tokens[0].KeyID += 9 }, suite.SignatureKey{}, keymaterial.ErrUploadToken},
		"token spent before": {func(u *upload) { u.Tokens[0] = w.spent(t) }, suite.SignatureKey{}, keymaterial.ErrTokenSpent},
		"no token":           {func(u *upload) { u.Tokens = nil }, suite.SignatureKey{}, keymaterial.ErrUpload},
		"slot of no client":  {func(u *upload) { u.KeyPackages[0].Slot = 7 }, suite.SignatureKey{}, keymaterial.ErrUpload},
		"another pseudonym":  {func(u *upload) { u.KeyPackages[0].Set = w.adder.TBS().UserPseudonym }, suite.SignatureKey{}, keymaterial.ErrUpload},
		"not signed by its leaf": {func(u *upload) {
			u.KeyPackages[0].KeyPackage.LeafNode.Signature[9] ^= 1
		}, suite.SignatureKey{}, keymaterial.ErrUpload},
		"of another provider": {func(u *upload) {
			u.KeyPackages[0] = must[*upload](t)(keymaterial.NewUpload(w.token, u.Slots, elsewhere)).KeyPackages[0]
		}, suite.SignatureKey{}, keymaterial.ErrUpload},
		"a KeyPackage twice": {func(u *upload) {
			u.KeyPackages, u.Tokens = append(u.KeyPackages, u.KeyPackages[0]), append(u.Tokens, w.tokens(1)...)
		}, suite.SignatureKey{}, keymaterial.ErrUpload},
		"slots in disorder": {func(u *upload) { u.Slots = []uint32{1, 0} }, suite.SignatureKey{}, keymaterial.ErrUpload},
		"a slot twice":      {func(u *upload) { u.Slots = []uint32{0, 0} }, suite.SignatureKey{}, keymaterial.ErrUpload},
		"too many clients":  {func(u *upload) { u.Slots = make([]uint32, keymaterial.MaxClients+1) }, suite.SignatureKey{}, keymaterial.ErrUpload},
		"the end, with KeyPackages": {func(u *upload) {
			u.Slots = nil
		}, suite.SignatureKey{}, keymaterial.ErrUpload},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.holdings()
			rows, _ := w.newSet(false, mimi.URI{}, 0)
			u := w.signed(rows, nil)
			tokens := u.Tokens
			test.change(u)
			key := w.uploadKey
			if !test.resign.IsZero() {
				key = test.resign
			}
			err := u.Sign(w.s, key)
			if err == nil {
				err = w.provider.Upload(t.Context(), u)
			}
			wantError(t, err, test.want)
			if after := w.holdings(); len(after) != len(before) {
				t.Errorf("%d KeyPackages became %d", len(before), len(after))
			}
			if errors.Is(test.want, keymaterial.ErrUploadToken) || errors.Is(test.want, keymaterial.ErrTokenSpent) {
				return
			}
			// What was refused can be paid with the same tokens.
			again, _ := w.newSet(false, mimi.URI{}, 0)
			if err := w.provider.Upload(t.Context(), w.signed(again, func(u *upload) { u.Tokens = tokens[:1] })); err != nil {
				t.Errorf("a token was spent by an upload that was refused: %v", err)
			}
		})
	}
	t.Run("changed after it was signed", func(t *testing.T) {
		rows, _ := w.newSet(false, mimi.URI{}, 0)
		u := w.signed(rows, nil)
		u.Drop = append(u.Drop, rows[0].Set)
		wantError(t, w.provider.Upload(t.Context(), u), keymaterial.ErrUploadSignature)
	})
	t.Run("made long ago", func(t *testing.T) {
		rows, _ := w.newSet(false, mimi.URI{}, 0)
		w.b.Clock.Advance(48 * time.Hour)
		wantError(t, w.provider.Upload(t.Context(), w.signed(rows, nil)), keymaterial.ErrLifetime)
	})
	t.Run("over the limit", func(t *testing.T) {
		for len(w.holdings()) < keymaterial.MaxStored {
			var rows []keymaterial.Row
			for range min(keymaterial.MaxUpload, keymaterial.MaxStored-len(w.holdings())) {
				set, _ := w.newSet(false, mimi.URI{}, 0)
				rows = append(rows, set...)
			}
			w.upload(rows)
		}
		rows, _ := w.newSet(false, mimi.URI{}, 0)
		wantError(t, w.provider.Upload(t.Context(), w.signed(rows, nil)), keymaterial.ErrUploadLimit)
		// Room is made by what the same upload drops.
		drop := w.holdings()[0].Set
		if err := w.provider.Upload(t.Context(), w.signed(rows, func(u *upload) { u.Drop = []mimi.URI{drop} })); err != nil {
			t.Error(err)
		}
	})
}

// spent returns a token that was spent.
func (w *world) spent(t *testing.T) keymaterial.UploadToken {
	tokens := w.tokens(1)
	if err := w.issuer.Redeem(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	return tokens[0]
}

// TestUploadKeyEnds: only the key that was registered ends a token; then everything
// under it is gone, and a later upload begins anew.
func TestUploadKeyEnds(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	rows, _ := w.newSet(true, mimi.URI{}, 0)
	w.upload(rows)
	end := func(key suite.SignatureKey) error {
		w.sequence++
		u := &keymaterial.KeyMaterialUpload{Token: keymaterial.HashToken(w.token), Sequence: w.sequence}
		if err := u.Sign(w.s, key); err != nil {
			t.Fatal(err)
		}
		return w.provider.Upload(t.Context(), u)
	}
	other := must[suite.SignatureKey](t)(w.s.GenerateSignatureKey(w.b.Random))
	wantError(t, end(other), keymaterial.ErrUploadKey)
	if len(w.holdings()) != 1 {
		t.Fatal("another key has ended a token")
	}
	if err := end(w.uploadKey); err != nil {
		t.Fatal(err)
	}
	if len(w.holdings()) != 0 {
		t.Error("KeyPackages are left")
	}
	if err := w.fetch().Err(); err == nil {
		t.Error("a token that has ended is answered with KeyPackages")
	}
	w.uploadKey = other
	w.upload(rows)
	if err := w.fetch().Err(); err != nil {
		t.Error(err)
	}
}

// TestHandedOutFor14Days: what is stored is handed out while the certificate in it
// is certainly valid, and not longer.
func TestHandedOutFor14Days(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	rows, _ := w.newSet(true, mimi.URI{}, 0)
	w.upload(rows)
	days := 0
	for ; days < 100; days++ {
		set, _, err := w.check(w.fetch())
		if err != nil {
			break
		}
		if !set[0].LastResort {
			t.Fatal("not of last resort")
		}
		w.a.Clock.Advance(24 * time.Hour)
		w.b.Clock.Advance(24 * time.Hour)
	}
	if days != 15 { // the day on which it was made, and 14 more
		t.Errorf("a KeyPackage was handed out on %d days", days)
	}
}

// TestNoFingerprint: KeyPackages of different people differ in random values and in
// nothing else, whatever their addresses are.
func TestNoFingerprint(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	w := newWorld(t, s)
	shape := func(name, device string, lastResort bool) (*mls.KeyPackage, []byte) {
		person := w.b.Person(t, name, device)
		queueKey, _ := w.queueKeys.Newest()
		rows, _, err := keymaterial.NewSet(keymaterial.SetConfig{
			Suite: s, Account: person.User, Peer: w.alice.User, Key: w.key, Token: w.token, QueueKey: queueKey, LastResort: lastResort,
			Clock: w.b.Clock, Random: w.b.Random, Slots: []keymaterial.Slot{{Client: person, Queue: identity.QueueID{ID: []byte(name)[:1], NotAfter: 1 << 33}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		kp := new(mls.KeyPackage)
		if err := wire.Unmarshal(rows[0].KeyPackage, kp); err != nil {
			t.Fatal(err)
		}
		return kp, rows[0].KeyPackage
	}
	for _, lastResort := range []bool{false, true} {
		short, shortBytes := shape("b", "d", lastResort)
		w.b.Clock.Advance(5 * time.Hour) // on the same day
		long, longBytes := shape(string(bytes.Repeat([]byte("x"), 128)), string(bytes.Repeat([]byte("y"), 128)), lastResort)
		w.b.Clock.Advance(-5 * time.Hour)
		if len(shortBytes) != len(longBytes) {
			t.Errorf("KeyPackages have %d and %d octets", len(shortBytes), len(longBytes))
		}
		a, b := short.LeafNode, long.LeafNode
		if a.NotBefore != b.NotBefore || a.NotAfter != b.NotAfter || a.NotBefore%86400 != 0 || a.NotAfter-a.NotBefore != 90*86400 {
			t.Errorf("lifetimes are %d to %d and %d to %d", a.NotBefore, a.NotAfter, b.NotBefore, b.NotAfter)
		}
		// All but random values, by setting those to one of them.
		for _, n := range []*mls.LeafNode{&a, &b} {
			n.Credential, n.SignatureKey, n.EncryptionKey, n.Signature = mls.Credential{}, nil, nil, nil
			cred := map[*mls.LeafNode]*mls.KeyPackage{&a: short, &b: long}[n]
			tbs := must[*identity.PseudonymousCredential](t)(identity.ParseCredential(s, cred.LeafNode.Credential, cred.LeafNode.SignatureKey))
			ref := must[*identity.QueueReference](t)(identity.QueueFrom(n.Extensions, &tbs.PseudonymousCredentialTBS))
			clear(ref.Sealed.KEMOutput)
			clear(ref.Sealed.Ciphertext)
			n.Extensions = must[mls.Extensions](t)(identity.LeafExtensions(ref))
			if len(tbs.UserPseudonym.String()) != len(tbs.ClientPseudonym.String()) {
				t.Error("pseudonyms of different lengths")
			}
		}
		one := must[[]byte](t)(wire.Marshal(&mls.KeyPackage{Version: short.Version, CipherSuite: short.CipherSuite, LeafNode: a, Extensions: short.Extensions}))
		two := must[[]byte](t)(wire.Marshal(&mls.KeyPackage{Version: long.Version, CipherSuite: long.CipherSuite, LeafNode: b, Extensions: long.Extensions}))
		if !bytes.Equal(one, two) {
			t.Errorf("KeyPackages differ:\n%x\n%x", one, two)
		}
	}
}

// TestUploadEncoding: an upload has one encoding, which decodes to it.
func TestUploadEncoding(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	w.slots = []uint32{0, 3}
	rows, _ := w.newSet(true, mimi.URI{}, 0, 3)
	u := w.signed(rows, func(u *keymaterial.KeyMaterialUpload) { u.Drop = []mimi.URI{rows[0].Set} })
	b := must[[]byte](t)(wire.Marshal(u))
	var again keymaterial.KeyMaterialUpload
	if err := wire.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Slots, u.Slots) || len(again.KeyPackages) != 2 || len(again.Tokens) != 2 || len(again.Drop) != 1 {
		t.Errorf("decoded as %+v", again)
	}
	if err := w.provider.Upload(t.Context(), &again); err != nil {
		t.Error(err)
	}
	for n := range b {
		if err := wire.Unmarshal(b[:n], new(keymaterial.KeyMaterialUpload)); err == nil {
			t.Fatalf("%d of %d octets are taken for an upload", n, len(b))
		}
	}
	version := slices.Clone(b)
	version[1] = 2
	wantError(t, wire.Unmarshal(version, new(keymaterial.KeyMaterialUpload)), keymaterial.ErrUpload)
}

func FuzzKeyMaterialUpload(f *testing.F) {
	w := newWorld(f, identitytest.Suite(f, suite.X25519AES128))
	rows, _ := w.newSet(true, mimi.URI{}, 0)
	b := must[[]byte](f)(wire.Marshal(w.signed(rows, nil)))
	f.Add(b)
	f.Add(b[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var u keymaterial.KeyMaterialUpload
		if err := wire.Unmarshal(b, &u); err != nil {
			t.Skip("refused")
		}
		if again := must[[]byte](t)(wire.Marshal(&u)); !bytes.Equal(again, b) {
			t.Errorf("%x is encoded again as %x", b, again)
		}
	})
}
