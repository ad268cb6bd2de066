package mlsbench

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A primitive is a cryptographic operation that has a price.
type primitive int

// The primitives. The cost of most depends on how much they are given.
const (
	sign primitive = iota
	verify
	hpkeSeal
	hpkeOpen
	hpkeExport // with the encapsulation
	kemDerive
	extract
	expand
	aeadSeal
	aeadOpen
	mac
	hash
	primitives // their number
)

func (p primitive) String() string {
	return [...]string{
		"sign", "verify", "HPKE seal", "HPKE open", "HPKE export", "KEM derive", "KDF extract", "KDF expand", "AEAD seal", "AEAD open", "MAC", "hash",
	}[p]
}

// Each primitive is measured with these numbers of octets. What lies between is
// on a line.
const (
	unitShort = 128
	unitLong  = 32 << 10
)

// A price is what one call of a primitive costs: a fixed part, and one for each
// octet. It is CPU time of one thread, which other programs on the machine do not
// change. If there are none, it is the wall time, too.
type price struct{ call, octet float64 } // ns

// prices are those of all primitives.
type prices [primitives]price

// unitCosts are what each primitive has cost in ns, with few octets and with many.
type unitCosts [primitives][2]float64

// measureUnits measures the primitives of a suite, each with each size as long as
// the budget says.
func measureUnits(id suite.ID, budget time.Duration) (*unitCosts, error) {
	calls, err := unitCalls(id)
	if err != nil {
		return nil, err
	}
	// A primitive pays for the collector as it does within an operation, but not for
	// the groups that the collector has to look at: this is called before there are any.
	var all unitCosts
	for p, call := range calls {
		runtime.GC()
		for i, size := range []int{unitShort, unitLong} {
			octets := make([]byte, size)
			got, err := steady(budget, func() error { return call(octets) })
			if err != nil {
				return nil, fmt.Errorf("%v: %w", primitive(p), err)
			}
			all[p][i] = got.cpu
		}
	}
	return &all, nil
}

// lower keeps what cost less at another time: anything else on the machine can
// only make it more.
func (u *unitCosts) lower(other *unitCosts) {
	for p := range u {
		for i := range u[p] {
			if u[p][i] == 0 || other[p][i] < u[p][i] {
				u[p][i] = other[p][i]
			}
		}
	}
}

// prices draws the lines.
func (u *unitCosts) prices() *prices {
	var all prices
	for p := range u {
		short, long := u[p][0], u[p][1]
		// A disturbed measurement must not make calls free of charge.
		all[p].octet = max(0, min((long-short)/(unitLong-unitShort), short/unitShort*3/4))
		all[p].call = short - unitShort*all[p].octet
	}
	return &all
}

// unitCalls makes one call of each primitive on given octets.
func unitCalls(id suite.ID) (calls [primitives]func([]byte) error, err error) {
	s, err := suite.Lookup(id)
	if err != nil {
		return calls, err
	}
	key, err := s.GenerateSignatureKey(rand.Reader)
	if err != nil {
		return calls, err
	}
	private, err := s.GenerateHPKEKey(rand.Reader)
	if err != nil {
		return calls, err
	}
	secret := suite.NewSecret(mlsSecret(s.Nh()))
	short, nonce := suite.NewSecret(mlsSecret(s.Nk())), make([]byte, s.Nn())
	calls[sign] = func(b []byte) error { _, err := s.SignWithLabel(key, "unit", b); return err }
	calls[hpkeSeal] = func(b []byte) error {
		_, err := s.EncryptWithLabel(private.Public(), "unit", b, secret.Bytes())
		return err
	}
	calls[hpkeExport] = func([]byte) error { _, _, err := s.ExportTo(private.Public(), "unit"); return err }
	calls[kemDerive] = func([]byte) error { _, err := s.DeriveHPKEKey(secret); return err }
	calls[extract] = func([]byte) error { s.Extract(secret, secret); return nil }
	calls[expand] = func(b []byte) error { s.ExpandWithLabel(secret, "unit", b, s.Nh()); return nil }
	calls[aeadSeal] = func(b []byte) error { _, err := s.Seal(short, nonce, nil, b); return err }
	calls[mac] = func(b []byte) error { s.MAC(secret, b); return nil }
	calls[hash] = func(b []byte) error { s.Hash(b); return nil }
	// What takes the output of another primitive gets it from here.
	signed, sealed, boxed := map[int][]byte{}, map[int]suite.HPKECiphertext{}, map[int][]byte{}
	for _, size := range []int{unitShort, unitLong} {
		b := make([]byte, size)
		if signed[size], err = s.SignWithLabel(key, "unit", b); err != nil {
			return calls, err
		}
		if sealed[size], err = s.EncryptWithLabel(private.Public(), "unit", b, secret.Bytes()); err != nil {
			return calls, err
		}
		if boxed[size], err = s.Seal(short, nonce, nil, b); err != nil {
			return calls, err
		}
	}
	calls[verify] = func(b []byte) error { return s.VerifyWithLabel(key.Public(), "unit", b, signed[len(b)]) }
	calls[hpkeOpen] = func(b []byte) error { _, err := s.DecryptWithLabel(private, "unit", b, sealed[len(b)]); return err }
	calls[aeadOpen] = func(b []byte) error { _, err := s.Open(short, nonce, nil, boxed[len(b)]); return err }
	return calls, nil
}

// mlsSecret returns n octets that are always the same.
func mlsSecret(n int) []byte {
	b := make([]byte, n)
	_, _ = mlstest.Random("unit").Read(b)
	return b
}
