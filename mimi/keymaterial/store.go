package keymaterial

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// Errors of stores.
var (
	// ErrExhausted reports that no set of the wanted kind is there.
	ErrExhausted = errors.New("keymaterial: no KeyPackages left")
	// ErrNoRegistration reports a token under which nothing was uploaded.
	ErrNoRegistration = errors.New("keymaterial: nothing is uploaded under this token")
	// ErrNoPrivate reports a KeyPackage whose private part is not (any more) here.
	ErrNoPrivate = errors.New("keymaterial: no private part of this KeyPackage")
)

// A TokenHash is the SHA-256 of a connection token: what key material is stored
// under. The token itself is only stored by the two people it connects.
type TokenHash [sha256.Size]byte

// HashToken returns the hash of a token.
func HashToken(token identity.ConnectionToken) TokenHash { return sha256.Sum256(token.Bytes()) }

// A Row is one stored KeyPackage. It names no account.
type Row struct {
	Token TokenHash
	// Set is the user pseudonym: rows with the same one belong together.
	Set mimi.URI
	// Slot tells the clients of the user apart; it is the same in every set.
	Slot  uint32
	Suite mls.CipherSuite
	// KeyPackage is encoded.
	KeyPackage []byte
	LastResort bool
	// NotAfter is when the KeyPackage expires, in whole seconds.
	NotAfter time.Time
}

// A Query says which set is wanted.
type Query struct {
	Token TokenHash
	// Suites that are acceptable, best first.
	Suites []mls.CipherSuite
	// Slots are the clients that the user has, ascending: a set that has not one
	// row for each of them, or has one for another client, is not handed out.
	Slots []uint32
	// Now is when the set must not be expired.
	Now time.Time
}

// A Set is what is handed out: one row for each slot, ascending.
type Set struct {
	Rows []Row
	// Reused is how often a set of last resort was handed out before.
	Reused uint64
}

// A Holding is a stored KeyPackage as its owner sees it.
type Holding struct {
	Row
	// HandedOut is how often its set was: more than zero only for a set of last
	// resort.
	HandedOut uint64
}

// A Store keeps the KeyPackages that a provider hands out. Writes are durable
// when they return, or when the transaction around them does; calls for one
// token are linearizable: a set of single use is handed out once, whoever asks at
// the same time. Times are kept to the second. All methods may be called
// concurrently. Package storetest checks every implementation.
type Store interface {
	// PutKeyPackages inserts rows, all or none. A row whose token, set and slot
	// exist already is an error, and so is one whose set has another suite or
	// kind.
	PutKeyPackages(ctx context.Context, rows []Row) error
	// TakeSingle deletes a complete set that is used once, and returns it: of the
	// best suite there is, the one that expires first. It fails with
	// [ErrExhausted].
	TakeSingle(ctx context.Context, q Query) (*Set, error)
	// TakeLastResort returns a complete set of last resort: of the best suite
	// there is, the one that was handed out least often, and of these the one that
	// expires last. It counts how often it does so. It fails with [ErrExhausted].
	TakeLastResort(ctx context.Context, q Query) (*Set, error)
	// Holdings returns all rows of a token, also those that have expired or whose
	// set is incomplete, in the order of their sets and slots.
	Holdings(ctx context.Context, token TokenHash) ([]Holding, error)
	// DropSets deletes all rows of the sets of a token that are named.
	DropSets(ctx context.Context, token TokenHash, sets []mimi.URI) error
	// DeleteToken deletes all rows of a token, and its registration: the contact
	// was removed.
	DeleteToken(ctx context.Context, token TokenHash) error
	// ForgetKeyPackages deletes the rows that expire before the given time.
	ForgetKeyPackages(ctx context.Context, before time.Time) error
}

// Registrations keeps who may change the rows of a token. The rules of [Store]
// apply.
type Registrations interface {
	// Registration fails with [ErrNoRegistration].
	Registration(ctx context.Context, token TokenHash) (*Registration, error)
	// PutRegistration inserts or replaces the registration of a token.
	PutRegistration(ctx context.Context, token TokenHash, r *Registration) error
}

// A Private is the private part of a KeyPackage at rest, at the client. Nothing
// but Secret says whose it is.
type Private struct {
	// Ref is the KeyPackageRef, by which a Welcome names it.
	Ref [32]byte
	// NotAfter is when the KeyPackage expires, in whole seconds.
	NotAfter time.Time
	// Secret is what [PrivateKeyPackage.Marshal] gives.
	Secret []byte
}

// Privates keeps the private parts of KeyPackages. Fields named Secret are sealed
// at rest. The rules of [Store] apply.
type Privates interface {
	// PutPrivate inserts or replaces the private part with that Ref.
	PutPrivate(ctx context.Context, p *Private) error
	// Private fails with [ErrNoPrivate].
	Private(ctx context.Context, ref [32]byte) (*Private, error)
	// DeletePrivate does nothing if there is no such private part.
	DeletePrivate(ctx context.Context, ref [32]byte) error
	// ForgetPrivates deletes what expires before the given time.
	ForgetPrivates(ctx context.Context, before time.Time) error
}

// Nonces remembers the nonces of requests. Calls are linearizable and may be
// concurrent. Package storetest checks every implementation.
type Nonces interface {
	// RememberNonce stores a hash until a time, and reports whether it is fresh:
	// not stored before. A hash that is stored keeps its time.
	RememberNonce(ctx context.Context, hash [32]byte, until time.Time) (fresh bool, err error)
	// ForgetNonces deletes the hashes whose time is before the given one.
	ForgetNonces(ctx context.Context, before time.Time) error
}

// Pseudonyms remembers the user pseudonyms of the KeyPackages that an adder was
// given. Calls are linearizable and may be concurrent. Package storetest checks
// every implementation.
type Pseudonyms interface {
	// NotePseudonym counts an appearance, and returns how many there were before.
	// It forgets the pseudonym at the given time at the earliest: its KeyPackages
	// have expired then.
	NotePseudonym(ctx context.Context, pseudonym mimi.URI, until time.Time) (before uint64, err error)
	// ForgetPseudonyms deletes those whose last time is before the given one.
	ForgetPseudonyms(ctx context.Context, before time.Time) error
}
