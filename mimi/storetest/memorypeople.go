package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A PeopleStore keeps in memory what packages identity, connection and
// keymaterial must know after a restart.
type PeopleStore struct {
	// Faults make it fail.
	Faults *Faults

	m *memory[peopleState]
}

var (
	_ identity.PinStore         = (*PeopleStore)(nil)
	_ connection.Packages       = (*PeopleStore)(nil)
	_ connection.Replays        = (*PeopleStore)(nil)
	_ keymaterial.Store         = (*PeopleStore)(nil)
	_ keymaterial.Registrations = (*PeopleStore)(nil)
	_ keymaterial.Privates      = (*PeopleStore)(nil)
	_ keymaterial.Nonces        = (*PeopleStore)(nil)
	_ keymaterial.Pseudonyms    = (*PeopleStore)(nil)
	_ keymaterial.Allowances    = (*PeopleStore)(nil)
)

// NewPeople returns an empty store.
func NewPeople() *PeopleStore {
	faults := &Faults{}
	return &PeopleStore{faults, newMemory(faults, (*peopleState).disown)}
}

type peopleState struct {
	pins       table[string, identity.Pin]
	packages   table[connection.Ref, packageRow]
	replays    table[connection.Ref, time.Time]
	material   table[materialKey, keymaterial.Row]
	reused     table[setKey, uint64]
	registered table[keymaterial.TokenHash, keymaterial.Registration]
	privates   table[[32]byte, keymaterial.Private]
	nonces     table[[32]byte, time.Time]
	pseudonyms table[mimi.URI, pseudonymRow]
	allowances table[mimi.URI, allowanceRow]
}

type (
	packageRow struct {
		connection.StoredPackage
		handedOut bool
	}
	setKey struct {
		token keymaterial.TokenHash
		set   mimi.URI
	}
	materialKey struct {
		setKey
		slot uint32
	}
	allowanceRow struct {
		day    int64
		issued int
		wallet []byte
	}
	pseudonymRow struct {
		count uint64
		until time.Time
	}
)

func (s *peopleState) disown() {
	s.pins.disown()
	s.packages.disown()
	s.replays.disown()
	s.material.disown()
	s.reused.disown()
	s.registered.disown()
	s.privates.disown()
	s.nonces.disown()
	s.pseudonyms.disown()
	s.allowances.disown()
}

// Atomically runs f in a transaction of the store; see client.Store.
func (p *PeopleStore) Atomically(ctx context.Context, f func(ctx context.Context) error) error {
	return p.m.atomically(ctx, f)
}

// seconds is what a store keeps of a time that is given to the second.
func seconds(t time.Time) time.Time { return time.Unix(t.Unix(), 0).UTC() }

func clonePin(p identity.Pin) identity.Pin {
	p.PEM, p.Candidate = bytes.Clone(p.PEM), bytes.Clone(p.Candidate)
	if p.Pinned = milliseconds(p.Pinned); !p.Seen.IsZero() {
		p.Seen = milliseconds(p.Seen)
	}
	return p
}

// Pin implements [identity.PinStore].
func (p *PeopleStore) Pin(ctx context.Context, domain string) (pin identity.Pin, err error) {
	err = p.m.read(ctx, func(s *peopleState) error {
		row, ok := s.pins.get(domain)
		if !ok {
			return identity.ErrNoPin
		}
		pin = clonePin(row)
		return nil
	})
	return pin, err
}

// PutPin implements [identity.PinStore].
func (p *PeopleStore) PutPin(ctx context.Context, pin identity.Pin) error {
	return p.m.write(ctx, func(s *peopleState) error {
		if old, _ := s.pins.get(pin.Domain); old.Version+1 != pin.Version {
			return identity.ErrPinConflict
		}
		s.pins.put(pin.Domain, clonePin(pin))
		return nil
	})
}

// Changed implements [identity.PinStore].
func (p *PeopleStore) Changed(ctx context.Context) (pins []identity.Pin, err error) {
	err = p.m.read(ctx, func(s *peopleState) error {
		changed := func(pin identity.Pin) bool { return len(pin.Candidate) > 0 }
		for _, pin := range s.pins.list(changed, func(a, b identity.Pin) int { return cmp.Compare(a.Domain, b.Domain) }, clonePin) {
			pins = append(pins, *pin)
		}
		return nil
	})
	return pins, err
}

func clonePackage(p connection.StoredPackage) connection.StoredPackage {
	p.NotAfter = seconds(p.NotAfter)
	p.Package, p.Secret = bytes.Clone(p.Package), bytes.Clone(p.Secret)
	return p
}

// PutPackage implements [connection.Packages].
func (p *PeopleStore) PutPackage(ctx context.Context, pkg *connection.StoredPackage) error {
	return p.m.write(ctx, func(s *peopleState) error {
		if _, ok := s.packages.get(pkg.Ref); ok {
			return errors.New("storetest: the package is already there")
		}
		s.packages.put(pkg.Ref, packageRow{StoredPackage: clonePackage(*pkg)})
		return nil
	})
}

// available returns the packages that can be handed out, the one that ends first
// in front.
func (s *peopleState) available(user mimi.URI, suite mls.CipherSuite, now time.Time, lastResort bool) []*packageRow {
	return s.packages.list(func(r packageRow) bool {
		return r.User == user && r.Suite == suite && !now.After(r.NotAfter) && r.LastResort == lastResort &&
			(lastResort || !r.Used && !r.handedOut)
	}, func(a, b packageRow) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), bytes.Compare(a.Ref[:], b.Ref[:]))
	}, func(r packageRow) packageRow {
		r.StoredPackage = clonePackage(r.StoredPackage)
		return r
	})
}

// HandOut implements [connection.Packages].
func (p *PeopleStore) HandOut(ctx context.Context, user mimi.URI, suite mls.CipherSuite, now time.Time) (pkg *connection.StoredPackage, err error) {
	err = p.m.write(ctx, func(s *peopleState) error {
		if single := s.available(user, suite, now, false); len(single) > 0 {
			row := *single[0]
			row.handedOut = true
			s.packages.put(row.Ref, row)
			found := clonePackage(row.StoredPackage)
			pkg = &found
			return nil
		}
		last := s.available(user, suite, now, true)
		if len(last) == 0 {
			return connection.ErrNoPackage
		}
		pkg = &last[len(last)-1].StoredPackage
		return nil
	})
	return pkg, err
}

// Package implements [connection.Packages].
func (p *PeopleStore) Package(ctx context.Context, ref connection.Ref) (pkg *connection.StoredPackage, err error) {
	err = p.m.read(ctx, func(s *peopleState) error {
		row, ok := s.packages.get(ref)
		if !ok {
			return connection.ErrUnknownPackage
		}
		found := clonePackage(row.StoredPackage)
		pkg = &found
		return nil
	})
	return pkg, err
}

// UsePackage implements [connection.Packages].
func (p *PeopleStore) UsePackage(ctx context.Context, ref connection.Ref) error {
	return p.m.write(ctx, func(s *peopleState) error {
		row, ok := s.packages.get(ref)
		switch {
		case !ok:
			return connection.ErrUnknownPackage
		case row.Used && !row.LastResort:
			return connection.ErrPackageUsed
		}
		row.Used = true
		s.packages.put(ref, row)
		return nil
	})
}

// CountPackages implements [connection.Packages].
func (p *PeopleStore) CountPackages(ctx context.Context, user mimi.URI, suite mls.CipherSuite, now time.Time) (single, lastResort int, err error) {
	err = p.m.read(ctx, func(s *peopleState) error {
		single, lastResort = len(s.available(user, suite, now, false)), len(s.available(user, suite, now, true))
		return nil
	})
	return single, lastResort, err
}

// DropUnasked implements [connection.Packages].
func (p *PeopleStore) DropUnasked(ctx context.Context, user mimi.URI, before time.Time) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.packages.delete(func(_ connection.Ref, r packageRow) bool {
			return r.User == user && !r.LastResort && !r.Used && !r.handedOut && r.NotAfter.Before(before)
		})
		return nil
	})
}

// DropPackages implements [connection.Packages].
func (p *PeopleStore) DropPackages(ctx context.Context, user mimi.URI) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.packages.delete(func(_ connection.Ref, r packageRow) bool { return r.User == user })
		return nil
	})
}

// ForgetPackages implements [connection.Packages].
func (p *PeopleStore) ForgetPackages(ctx context.Context, before time.Time) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.packages.delete(func(_ connection.Ref, r packageRow) bool { return r.NotAfter.Before(before) })
		return nil
	})
}

// remember inserts a hash unless it is there.
func remember[K comparable](t *table[K, time.Time], hash K, until time.Time) bool {
	if _, ok := t.get(hash); ok {
		return false
	}
	t.put(hash, milliseconds(until))
	return true
}

// Remember implements [connection.Replays].
func (p *PeopleStore) Remember(ctx context.Context, hash connection.Ref, until time.Time) (fresh bool, err error) {
	err = p.m.write(ctx, func(s *peopleState) error {
		fresh = remember(&s.replays, hash, until)
		return nil
	})
	return fresh, err
}

// ForgetReplays implements [connection.Replays].
func (p *PeopleStore) ForgetReplays(ctx context.Context, before time.Time) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.replays.delete(func(_ connection.Ref, until time.Time) bool { return until.Before(before) })
		return nil
	})
}

// RememberNonce implements [keymaterial.Nonces].
func (p *PeopleStore) RememberNonce(ctx context.Context, hash [32]byte, until time.Time) (fresh bool, err error) {
	err = p.m.write(ctx, func(s *peopleState) error {
		fresh = remember(&s.nonces, hash, until)
		return nil
	})
	return fresh, err
}

// ForgetNonces implements [keymaterial.Nonces].
func (p *PeopleStore) ForgetNonces(ctx context.Context, before time.Time) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.nonces.delete(func(_ [32]byte, until time.Time) bool { return until.Before(before) })
		return nil
	})
}

// NotePseudonym implements [keymaterial.Pseudonyms].
func (p *PeopleStore) NotePseudonym(ctx context.Context, pseudonym mimi.URI, until time.Time) (before uint64, err error) {
	err = p.m.write(ctx, func(s *peopleState) error {
		row, _ := s.pseudonyms.get(pseudonym)
		before = row.count
		row.count++
		if until = milliseconds(until); until.After(row.until) {
			row.until = until
		}
		s.pseudonyms.put(pseudonym, row)
		return nil
	})
	return before, err
}

// ForgetPseudonyms implements [keymaterial.Pseudonyms].
func (p *PeopleStore) ForgetPseudonyms(ctx context.Context, before time.Time) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.pseudonyms.delete(func(_ mimi.URI, r pseudonymRow) bool { return r.until.Before(before) })
		return nil
	})
}

func clonePrivate(p keymaterial.Private) keymaterial.Private {
	p.NotAfter, p.Secret = seconds(p.NotAfter), bytes.Clone(p.Secret)
	return p
}

// PutPrivate implements [keymaterial.Privates].
func (p *PeopleStore) PutPrivate(ctx context.Context, private *keymaterial.Private) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.privates.put(private.Ref, clonePrivate(*private))
		return nil
	})
}

// Private implements [keymaterial.Privates].
func (p *PeopleStore) Private(ctx context.Context, ref [32]byte) (private *keymaterial.Private, err error) {
	err = p.m.read(ctx, func(s *peopleState) error {
		row, ok := s.privates.get(ref)
		if !ok {
			return keymaterial.ErrNoPrivate
		}
		row = clonePrivate(row)
		private = &row
		return nil
	})
	return private, err
}

// DeletePrivate implements [keymaterial.Privates].
func (p *PeopleStore) DeletePrivate(ctx context.Context, ref [32]byte) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.privates.delete(func(key [32]byte, _ keymaterial.Private) bool { return key == ref })
		return nil
	})
}

// ForgetPrivates implements [keymaterial.Privates].
func (p *PeopleStore) ForgetPrivates(ctx context.Context, before time.Time) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.privates.delete(func(_ [32]byte, r keymaterial.Private) bool { return r.NotAfter.Before(before) })
		return nil
	})
}

func cloneMaterial(r keymaterial.Row) keymaterial.Row {
	r.NotAfter, r.KeyPackage = seconds(r.NotAfter), bytes.Clone(r.KeyPackage)
	return r
}

// PutKeyPackages implements [keymaterial.Store].
func (p *PeopleStore) PutKeyPackages(ctx context.Context, rows []keymaterial.Row) error {
	return p.m.atomically(ctx, func(ctx context.Context) error {
		return p.m.write(ctx, func(s *peopleState) error {
			before := s.material
			s.material.disown()
			for _, r := range rows {
				if err := s.putRow(r); err != nil {
					s.material = before
					return err
				}
			}
			return nil
		})
	})
}

func (s *peopleState) putRow(r keymaterial.Row) error {
	set := setKey{r.Token, r.Set}
	if _, ok := s.material.get(materialKey{set, r.Slot}); ok {
		return fmt.Errorf("storetest: slot %d of the set is taken", r.Slot)
	}
	for key, other := range s.material.rows {
		if key.setKey == set && (other.Suite != r.Suite || other.LastResort != r.LastResort) {
			return errors.New("storetest: a set of several kinds")
		}
	}
	s.material.put(materialKey{set, r.Slot}, cloneMaterial(r))
	return nil
}

// sets returns the complete sets for a query, the one that expires first in
// front: that is when its first KeyPackage does.
func (s *peopleState) sets(q keymaterial.Query, suite mls.CipherSuite, lastResort bool) [][]keymaterial.Row {
	bySet := map[mimi.URI][]keymaterial.Row{}
	for _, r := range s.material.rows {
		if r.Token == q.Token && r.Suite == suite && r.LastResort == lastResort && !q.Now.After(r.NotAfter) {
			bySet[r.Set] = append(bySet[r.Set], cloneMaterial(r))
		}
	}
	var sets [][]keymaterial.Row
	for _, rows := range bySet {
		slices.SortFunc(rows, func(a, b keymaterial.Row) int { return cmp.Compare(a.Slot, b.Slot) })
		if slices.EqualFunc(rows, q.Slots, func(r keymaterial.Row, slot uint32) bool { return r.Slot == slot }) {
			sets = append(sets, rows)
		}
	}
	slices.SortFunc(sets, func(a, b []keymaterial.Row) int {
		return cmp.Or(expires(a).Compare(expires(b)), compareURIs(a[0].Set, b[0].Set))
	})
	return sets
}

func expires(rows []keymaterial.Row) time.Time {
	first := rows[0].NotAfter
	for _, r := range rows {
		if r.NotAfter.Before(first) {
			first = r.NotAfter
		}
	}
	return first
}

// TakeSingle implements [keymaterial.Store].
func (p *PeopleStore) TakeSingle(ctx context.Context, q keymaterial.Query) (set *keymaterial.Set, err error) {
	err = p.m.write(ctx, func(s *peopleState) error {
		for _, suite := range q.Suites {
			sets := s.sets(q, suite, false)
			if len(sets) == 0 {
				continue
			}
			set = &keymaterial.Set{Rows: sets[0]}
			taken := setKey{q.Token, sets[0][0].Set}
			s.material.delete(func(key materialKey, _ keymaterial.Row) bool { return key.setKey == taken })
			return nil
		}
		return keymaterial.ErrExhausted
	})
	return set, err
}

// TakeLastResort implements [keymaterial.Store].
func (p *PeopleStore) TakeLastResort(ctx context.Context, q keymaterial.Query) (set *keymaterial.Set, err error) {
	err = p.m.write(ctx, func(s *peopleState) error {
		for _, suite := range q.Suites {
			sets := s.sets(q, suite, true)
			if len(sets) == 0 {
				continue
			}
			slices.Reverse(sets) // the one that expires last in front
			slices.SortStableFunc(sets, func(a, b []keymaterial.Row) int {
				usedA, _ := s.reused.get(setKey{q.Token, a[0].Set})
				usedB, _ := s.reused.get(setKey{q.Token, b[0].Set})
				return cmp.Compare(usedA, usedB)
			})
			key := setKey{q.Token, sets[0][0].Set}
			used, _ := s.reused.get(key)
			s.reused.put(key, used+1)
			set = &keymaterial.Set{Rows: sets[0], Reused: used}
			return nil
		}
		return keymaterial.ErrExhausted
	})
	return set, err
}

// Holdings implements [keymaterial.Store].
func (p *PeopleStore) Holdings(ctx context.Context, token keymaterial.TokenHash) (all []keymaterial.Holding, err error) {
	err = p.m.read(ctx, func(s *peopleState) error {
		mine := func(r keymaterial.Row) bool { return r.Token == token }
		order := func(a, b keymaterial.Row) int {
			return cmp.Or(compareURIs(a.Set, b.Set), cmp.Compare(a.Slot, b.Slot))
		}
		for _, r := range s.material.list(mine, order, cloneMaterial) {
			times, _ := s.reused.get(setKey{token, r.Set})
			all = append(all, keymaterial.Holding{Row: *r, HandedOut: times})
		}
		return nil
	})
	return all, err
}

// DropSets implements [keymaterial.Store].
func (p *PeopleStore) DropSets(ctx context.Context, token keymaterial.TokenHash, sets []mimi.URI) error {
	return p.m.write(ctx, func(s *peopleState) error {
		dropped := func(key setKey) bool { return key.token == token && slices.Contains(sets, key.set) }
		s.material.delete(func(key materialKey, _ keymaterial.Row) bool { return dropped(key.setKey) })
		s.reused.delete(func(key setKey, _ uint64) bool { return dropped(key) })
		return nil
	})
}

func cloneRegistration(r keymaterial.Registration) *keymaterial.Registration {
	r.UploadKey, r.Slots = bytes.Clone(r.UploadKey), slices.Clone(r.Slots)
	return &r
}

// Registration implements [keymaterial.Registrations].
func (p *PeopleStore) Registration(ctx context.Context, token keymaterial.TokenHash) (r *keymaterial.Registration, err error) {
	err = p.m.read(ctx, func(s *peopleState) error {
		row, ok := s.registered.get(token)
		if !ok {
			return keymaterial.ErrNoRegistration
		}
		r = cloneRegistration(row)
		return nil
	})
	return r, err
}

// PutRegistration implements [keymaterial.Registrations].
func (p *PeopleStore) PutRegistration(ctx context.Context, token keymaterial.TokenHash, r *keymaterial.Registration) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.registered.put(token, *cloneRegistration(*r))
		return nil
	})
}

// DeleteToken implements [keymaterial.Store].
func (p *PeopleStore) DeleteToken(ctx context.Context, token keymaterial.TokenHash) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.material.delete(func(key materialKey, _ keymaterial.Row) bool { return key.token == token })
		s.reused.delete(func(key setKey, _ uint64) bool { return key.token == token })
		s.registered.delete(func(key keymaterial.TokenHash, _ keymaterial.Registration) bool { return key == token })
		return nil
	})
}

// ForgetKeyPackages implements [keymaterial.Store].
func (p *PeopleStore) ForgetKeyPackages(ctx context.Context, before time.Time) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.material.delete(func(_ materialKey, r keymaterial.Row) bool { return r.NotAfter.Before(before) })
		return nil
	})
}

// CountIssued implements [keymaterial.Allowances].
func (p *PeopleStore) CountIssued(ctx context.Context, account mimi.URI, day int64, n, limit int) error {
	return p.m.write(ctx, func(s *peopleState) error {
		row, _ := s.allowances.get(account)
		if row.day != day {
			row.day, row.issued = day, 0
		}
		if row.issued += n; row.issued > limit {
			return keymaterial.ErrQuota
		}
		s.allowances.put(account, row)
		return nil
	})
}

// PutWallet implements [keymaterial.Allowances].
func (p *PeopleStore) PutWallet(ctx context.Context, account mimi.URI, secret []byte) error {
	return p.m.write(ctx, func(s *peopleState) error {
		row, _ := s.allowances.get(account)
		row.wallet = bytes.Clone(secret)
		s.allowances.put(account, row)
		return nil
	})
}

// Wallet implements [keymaterial.Allowances].
func (p *PeopleStore) Wallet(ctx context.Context, account mimi.URI) (secret []byte, err error) {
	err = p.m.read(ctx, func(s *peopleState) error {
		row, _ := s.allowances.get(account)
		secret = bytes.Clone(row.wallet)
		return nil
	})
	return secret, err
}

// DeleteAllowance implements [keymaterial.Allowances].
func (p *PeopleStore) DeleteAllowance(ctx context.Context, account mimi.URI) error {
	return p.m.write(ctx, func(s *peopleState) error {
		s.allowances.delete(func(key mimi.URI, _ allowanceRow) bool { return key == account })
		return nil
	})
}

// AllKeyPackages returns the KeyPackages that are stored under all tokens.
func (p *PeopleStore) AllKeyPackages(ctx context.Context) (all []keymaterial.Row, err error) {
	return all, p.m.read(ctx, func(s *peopleState) error {
		all = nil
		for _, r := range s.material.rows {
			all = append(all, cloneMaterial(r))
		}
		return nil
	})
}

// PrivateParts counts the private parts of KeyPackages.
func (p *PeopleStore) PrivateParts() int { return len(p.m.committed().privates.rows) }
