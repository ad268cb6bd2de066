package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// KeyMaterial checks the contract of [keymaterial.Store]. Every call of open
// returns an empty store.
func KeyMaterial(t *testing.T, open func(*testing.T) keymaterial.Store) {
	for name, check := range map[string]func(*testing.T, keymaterial.Store){
		"Exhausted": materialExhausted, "Complete": materialComplete, "AllOrNone": materialAllOrNone, "Order": materialOrder, "Holdings": materialHoldings,
		"LastResort": materialLastResort, "Delete": materialDelete, "Forget": materialForget, "HandedOutOnce": materialOnce,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

var (
	materialNow   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	materialToken = keymaterial.TokenHash{1}
)

// material makes a row; days is how long it is good for.
func material(set string, slot uint32, lastResort bool, days int) keymaterial.Row {
	return keymaterial.Row{
		Token: materialToken, Set: user(set), Slot: slot, Suite: suite.X25519AES128, KeyPackage: []byte(set + " kp"),
		LastResort: lastResort, NotAfter: materialNow.AddDate(0, 0, days),
	}
}

// query asks for a set of the slots 0 to n-1.
func query(n uint32) keymaterial.Query {
	var slots []uint32
	for i := range n {
		slots = append(slots, i)
	}
	return keymaterial.Query{Token: materialToken, Suites: []mls.CipherSuite{suite.X25519ChaCha20, suite.X25519AES128}, Slots: slots, Now: materialNow}
}

func wantSet(t *testing.T, got *keymaterial.Set, err error, reused uint64, rows ...keymaterial.Row) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&keymaterial.Set{Rows: rows, Reused: reused}, got); diff != "" {
		t.Errorf("unexpected set (-want +got):\n%s", diff)
	}
}

func materialExhausted(t *testing.T, s keymaterial.Store) {
	wantError(s.TakeSingle(t.Context(), query(1)))(t, keymaterial.ErrExhausted)
	wantError(s.TakeLastResort(t.Context(), query(1)))(t, keymaterial.ErrExhausted)
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("a", 0, false, 1), material("b", 0, false, -1)}))
	other := query(1)
	other.Token = keymaterial.TokenHash{2}
	wantError(s.TakeSingle(t.Context(), other))(t, keymaterial.ErrExhausted)
	other = query(1)
	other.Suites = []mls.CipherSuite{suite.P256AES128}
	wantError(s.TakeSingle(t.Context(), other))(t, keymaterial.ErrExhausted)
	wantError(s.TakeLastResort(t.Context(), query(1)))(t, keymaterial.ErrExhausted)
	set, err := s.TakeSingle(t.Context(), query(1))
	wantSet(t, set, err, 0, material("a", 0, false, 1))
	// "b" has expired, "a" is gone.
	wantError(s.TakeSingle(t.Context(), query(1)))(t, keymaterial.ErrExhausted)
}

func materialComplete(t *testing.T, s keymaterial.Store) {
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("a", 0, false, 1), material("b", 1, false, 2)}))
	wantError(s.TakeSingle(t.Context(), query(2)))(t, keymaterial.ErrExhausted)
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("b", 0, false, 2)}))
	set, err := s.TakeSingle(t.Context(), query(2))
	wantSet(t, set, err, 0, material("b", 0, false, 2), material("b", 1, false, 2))
	// The clients 0 and 2 have a set; one of them alone, or with a third, has not.
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("c", 0, true, 2), material("c", 2, true, 2)}))
	for _, slots := range [][]uint32{nil, {0}, {2}, {0, 1}, {0, 1, 2}} {
		q := query(0)
		q.Slots = slots
		wantError(s.TakeLastResort(t.Context(), q))(t, keymaterial.ErrExhausted)
	}
	q := query(0)
	q.Slots = []uint32{0, 2}
	set, err = s.TakeLastResort(t.Context(), q)
	wantSet(t, set, err, 0, material("c", 0, true, 2), material("c", 2, true, 2))
}

// wantHoldings checks what is stored under the token.
func wantHoldings(t *testing.T, s keymaterial.Store, want ...keymaterial.Holding) {
	t.Helper()
	got, err := s.Holdings(t.Context(), materialToken)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected holdings (-want +got):\n%s", diff)
	}
}

func materialHoldings(t *testing.T, s keymaterial.Store) {
	wantHoldings(t, s)
	a0, a1, b, old := material("a", 0, false, 1), material("a", 1, false, 1), material("b", 0, true, 2), material("c", 1, false, -1)
	elsewhere := material("a", 0, false, 1)
	elsewhere.Token = keymaterial.TokenHash{2}
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{a1, b, old, a0, elsewhere}))
	for range 2 {
		if _, err := s.TakeLastResort(t.Context(), query(1)); err != nil {
			t.Fatal(err)
		}
	}
	wantHoldings(t, s, keymaterial.Holding{Row: a0}, keymaterial.Holding{Row: a1}, keymaterial.Holding{Row: b, HandedOut: 2}, keymaterial.Holding{Row: old})
	do(t, s.DropSets(t.Context(), materialToken, []mimi.URI{user("a"), user("c"), user("unknown")}))
	wantHoldings(t, s, keymaterial.Holding{Row: b, HandedOut: 2})
	do(t, s.DropSets(t.Context(), materialToken, []mimi.URI{user("b")}))
	// A set of that name is a new one.
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{b}))
	wantHoldings(t, s, keymaterial.Holding{Row: b})
	q := query(1)
	q.Token = elsewhere.Token
	set, err := s.TakeSingle(t.Context(), q)
	wantSet(t, set, err, 0, elsewhere)
}

// Registrations checks the contract of [keymaterial.Registrations], and that
// DeleteToken ends a registration. Every call of open returns an empty store.
func Registrations(t *testing.T, open func(*testing.T) RegistrationStore) {
	t.Run("Put", func(t *testing.T) {
		s := open(t)
		wantError(s.Registration(t.Context(), materialToken))(t, keymaterial.ErrNoRegistration)
		first := &keymaterial.Registration{Suite: suite.X25519AES128, UploadKey: []byte("key"), Sequence: 1, Slots: []uint32{0}}
		do(t, s.PutRegistration(t.Context(), materialToken, first))
		do(t, s.PutRegistration(t.Context(), keymaterial.TokenHash{2}, first))
		next := &keymaterial.Registration{Suite: suite.P256AES128, UploadKey: []byte("other"), Sequence: 1 << 63, Slots: []uint32{0, 7}}
		do(t, s.PutRegistration(t.Context(), materialToken, next))
		get(s.Registration(t.Context(), materialToken))(t, next)
		do(t, s.DeleteToken(t.Context(), materialToken))
		wantError(s.Registration(t.Context(), materialToken))(t, keymaterial.ErrNoRegistration)
		get(s.Registration(t.Context(), keymaterial.TokenHash{2}))(t, first)
	})
}

// A RegistrationStore keeps KeyPackages with their registrations.
type RegistrationStore interface {
	keymaterial.Store
	keymaterial.Registrations
}

func materialAllOrNone(t *testing.T, s keymaterial.Store) {
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("a", 0, false, 1)}))
	refused(t, "a slot that is taken", s.PutKeyPackages(t.Context(), []keymaterial.Row{material("b", 0, false, 2), material("a", 0, false, 1)}))
	refused(t, "a set of two kinds", s.PutKeyPackages(t.Context(), []keymaterial.Row{material("b", 0, false, 2), material("a", 1, true, 1)}))
	other := material("a", 1, false, 1)
	other.Suite = suite.X25519ChaCha20
	refused(t, "a set of two suites", s.PutKeyPackages(t.Context(), []keymaterial.Row{other}))
	wantHoldings(t, s, keymaterial.Holding{Row: material("a", 0, false, 1)})
}

func materialOrder(t *testing.T, s keymaterial.Store) {
	better := material("c", 0, false, 9)
	better.Suite = suite.X25519ChaCha20
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("a", 0, false, 3), material("b", 0, false, 2), better}))
	for _, want := range []keymaterial.Row{better, material("b", 0, false, 2), material("a", 0, false, 3)} {
		set, err := s.TakeSingle(t.Context(), query(1))
		wantSet(t, set, err, 0, want)
	}
}

func materialLastResort(t *testing.T, s keymaterial.Store) {
	a, b := material("a", 0, true, 2), material("b", 0, true, 3)
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{a, b}))
	for i, want := range []keymaterial.Row{b, a, b, a} {
		set, err := s.TakeLastResort(t.Context(), query(1))
		wantSet(t, set, err, uint64(i/2), want)
	}
	wantHoldings(t, s, keymaterial.Holding{Row: a, HandedOut: 2}, keymaterial.Holding{Row: b, HandedOut: 2})
}

func materialDelete(t *testing.T, s keymaterial.Store) {
	other := material("b", 0, false, 1)
	other.Token = keymaterial.TokenHash{2}
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("a", 0, false, 1), other}))
	do(t, s.DeleteToken(t.Context(), materialToken))
	wantError(s.TakeSingle(t.Context(), query(1)))(t, keymaterial.ErrExhausted)
	q := query(1)
	q.Token = other.Token
	set, err := s.TakeSingle(t.Context(), q)
	wantSet(t, set, err, 0, other)
}

func materialForget(t *testing.T, s keymaterial.Store) {
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("a", 0, false, 1), material("b", 0, false, 2)}))
	do(t, s.ForgetKeyPackages(t.Context(), materialNow.AddDate(0, 0, 2)))
	q := query(1)
	q.Now = materialNow.AddDate(0, 0, -5)
	set, err := s.TakeSingle(t.Context(), q)
	wantSet(t, set, err, 0, material("b", 0, false, 2))
	wantError(s.TakeSingle(t.Context(), q))(t, keymaterial.ErrExhausted)
}

func materialOnce(t *testing.T, s keymaterial.Store) {
	do(t, s.PutKeyPackages(t.Context(), []keymaterial.Row{material("a", 0, false, 1)}))
	var got atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch _, err := s.TakeSingle(t.Context(), query(1)); {
			case err == nil:
				got.Add(1)
			case !errors.Is(err, keymaterial.ErrExhausted):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("one set was handed out %d times", got.Load())
	}
}

// Privates checks the contract of [keymaterial.Privates]. Every call of open
// returns an empty store.
func Privates(t *testing.T, open func(*testing.T) keymaterial.Privates) {
	private := func(n byte, days int) *keymaterial.Private {
		return &keymaterial.Private{Ref: [32]byte{n}, NotAfter: materialNow.AddDate(0, 0, days), Secret: []byte{n}}
	}
	t.Run("Put", func(t *testing.T) {
		s := open(t)
		wantError(s.Private(t.Context(), [32]byte{1}))(t, keymaterial.ErrNoPrivate)
		do(t, s.PutPrivate(t.Context(), private(1, 1)))
		do(t, s.PutPrivate(t.Context(), private(1, 2)))
		get(s.Private(t.Context(), [32]byte{1}))(t, private(1, 2))
	})
	t.Run("Delete", func(t *testing.T) {
		s := open(t)
		do(t, s.DeletePrivate(t.Context(), [32]byte{1}))
		do(t, s.PutPrivate(t.Context(), private(1, 1)))
		do(t, s.PutPrivate(t.Context(), private(2, 2)))
		do(t, s.PutPrivate(t.Context(), private(3, 3)))
		do(t, s.DeletePrivate(t.Context(), [32]byte{1}))
		do(t, s.ForgetPrivates(t.Context(), materialNow.AddDate(0, 0, 3)))
		wantError(s.Private(t.Context(), [32]byte{1}))(t, keymaterial.ErrNoPrivate)
		wantError(s.Private(t.Context(), [32]byte{2}))(t, keymaterial.ErrNoPrivate)
		get(s.Private(t.Context(), [32]byte{3}))(t, private(3, 3))
	})
}

// Nonces checks the contract of [keymaterial.Nonces]. Every call of open returns
// an empty store.
func Nonces(t *testing.T, open func(*testing.T) keymaterial.Nonces) {
	t.Run("Remember", func(t *testing.T) {
		s := open(t)
		get(s.RememberNonce(t.Context(), [32]byte{1}, precise))(t, true)
		get(s.RememberNonce(t.Context(), [32]byte{1}, precise.Add(time.Hour)))(t, false)
		do(t, s.ForgetNonces(t.Context(), kept))
		get(s.RememberNonce(t.Context(), [32]byte{1}, precise))(t, false)
		do(t, s.ForgetNonces(t.Context(), precise.Add(time.Minute)))
		get(s.RememberNonce(t.Context(), [32]byte{1}, precise))(t, true)
	})
}

// Pseudonyms checks the contract of [keymaterial.Pseudonyms]. Every call of open
// returns an empty store.
func Pseudonyms(t *testing.T, open func(*testing.T) keymaterial.Pseudonyms) {
	t.Run("Note", func(t *testing.T) {
		s := open(t)
		get(s.NotePseudonym(t.Context(), user("a"), precise))(t, 0)
		get(s.NotePseudonym(t.Context(), user("a"), precise.Add(time.Hour)))(t, 1)
		get(s.NotePseudonym(t.Context(), user("b"), precise))(t, 0)
		get(s.NotePseudonym(t.Context(), user("a"), precise))(t, 2)
		do(t, s.ForgetPseudonyms(t.Context(), precise.Add(time.Minute)))
		get(s.NotePseudonym(t.Context(), user("a"), precise))(t, 3)
		get(s.NotePseudonym(t.Context(), user("b"), precise))(t, 0)
	})
}

// Allowances checks the contract of [keymaterial.Allowances]. Every call of open
// returns an empty store.
func Allowances(t *testing.T, open func(*testing.T) keymaterial.Allowances) {
	count := func(s keymaterial.Allowances, name string, day int64, n int) error {
		return s.CountIssued(t.Context(), user(name), day, n, 10)
	}
	t.Run("CountIssued", func(t *testing.T) {
		s := open(t)
		do(t, count(s, "a", 7, 6))
		if err := count(s, "a", 7, 5); !errors.Is(err, keymaterial.ErrQuota) {
			t.Errorf("over the limit: %v", err)
		}
		do(t, count(s, "a", 7, 4)) // the refusal was not counted
		do(t, count(s, "b", 7, 10))
		if err := count(s, "a", 7, 1); !errors.Is(err, keymaterial.ErrQuota) {
			t.Errorf("over the limit: %v", err)
		}
		do(t, count(s, "a", 8, 10))
		if err := count(s, "c", 8, 11); !errors.Is(err, keymaterial.ErrQuota) {
			t.Errorf("over the limit at once: %v", err)
		}
	})
	t.Run("CountedOnce", func(t *testing.T) {
		s := open(t)
		var got atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				switch err := count(s, "a", 7, 4); {
				case err == nil:
					got.Add(1)
				case !errors.Is(err, keymaterial.ErrQuota):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got.Load() != 2 {
			t.Errorf("4 of 10 were given %d times", got.Load())
		}
	})
	t.Run("Wallet", func(t *testing.T) {
		s := open(t)
		get(s.Wallet(t.Context(), user("a")))(t, nil)
		do(t, count(s, "a", 7, 10))
		get(s.Wallet(t.Context(), user("a")))(t, nil)
		do(t, s.PutWallet(t.Context(), user("a"), []byte("one")))
		do(t, s.PutWallet(t.Context(), user("b"), []byte("other")))
		do(t, s.PutWallet(t.Context(), user("a"), []byte("two")))
		get(s.Wallet(t.Context(), user("a")))(t, []byte("two"))
		if err := count(s, "a", 7, 1); !errors.Is(err, keymaterial.ErrQuota) {
			t.Errorf("a wallet changes what was counted: %v", err)
		}
		do(t, s.DeleteAllowance(t.Context(), user("a")))
		get(s.Wallet(t.Context(), user("a")))(t, nil)
		do(t, count(s, "a", 7, 10))
		get(s.Wallet(t.Context(), user("b")))(t, []byte("other"))
	})
}
