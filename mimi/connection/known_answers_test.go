package connection

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

var update = flag.Bool("update", false, "write the known answers")

// answersFile has the known answers of all suites (docs/mmr-profile.md, section
// 13). interop/mmrprofile computes it once more.
var answersFile = filepath.Join("..", "identity", "identitytest", "testdata", "MGP1", "known-answers.json")

// answersFormat is the form of answersFile. Everything is a map, so that there
// is one order.
type answersFormat struct {
	Profile string                   `json:"profile"`
	Suites  map[string]*suiteAnswers `json:"suites"`
}

type suiteAnswers struct {
	Answers map[string]string `json:"answers"`
	Inputs  map[string]string `json:"inputs"`
	Refused []refusal         `json:"refused"`
}

// A refusal is a structure with one changed field, and the error that it causes.
type refusal struct {
	Answer string `json:"answer"` // what is changed
	Change string `json:"change"`
	Check  string `json:"check"`
	Error  string `json:"error"`
	Field  string `json:"field"`  // empty: the whole structure
	SHA256 string `json:"sha256"` // of the changed structure
	Struct string `json:"struct"`
}

// TestKnownAnswersOfAllSuites computes every known answer from its inputs, makes
// every change of the negative set, and compares both with the file.
func TestKnownAnswersOfAllSuites(t *testing.T) {
	made := answersFormat{Profile: mimi.Profile, Suites: map[string]*suiteAnswers{}}
	for _, id := range suite.IDs() {
		name := fmt.Sprintf("0x%04x", uint16(id))
		k := &answerSet{suiteAnswers: suiteAnswers{Answers: map[string]string{}, Inputs: map[string]string{}}, s: identitytest.Suite(t, id)}
		t.Run(name, func(t *testing.T) {
			k.t = t
			k.make()
			k.refuse()
		})
		made.Suites[name] = &k.suiteAnswers
	}
	if t.Failed() {
		return
	}
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(answersFile, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(answersFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the answers are not those of %s; line %d is the first that differs", answersFile, firstDifference(got.Bytes(), want))
	}
}

func firstDifference(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return 1 + bytes.Count(a[:n], []byte("\n"))
}

// An answerSet is the known answers of one suite while they are made.
type answerSet struct {
	suiteAnswers
	t *testing.T
	s *suite.Suite

	now         time.Time
	room        mimi.URI
	groupID     []byte
	alice, bob  *identity.Client
	authorities map[string]*identity.Authority
	tbs         identity.PseudonymousCredentialTBS
	leafKey     suite.SignatureKey
	siblingTBS  identity.PseudonymousCredentialTBS
	link        identity.LinkKey
	contact     identity.ConnectionKey
	ring        identity.KeyRing
	table       *identity.IdentityLinkTable
	joinLink    identity.JoinLink
	pkg         *PrivatePackage
	request     *SignedConnectionRequest
	responseKey suite.HPKEPrivateKey
	context     *ConnectionResponseContext
	queues      identity.ProviderKeyRing
	tokens      identity.ProviderKeyRing
	issuer      *keymaterial.Issuer
}

// random is an input of n octets, at most 32. It is a hash of its name.
func (k *answerSet) random(name string, n int) []byte {
	h := sha256.Sum256(fmt.Appendf(nil, "MGP1 known answers, suite %d, %s", k.s.ID(), name))
	return k.input(name, h[:n])
}

func (k *answerSet) secret(name string) suite.Secret { return suite.NewSecret(k.random(name, 32)) }

func (k *answerSet) input(name string, b []byte) []byte {
	k.Inputs[name] = hex.EncodeToString(b)
	return b
}

func (k *answerSet) text(name, value string) string {
	k.Inputs[name] = value
	return value
}

func (k *answerSet) number(name string, value uint64) uint64 {
	k.Inputs[name] = fmt.Sprint(value)
	return value
}

func (k *answerSet) uri(name, value string) mimi.URI {
	k.t.Helper()
	return ok(mimi.ParseURI(k.text(name, value)))(k)
}

// answer notes an answer and returns it.
func (k *answerSet) answer(name string, b []byte) []byte {
	k.t.Helper()
	if _, twice := k.Answers[name]; twice {
		k.t.Fatalf("two answers %s", name)
	}
	k.Answers[name] = hex.EncodeToString(b)
	return b
}

// encoded notes the encoding of a message under name. It has to decode to the
// same octets.
func (k *answerSet) encoded(name string, m wire.Message) []byte {
	k.t.Helper()
	return k.answer(name, encode(k.t, m))
}

func (k *answerSet) hpkeKey(name string) suite.HPKEPrivateKey {
	k.t.Helper()
	key := ok(k.s.ImportHPKEKey(k.secret(name + "_private_key")))(k)
	k.answer(name+"_public_key", key.Public())
	return key
}

func (k *answerSet) signatureKey(name string) suite.SignatureKey {
	k.t.Helper()
	key := ok(k.s.ImportSignatureKey(k.secret(name + "_private_key")))(k)
	k.answer(name+"_public_key", key.Public())
	return key
}

// encrypt is EncryptWithLabel with the ephemeral key of that name.
func (k *answerSet) encrypt(name string, public []byte, label string, context, plaintext []byte) suite.HPKECiphertext {
	k.t.Helper()
	enc, ct := sealBase(k.t, k.s, k.random(name+"_ephemeral_private_key", 32), public, info(k.t, label, context), plaintext)
	return suite.HPKECiphertext{KEMOutput: enc, Ciphertext: ct}
}

func (k *answerSet) pad(b []byte, n int) []byte {
	k.t.Helper()
	return ok(identity.Pad(b, n))(k)
}

func (k *answerSet) authority(domain string) (*identity.Authority, error) {
	if a := k.authorities[domain]; a != nil {
		return a, nil
	}
	return nil, errors.New("no CA of this domain")
}

// ok ends the test if there is an error.
func ok[T any](v T, err error) func(*answerSet) T {
	return func(k *answerSet) T {
		k.t.Helper()
		if err != nil {
			k.t.Fatal(err)
		}
		return v
	}
}

// vector encodes opaque<V>.
func (k *answerSet) vector(b []byte) []byte {
	o := opaque(b)
	return encode(k.t, &o)
}

// An exporter is MLS-Exporter (RFC 9420, section 8.5) of an exporter_secret.
type exporter struct {
	s      *suite.Suite
	secret suite.Secret
}

func (e exporter) Export(label string, context []byte, n int) (suite.Secret, error) {
	return e.s.ExpandWithLabel(e.s.DeriveSecret(e.secret, label), "exported", e.s.Hash(context), n), nil
}
