package keymaterial_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// An office issues upload tokens.
type office struct {
	t      testing.TB
	clock  *mimi.ManualClock
	random io.Reader
	store  *storetest.PeopleStore
	keys   keymaterial.IssuerKeyRing
	issuer *keymaterial.Issuer
}

func newOffice(t testing.TB, limit int) *office {
	t.Helper()
	o := &office{t: t, clock: mimi.NewManualClock(identitytest.Start), random: identitytest.Random("office"), store: storetest.NewPeople()}
	o.rotate()
	o.issuer = keymaterial.NewIssuer(keymaterial.IssuerConfig{
		Keys:       func(context.Context) (keymaterial.IssuerKeyRing, error) { return o.keys, nil },
		Allowances: o.store, Spent: o.store, Limit: limit, Clock: o.clock,
	})
	return o
}

func (o *office) rotate() {
	o.t.Helper()
	o.keys = must[keymaterial.IssuerKeyRing](o.t)(o.keys.Rotate(o.clock.Now(), o.random))
}

func (o *office) key() keymaterial.IssuerKey {
	key, _ := o.keys.Newest()
	return key
}

func account(name string) mimi.URI {
	return mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: name}
}

// A transcript is all that the issuer sees of an issuance.
type transcript struct{ request, response []byte }

// issue gets tokens for an account with this randomness.
func (o *office) issue(name string, n int, random io.Reader) (transcript, []keymaterial.UploadToken, error) {
	o.t.Helper()
	request, pending, err := keymaterial.RequestTokens(o.key(), n, random)
	if err != nil {
		return transcript{}, nil, err
	}
	sent := must[[]byte](o.t)(wire.Marshal(request))
	var received keymaterial.UploadTokenRequest
	if err := wire.Unmarshal(sent, &received); err != nil {
		o.t.Fatal(err)
	}
	response, err := o.issuer.Issue(o.t.Context(), account(name), &received)
	if err != nil {
		return transcript{}, nil, err
	}
	answered := must[[]byte](o.t)(wire.Marshal(response))
	var answer keymaterial.UploadTokenResponse
	if err := wire.Unmarshal(answered, &answer); err != nil {
		o.t.Fatal(err)
	}
	tokens, err := pending.Finish(&answer)
	return transcript{sent, answered}, tokens, err
}

func (o *office) redeem(tokens ...keymaterial.UploadToken) error {
	return o.issuer.Redeem(o.t.Context(), tokens)
}

func TestUploadTokens(t *testing.T) {
	o := newOffice(t, 1000)
	_, tokens, err := o.issue("bob", keymaterial.MaxTokenBatch, o.random)
	if err != nil || len(tokens) != keymaterial.MaxTokenBatch {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	if err := o.redeem(tokens[:3]...); err != nil {
		t.Fatal(err)
	}
	wantError(t, o.redeem(tokens[2]), keymaterial.ErrTokenSpent)
	wantError(t, o.redeem(tokens[3], tokens[3]), keymaterial.ErrTokenSpent)
	forged := tokens[4]
	forged.Nonce = bytes.Clone(forged.Nonce)
	forged.Nonce[0] ^= 1
	wantError(t, o.redeem(forged), keymaterial.ErrUploadToken)
	if _, _, err := o.issue("bob", keymaterial.MaxTokenBatch+1, o.random); err == nil {
		t.Error("more than a batch is issued")
	}
	if _, _, err := o.issue("bob", 0, o.random); err == nil {
		t.Error("nothing is issued")
	}
	if s := fmt.Sprintf("%v %+v %#v %x", tokens[5], tokens[5], tokens[5], tokens[5]); bytes.Contains([]byte(s), []byte(fmt.Sprintf("%x", tokens[5].Nonce))) {
		t.Errorf("a token is printed: %s", s)
	}
}

// TestTokenSpentOnce: a token is good for one of two uploads that come at the same
// time.
func TestTokenSpentOnce(t *testing.T) {
	o := newOffice(t, 1000)
	_, tokens, err := o.issue("bob", 1, o.random)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = o.redeem(tokens...) })
	}
	wg.Wait()
	spent := 0
	for _, err := range errs {
		if err == nil {
			spent++
		} else {
			wantError(t, err, keymaterial.ErrTokenSpent)
		}
	}
	if spent != 1 {
		t.Errorf("a token was spent %d times", spent)
	}
}

// TestQuota: an account is given so many tokens on a UTC day, whatever the batches
// are, and others are not concerned.
func TestQuota(t *testing.T) {
	o := newOffice(t, 70)
	for _, n := range []int{64, 6} {
		if _, _, err := o.issue("bob", n, o.random); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := o.issue("bob", 1, o.random)
	wantError(t, err, keymaterial.ErrQuota)
	if _, _, err := o.issue("ben", 64, o.random); err != nil {
		t.Error(err)
	}
	o.clock.Advance(24 * time.Hour)
	if _, _, err := o.issue("bob", 64, o.random); err != nil {
		t.Errorf("on the next day: %v", err)
	}
}

// TestTokensAreUnlinkable: what the issuer sees when it gives tokens to an account
// says nothing about the tokens. A token is a function of its nonce and of the
// issuer's key; whoever asks for it with another blind, for another account, gets
// the same one. So each token belongs to each issuance as well as to any other.
func TestTokensAreUnlinkable(t *testing.T) {
	o := newOffice(t, 1000)
	const n = 4
	// The nonces stand in front of each blind; the same nonces twice, with blinds of
	// their own.
	seen := &recorder{r: identitytest.Random("nonces")}
	first, tokens, err := o.issue("bob", n, seen)
	if err != nil {
		t.Fatal(err)
	}
	second, same, err := o.issue("ben", n, &replay{nonces: seen.nonces, blinds: identitytest.Random("other blinds")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range tokens {
		if !bytes.Equal(tokens[i].Nonce, same[i].Nonce) || !bytes.Equal(tokens[i].Output, same[i].Output) {
			t.Errorf("token %d depends on the issuance", i)
		}
	}
	for _, pair := range [][2][]byte{{first.request, second.request}, {first.response, second.response}} {
		if len(pair[0]) != len(pair[1]) {
			t.Error("transcripts have different sizes")
		}
		if k := common(pair[0][3:], pair[1][3:], 12); k >= 0 {
			t.Errorf("transcripts share octets at %d", k)
		}
	}
	// And no part of a token is in a transcript.
	for _, token := range tokens {
		spent := must[[]byte](t)(wire.Marshal(&token))
		for _, seen := range [][]byte{first.request, first.response, second.request, second.response} {
			if k := common(spent[1:], seen, 8); k >= 0 {
				t.Errorf("octets %d of a token are in a transcript", k)
			}
		}
	}
	// Control: the scan finds a token that was issued without a blind.
	leak := append(bytes.Clone(first.request), tokens[0].Nonce...)
	if common(tokens[0].Nonce, leak, 8) < 0 {
		t.Error("the scan finds nothing")
	}
}

// recorder keeps the nonces that are read.
type recorder struct {
	r      io.Reader
	nonces [][]byte
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if len(b) == 32 && n == 32 {
		r.nonces = append(r.nonces, bytes.Clone(b))
	}
	return n, err
}

// replay gives the nonces again, and other blinds.
type replay struct {
	nonces [][]byte
	blinds io.Reader
}

func (r *replay) Read(b []byte) (int, error) {
	if len(b) == 32 && len(r.nonces) > 0 {
		n := copy(b, r.nonces[0])
		r.nonces = r.nonces[1:]
		return n, nil
	}
	return r.blinds.Read(b)
}

// common returns where n octets of a are that b has too, or -1.
func common(a, b []byte, n int) int {
	for i := 0; i+n <= len(a); i++ {
		if bytes.Contains(b, a[i:i+n]) {
			return i
		}
	}
	return -1
}

// TestMarkedTokens: an issuer that uses a key of its own for an account could tell
// its tokens from others'. The client notices: the proof is for the key that
// everybody has.
func TestMarkedTokens(t *testing.T) {
	o, marking := newOffice(t, 1000), newOffice(t, 1000)
	marking.keys = must[keymaterial.IssuerKeyRing](t)(keymaterial.IssuerKeyRing{}.Rotate(o.clock.Now(), identitytest.Random("marks")))
	request, pending, err := keymaterial.RequestTokens(o.key(), 3, o.random)
	if err != nil {
		t.Fatal(err)
	}
	response := must[*keymaterial.UploadTokenResponse](t)(marking.issuer.Issue(t.Context(), account("bob"), request))
	_, err = pending.Finish(response)
	wantError(t, err, keymaterial.ErrTokenRequest)
	good := must[*keymaterial.UploadTokenResponse](t)(o.issuer.Issue(t.Context(), account("bob"), request))
	swapped := *good
	swapped.Evaluated = append(good.Evaluated[1:2:2], good.Evaluated[0], good.Evaluated[2])
	_, err = pending.Finish(&swapped)
	wantError(t, err, keymaterial.ErrTokenRequest)
	swapped = *good
	swapped.Evaluated = good.Evaluated[:2]
	_, err = pending.Finish(&swapped)
	wantError(t, err, keymaterial.ErrTokenRequest)
	if _, err := pending.Finish(good); err != nil {
		t.Error(err)
	}
}

// TestIssuerKeys over a simulated year: a key issues for 30 days, its tokens are
// taken for 30 more, and what was spent is remembered for exactly as long.
func TestIssuerKeys(t *testing.T) {
	o := newOffice(t, 1000)
	type batch struct {
		made   time.Time
		key    keymaterial.IssuerKey
		tokens []keymaterial.UploadToken
	}
	var batches []batch
	keys := map[uint8]bool{}
	for day := range 365 {
		if o.keys.Due(o.clock.Now()) {
			o.rotate()
		}
		stored := must[[]byte](t)(wire.Marshal(&o.keys))
		var loaded keymaterial.IssuerKeyRing
		if err := wire.Unmarshal(stored, &loaded); err != nil {
			t.Fatal(err)
		}
		o.keys = loaded
		_, tokens, err := o.issue("bob", 3, o.random)
		if err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		keys[tokens[0].KeyID] = true
		if err := o.redeem(tokens[0]); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		batches = append(batches, batch{o.clock.Now(), o.key(), tokens})
		for i := range batches {
			b := &batches[i]
			over := o.clock.Now().After(b.key.Redeems)
			err := o.redeem(b.tokens[0]) // spent on the first day
			switch {
			case over:
				wantError(t, err, keymaterial.ErrUploadToken)
				wantError(t, o.redeem(b.tokens[1]), keymaterial.ErrUploadToken)
			default:
				wantError(t, err, keymaterial.ErrTokenSpent)
			}
		}
		if day%40 == 20 { // a token that waits in a wallet
			if err := o.redeem(batches[max(0, day-25)].tokens[2]); err != nil {
				t.Errorf("day %d: a token of 25 days ago: %v", day, err)
			}
		}
		o.clock.Advance(24 * time.Hour)
		if err := o.store.ForgetNonces(t.Context(), o.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 14 { // one every 27 days
		t.Errorf("%d keys in a year", len(keys))
	}
	old := batches[0].key
	request, _, err := keymaterial.RequestTokens(old, 1, o.random)
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.issuer.Issue(t.Context(), account("bob"), request)
	wantError(t, err, keymaterial.ErrUploadToken)
}

// TestIssuerKeyIDs: ids are not used again while a key of that id takes tokens.
func TestIssuerKeyIDs(t *testing.T) {
	clock := mimi.NewManualClock(identitytest.Start)
	var ring keymaterial.IssuerKeyRing
	for n := range 256 {
		var err error
		if ring, err = ring.Rotate(clock.Now(), identitytest.Random("ids")); err != nil {
			t.Fatalf("key %d: %v", n, err)
		}
	}
	if _, err := ring.Rotate(clock.Now(), identitytest.Random("ids")); err == nil {
		t.Error("a 257th key")
	}
	clock.Advance(61 * 24 * time.Hour)
	if _, err := ring.Rotate(clock.Now(), identitytest.Random("ids")); err != nil {
		t.Error(err)
	}
}

func TestWallet(t *testing.T) {
	o := newOffice(t, 1000)
	var w keymaterial.Wallet
	_, old, err := o.issue("bob", 2, o.random)
	if err != nil {
		t.Fatal(err)
	}
	w.Add(o.key(), old)
	o.clock.Advance(29 * 24 * time.Hour)
	o.rotate()
	_, young, err := o.issue("bob", 2, o.random)
	if err != nil {
		t.Fatal(err)
	}
	w.Add(o.key(), young)
	var stored keymaterial.Wallet
	if err := wire.Unmarshal(must[[]byte](t)(wire.Marshal(&w)), &stored); err != nil {
		t.Fatal(err)
	}
	if _, ok := stored.Take(5, o.clock.Now()); ok || stored.Len(o.clock.Now()) != 4 {
		t.Error("five of four tokens")
	}
	if tokens, ok := stored.Take(3, o.clock.Now()); !ok || o.redeem(tokens...) != nil || stored.Len(o.clock.Now()) != 1 {
		t.Error("three of four tokens are not taken")
	}
	o.clock.Advance(32 * 24 * time.Hour) // the first key is over
	if n := w.Len(o.clock.Now()); n != 2 {
		t.Errorf("%d tokens of the newer key, want 2", n)
	}
}

func FuzzUploadTokenRequest(f *testing.F) {
	o := newOffice(f, 1000)
	sample, _, err := o.issue("bob", 2, o.random)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample.request)
	f.Add(sample.request[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var r keymaterial.UploadTokenRequest
		if err := wire.Unmarshal(b, &r); err != nil {
			t.Skip("refused")
		}
		if again := must[[]byte](t)(wire.Marshal(&r)); !bytes.Equal(again, b) {
			t.Errorf("%x is encoded again as %x", b, again)
		}
	})
}

func FuzzUploadTokenResponse(f *testing.F) {
	o := newOffice(f, 1000)
	sample, _, err := o.issue("bob", 2, o.random)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample.response)
	f.Add(sample.response[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var r keymaterial.UploadTokenResponse
		if err := wire.Unmarshal(b, &r); err != nil {
			t.Skip("refused")
		}
		if again := must[[]byte](t)(wire.Marshal(&r)); !bytes.Equal(again, b) {
			t.Errorf("%x is encoded again as %x", b, again)
		}
	})
}

func FuzzStoredTokens(f *testing.F) {
	o := newOffice(f, 1000)
	_, tokens, err := o.issue("bob", 2, o.random)
	if err != nil {
		f.Fatal(err)
	}
	var w keymaterial.Wallet
	w.Add(o.key(), tokens)
	f.Add(must[[]byte](f)(wire.Marshal(&w)), must[[]byte](f)(wire.Marshal(&o.keys)), must[[]byte](f)(wire.Marshal(
		&keymaterial.Registration{Suite: 1, UploadKey: []byte("key"), Sequence: 7, Slots: []uint32{0, 4}})))
	f.Add([]byte{1}, []byte{1}, []byte{1})
	f.Fuzz(func(t *testing.T, wallet, ring, registration []byte) {
		refused := 0
		for m, b := range map[wire.Message][]byte{new(keymaterial.Wallet): wallet, new(keymaterial.IssuerKeyRing): ring, new(keymaterial.Registration): registration} {
			if wire.Unmarshal(b, m) != nil {
				refused++
				continue
			}
			if again := must[[]byte](t)(wire.Marshal(m)); !bytes.Equal(again, b) {
				t.Errorf("%T: %x is encoded again as %x", m, b, again)
			}
		}
		if refused == 3 {
			t.Skip("refused")
		}
	})
}
