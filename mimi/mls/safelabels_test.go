package mls_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// byHand is the label of component 0x8D40 for "op", octet by octet: the length of
// the base label, the base label, the component, the length of the label, the
// label. The prefix is that of RFC 9420, and the first octet the length of all.
const byHand = "\x1b" + "MLS 1.0 " + "\x0d" + "MLS Component" + "\x8d\x40" + "\x02" + "op"

// TestSafeSignWithLabel computes SignContent by hand, and signs it with Ed25519,
// which gives one signature for each content.
func TestSafeSignWithLabel(t *testing.T) {
	s, key := x25519(t), mlstest.Leaf(t, mls.X25519, "a/1", mlstest.Random("key")).SignatureKey
	got, err := mls.SafeSignWithLabel(s, key, 0x8d40, "op", []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	want := ed25519.Sign(ed25519.NewKeyFromSeed(key.Seed().Bytes()), []byte(byHand+"\x07content"))
	if !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	for name, c := range map[string]struct {
		id             mls.ComponentID
		label, content string
		want           error
	}{
		"as signed":         {0x8d40, "op", "content", nil},
		"another component": {0x8d41, "op", "content", suite.ErrSignature},
		"another label":     {0x8d40, "po", "content", suite.ErrSignature},
		"other content":     {0x8d40, "op", "contents", suite.ErrSignature},
	} {
		if err := mls.SafeVerifyWithLabel(s, key.Public(), c.id, c.label, []byte(c.content), got); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.VerifyWithLabel(key.Public(), "op", []byte("content"), got); !errors.Is(err, suite.ErrSignature) {
		t.Errorf("as a signature of MLS: %v", err)
	}
}

// TestSafeEncryptWithLabel opens a ciphertext with EncryptContext computed by
// hand, and seals one.
func TestSafeEncryptWithLabel(t *testing.T) {
	s := x25519(t)
	key, err := s.GenerateHPKEKey(mlstest.Random("key"))
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdh.X25519().NewPrivateKey(key.Secret().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	private, err := hpke.NewDHKEMPrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	info := []byte(byHand + "\x03ctx")
	ct, err := mls.SafeEncryptWithLabel(s, key.Public(), 0x8d40, "op", []byte("ctx"), []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := hpke.NewRecipient(ct.KEMOutput, private, hpke.HKDFSHA256(), hpke.AES128GCM(), info)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Open(nil, ct.Ciphertext); err != nil || string(got) != "plain" {
		t.Errorf("%q, %v", got, err)
	}
	enc, sender, err := hpke.NewSender(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES128GCM(), info)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sender.Seal(nil, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	hand := suite.HPKECiphertext{KEMOutput: enc, Ciphertext: sealed}
	if got, err := mls.SafeDecryptWithLabel(s, key, 0x8d40, "op", []byte("ctx"), hand); err != nil || string(got) != "plain" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := mls.SafeDecryptWithLabel(s, key, 0x8d41, "op", []byte("ctx"), hand); !errors.Is(err, suite.ErrDecrypt) {
		t.Errorf("another component: %v", err)
	}
	if _, err := mls.SafeEncryptWithLabel(s, []byte("no key"), 1, "op", nil, nil); !errors.Is(err, suite.ErrKey) {
		t.Errorf("to no key: %v", err)
	}
}

// TestSafeEncryptToAMember: a component reaches the same component of a member,
// by what the tree says.
func TestSafeEncryptToAMember(t *testing.T) {
	w := three(t)
	bob, _ := w.Node("A").Group.View().Member(w.Leaf("bob/1"))
	ct, err := mls.SafeEncryptWithLabel(w.Hub.Suite(), bob.Leaf.EncryptionKey, 7, "op", nil, []byte("for bob"))
	if err != nil {
		t.Fatal(err)
	}
	key, ok := w.Node("B").Group.EncryptionKey(w.Leaf("bob/1"))
	if got, err := mls.SafeDecryptWithLabel(w.Hub.Suite(), key, 7, "op", nil, ct); !ok || err != nil || string(got) != "for bob" {
		t.Errorf("%q, %v", got, err)
	}
}

func x25519(t *testing.T) *suite.Suite {
	t.Helper()
	s, err := suite.Lookup(mls.X25519)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// expand is ExpandWithLabel of RFC 9420, section 8, for 32 octets and a label and
// context of less than 64, by hand.
func expand(t *testing.T, secret []byte, label, context string) []byte {
	t.Helper()
	label = "MLS 1.0 " + label
	info := "\x00\x20" + string(rune(len(label))) + label + string(rune(len(context))) + context
	out, err := hkdf.Expand(sha256.New, secret, info, 32)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSafeExportSecret follows the exporter tree of draft-ietf-mls-extensions-09,
// section "Exported Secrets", by hand: from the epoch secret, which a first epoch
// has at random, down the 16 levels to the leaf with the number of the component.
func TestSafeExportSecret(t *testing.T) {
	recorded := &recorder{from: mlstest.Random("epoch")}
	cfg := mlstest.Config("A", &mlstest.Policy{})
	cfg.Random = recorded
	g, err := mls.Create(t.Context(), cfg, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: mlstest.Leaf(t, mls.X25519, "a/1", mlstest.Random("leaf"))})
	if err != nil {
		t.Fatal(err)
	}
	var root []byte
	for _, r := range recorded.reads {
		if len(r) == 32 && bytes.Equal(expand(t, r, "authentication", ""), g.EpochAuthenticator().Bytes()) {
			root = expand(t, r, "application_export", "")
		}
	}
	if root == nil {
		t.Fatal("the epoch secret was not among what was read")
	}
	for _, id := range []mls.ComponentID{0x0000, 0x8d40, 0xffff, 0x0001} {
		want := root
		for bit := 15; bit >= 0; bit-- {
			side := "left"
			if id>>bit&1 == 1 {
				side = "right"
			}
			want = expand(t, want, "tree", side)
		}
		if got, err := g.ExportComponent(id); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("component 0x%04x: another secret than %s, %v", uint16(id), hex.EncodeToString(want), err)
		}
		if _, err := g.ExportComponent(id); !errors.Is(err, mls.ErrReplay) {
			t.Errorf("component 0x%04x a second time: %v", uint16(id), err)
		}
	}
}

// A recorder keeps what was read.
type recorder struct {
	from  io.Reader
	reads [][]byte
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.reads = append(r.reads, bytes.Clone(b[:n]))
	return n, err
}
