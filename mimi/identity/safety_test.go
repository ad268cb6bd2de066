package identity_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// safetyParties are those of the known answer in docs/mmr-profile.md, section 4.
func safetyParties() (alice, bob *identity.SafetyParty) {
	party := func(domain, name, client string, fill byte) *identity.SafetyParty {
		return &identity.SafetyParty{
			CipherSuite: suite.X25519AES128,
			User:        mimi.URI{Domain: domain, Kind: mimi.KindUser, ID: name}, Client: mimi.URI{Domain: domain, Kind: mimi.KindClient, ID: client},
			PublicKey: bytes.Repeat([]byte{fill}, 32), Authority: [sha256.Size]byte(bytes.Repeat([]byte{fill + 1}, 32)),
		}
	}
	return party("a.example", "alice", "phone", 1), party("b.example", "bob", "laptop", 3)
}

const (
	knownSafetyCode = "1376 1092 7263 9668 7216 6070 2735 3174 2001 4262 2806 3491 1502 4261 1245 8387"
)

// TestKnownSafetyCode computes the known answer of the document, in both orders.
func TestKnownSafetyCode(t *testing.T) {
	alice, bob := safetyParties()
	for _, pair := range [][2]*identity.SafetyParty{{alice, bob}, {bob, alice}} {
		code, err := identity.NewSafetyCode(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if code.String() != knownSafetyCode {
			t.Errorf("the code is %s", code)
		}
		if code.Picture() != "MIMI SAFETY CODE 1: "+knownSafetyCode {
			t.Errorf("the picture says %q", code.Picture())
		}
	}
}

// TestSafetyCodeIsBoundToAll: each field of either side changes the code.
func TestSafetyCodeIsBoundToAll(t *testing.T) {
	alice, bob := safetyParties()
	plain, err := identity.NewSafetyCode(alice, bob)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{plain.Digits(): true}
	for name, change := range map[string]func(*identity.SafetyParty){
		"suite":  func(p *identity.SafetyParty) { p.CipherSuite = suite.P256AES128 },
		"user":   func(p *identity.SafetyParty) { p.User.ID = "mallory" },
		"client": func(p *identity.SafetyParty) { p.Client.ID = "tablet" },
		"key":    func(p *identity.SafetyParty) { p.PublicKey[31] ^= 1 },
		"ca":     func(p *identity.SafetyParty) { p.Authority[0] ^= 1 },
	} {
		for side := range 2 {
			alice, bob := safetyParties()
			change([]*identity.SafetyParty{alice, bob}[side])
			code, err := identity.NewSafetyCode(alice, bob)
			if err != nil {
				t.Fatal(err)
			}
			if seen[code.Digits()] || code.Digest() == plain.Digest() {
				t.Errorf("another %s of side %d gives the same code", name, side)
			}
			seen[code.Digits()] = true
		}
	}
}

// TestSafetyCodeMatches: what people read to each other is compared, however it is
// grouped; anything else is not taken for a code.
func TestSafetyCodeMatches(t *testing.T) {
	alice, bob := safetyParties()
	code, err := identity.NewSafetyCode(alice, bob)
	if err != nil {
		t.Fatal(err)
	}
	digits := code.Digits()
	wrong := digits[:63] + string('0'+(digits[63]-'0'+1)%10)
	for text, want := range map[string]bool{
		digits: true, code.String(): true, code.Picture(): true, strings.ToLower(code.Picture()): true,
		" " + strings.ReplaceAll(code.String(), " ", "-") + "\n": true, wrong: false,
	} {
		if ok, err := code.Matches(text); ok != want || err != nil {
			t.Errorf("%q: %t, %v", text, ok, err)
		}
	}
	for _, text := range []string{"", digits[:63], digits + "0", digits[:63] + "x", digits[:63] + "٣"} {
		if _, err := code.Matches(text); !errors.Is(err, identity.ErrSafetyCode) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzSafetyParty decodes and encodes.
func FuzzSafetyParty(f *testing.F) {
	alice, bob := safetyParties()
	for _, p := range []*identity.SafetyParty{alice, bob} {
		b, err := wire.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[1:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p identity.SafetyParty
		if wire.Unmarshal(b, &p) != nil {
			t.Skip("refused")
		}
		if again, err := wire.Marshal(&p); err != nil || !bytes.Equal(again, b) {
			t.Errorf("encoded again: %x, %v", again, err)
		}
	})
}
