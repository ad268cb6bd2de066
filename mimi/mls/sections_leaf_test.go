package mls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestSection5_1_2SignatureKeys: the signature key of a leaf is one of the
// group's suite.
func TestSection5_1_2SignatureKeys(t *testing.T) {
	w := three(t)
	p256 := mlstest.Leaf(t, suite.P256AES128, "dan/1", mlstest.Random("p256"))
	for _, key := range [][]byte{nil, {1}, p256.SignatureKey.Public()} {
		k := keyPackage(t, w, "dan/1")
		k.KeyPackage.LeafNode.SignatureKey = key
		mls.ResignKeyPackage(t, k)
		refusedCommit(t, w, byValue(&mls.Add{KeyPackage: k.KeyPackage}), suite.ErrKey)
	}
}

// certificate signs a certificate for a public key with a fresh key.
func certificate(t *testing.T, public any) []byte {
	t.Helper()
	_, issuer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: mlstest.Now, NotAfter: mlstest.Now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestSection5_3CertificatesCertifyTheKey: in both signature schemes.
func TestSection5_3CertificatesCertifyTheKey(t *testing.T) {
	otherEd, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherEC, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []suite.ID{suite.X25519AES128, suite.P256AES128} {
		leaf := mlstest.Leaf(t, id, "dan/1", mlstest.Random("leaf"))
		leaf.Capabilities.Credentials = []mls.CredentialType{mls.CredentialX509}
		own := certificate(t, leaf.SignatureKey.Signer().Public())
		for name, c := range map[string]struct {
			chain [][]byte
			want  error
		}{
			"own key":              {[][]byte{own}, nil},
			"own key and issuer":   {[][]byte{own, []byte("issuer")}, nil},
			"own key behind":       {[][]byte{certificate(t, otherEd), own}, mls.ErrCredential},
			"another Ed25519 key":  {[][]byte{certificate(t, otherEd)}, mls.ErrCredential},
			"another P-256 key":    {[][]byte{certificate(t, &otherEC.PublicKey)}, mls.ErrCredential},
			"an RSA key":           {[][]byte{certificate(t, &otherRSA.PublicKey)}, mls.ErrCredential},
			"no certificate":       {nil, mls.ErrCredential},
			"nothing that decodes": {[][]byte{[]byte("certificate")}, mls.ErrCredential},
		} {
			if leaf.Credential, err = mls.X509Credential(c.chain...); err != nil {
				t.Fatal(err)
			}
			k := mlstest.KeyPackage(t, id, leaf, mlstest.Random("kp"))
			if err := mls.ValidateKeyPackage(t.Context(), mlstest.Config("x", &mlstest.Policy{}), &k.KeyPackage); !errors.Is(err, c.want) {
				t.Errorf("%v, %s: %v, want %v", id, name, err, c.want)
			}
		}
	}
}

// TestDefaultCapabilities: versions and suites that there are, and nothing that
// is only sent to others.
func TestDefaultCapabilities(t *testing.T) {
	c := mls.DefaultCapabilities()
	if !slices.Equal(c.Versions, []mls.ProtocolVersion{mls.MLS10}) || !slices.Equal(c.CipherSuites, suite.IDs()) {
		t.Errorf("versions %v, suites %v", c.Versions, c.CipherSuites)
	}
	if len(c.Extensions)+len(c.Proposals)+len(c.Credentials) > 0 {
		t.Errorf("more than a program without an application supports: %+v", c)
	}
	for _, id := range c.CipherSuites {
		if _, err := suite.Lookup(id); err != nil {
			t.Error(err)
		}
	}
}

// everyLeaf makes a leaf in all the ways there are.
func everyLeaf(t *testing.T, w *mlstest.World, change func(p *mls.LeafParams)) map[string]error {
	t.Helper()
	leaf := w.LeafParams("alice/1")
	change(&leaf)
	g := w.Node("A").Group
	_, kp := mls.NewKeyPackage(mlstest.Random("kp"), mls.KeyPackageParams{CipherSuite: mls.X25519, Leaf: leaf})
	_, create := mls.Create(t.Context(), w.Node("A").Config, mls.CreateParams{CipherSuite: mls.X25519, Leaf: leaf})
	_, commit := g.Commit(t.Context(), 0, mls.CommitOptions{NewLeaf: &leaf})
	g.Discard()
	_, _, propose := g.ProposeUpdate(t.Context(), 0, &leaf, mls.AuthenticatedData{})
	_, external := g.ExternalCommit(t.Context(), mls.ExternalOptions{Leaf: leaf})
	g.Discard()
	return map[string]error{"KeyPackage": kp, "Create": create, "Commit": commit, "Update": propose, "external Commit": external}
}

// TestSection7_2DefaultTypesAreNotListed: not by us; others can do no harm with
// it.
func TestSection7_2DefaultTypesAreNotListed(t *testing.T) {
	w := three(t)
	for name, change := range map[string]func(p *mls.LeafParams){
		"extension": func(p *mls.LeafParams) {
			p.Capabilities.Extensions = append(p.Capabilities.Extensions, mls.ExtensionExternalSenders)
		},
		"proposal": func(p *mls.LeafParams) {
			p.Capabilities.Proposals = append(p.Capabilities.Proposals, mls.ProposalAdd)
		},
	} {
		for how, err := range everyLeaf(t, w, change) {
			if !errors.Is(err, mls.ErrCapabilities) {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
	}
	k := keyPackage(t, w, "dan/1")
	k.KeyPackage.LeafNode.Capabilities.Proposals = append(k.KeyPackage.LeafNode.Capabilities.Proposals, mls.ProposalAdd)
	mls.ResignKeyPackage(t, k)
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}}})
}

// TestSection7_2LongestLifetime: the limit is the application's, and there is
// always one unless it says otherwise.
func TestSection7_2LongestLifetime(t *testing.T) {
	w := three(t)
	for _, c := range []struct {
		limit, lifetime time.Duration
		want            error
	}{
		{0, 99 * 24 * time.Hour, nil},
		{0, 101 * 24 * time.Hour, mls.ErrLifetime},
		{time.Hour, time.Hour, nil},
		{time.Hour, time.Hour + time.Second, mls.ErrLifetime},
		{-1, 1000 * 24 * time.Hour, nil},
	} {
		k := keyPackage(t, w, "dan/1")
		k.KeyPackage.LeafNode.NotBefore = uint64(mlstest.Now.Unix())
		k.KeyPackage.LeafNode.NotAfter = uint64(mlstest.Now.Add(c.lifetime).Unix())
		mls.ResignKeyPackage(t, k)
		cfg := mlstest.Config("x", &mlstest.Policy{})
		cfg.Limits.MaxLifetime = c.limit
		if err := mls.ValidateKeyPackage(t.Context(), cfg, &k.KeyPackage); !errors.Is(err, c.want) {
			t.Errorf("%v with limit %v: %v", c.lifetime, c.limit, err)
		}
	}
}

// TestSection7_3CredentialTypes: a new member supports the types that others
// have.
func TestSection7_3CredentialTypes(t *testing.T) {
	const custom = mls.CredentialType(0xf00d)
	both := []mls.CredentialType{mls.CredentialBasic, custom}
	leaf := mlstest.Leaf(t, mls.X25519, "alice/1", mlstest.Random("leaf"))
	leaf.Capabilities.Credentials = both
	g, err := mls.Create(t.Context(), mlstest.Config("A", &mlstest.Policy{}), mls.CreateParams{CipherSuite: mls.X25519, Leaf: leaf})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		supports []mls.CredentialType
		want     error
	}{
		"its own alone": {[]mls.CredentialType{custom}, mls.ErrCapabilities},
		"both":          {both, nil},
	} {
		leaf := mlstest.Leaf(t, mls.X25519, "bob/1", mlstest.Random("bob"))
		leaf.Credential.Type, leaf.Capabilities.Credentials = custom, c.supports
		k := mlstest.KeyPackage(t, mls.X25519, leaf, mlstest.Random("kp"))
		if _, err := g.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}}}); !errors.Is(err, c.want) {
			t.Errorf("a member that supports %s: %v", name, err)
		}
		g.Discard()
	}
}

// TestSection7_3KeysAreUnique: among new members, against old ones, in Updates
// and paths. What is removed by the same commit does not count.
func TestSection7_3KeysAreUnique(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	bob, _ := w.Hub.View().Member(w.Leaf("bob/1"))
	first, second := keyPackage(t, w, "dan/1"), keyPackage(t, w, "eve/1")
	second.KeyPackage.LeafNode.EncryptionKey = first.KeyPackage.LeafNode.EncryptionKey
	mls.ResignKeyPackage(t, second)
	refusedCommit(t, w, byValue(&mls.Add{KeyPackage: first.KeyPackage}, &mls.Add{KeyPackage: second.KeyPackage}), mls.ErrDuplicateKey)
	bobsKey, _ := w.Node("B").Group.SignatureKey(bob.Index)
	leaf := w.LeafParams("alice/2")
	leaf.SignatureKey = bobsKey
	if _, err := a.Commit(t.Context(), 0, mls.CommitOptions{NewLeaf: &leaf}); !errors.Is(err, mls.ErrDuplicateKey) {
		t.Errorf("a path with the signature key of another member: %v", err)
	}
	w.ProposeUpdate("B", "bob/1")
	again := keyPackage(t, w, "bob/1")
	again.KeyPackage.LeafNode.SignatureKey, again.SignatureKey = bob.Leaf.SignatureKey, bobsKey
	mls.ResignKeyPackage(t, again)
	add := &mls.Add{KeyPackage: again.KeyPackage}
	refusedCommit(t, w, byValue(add), mls.ErrDuplicateKey)
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: bob.Index}, add}})
}

// failing is a source of randomness that ends after some octets.
type failing int

var errNoRandom = errors.New("no randomness")

func (f *failing) Read(b []byte) (int, error) {
	if int(*f) < len(b) {
		return 0, errNoRandom
	}
	*f -= failing(len(b))
	for i := range b {
		b[i] = byte(i) + 1
	}
	return len(b), nil
}

// flaky is a source of randomness that fails once, after some reads.
type flaky int

func (f *flaky) Read(b []byte) (int, error) {
	*f--
	if *f == -1 {
		return 0, errNoRandom
	}
	return mlstest.Random(fmt.Sprint(*f)).Read(b)
}

// TestSection10FreshKeys: no two KeyPackages have a key in common, and none is
// made without randomness.
func TestSection10FreshKeys(t *testing.T) {
	w := three(t)
	leaf, random := w.LeafParams("dan/1"), mlstest.Random("keys")
	seen := map[string]bool{}
	for range 3 {
		k := mlstest.KeyPackage(t, mls.X25519, leaf, random)
		seen[string(k.KeyPackage.InitKey)], seen[string(k.KeyPackage.LeafNode.EncryptionKey)] = true, true
	}
	if len(seen) != 6 {
		t.Errorf("%d keys in three KeyPackages", len(seen))
	}
	for _, good := range []flaky{0, 1} {
		if _, err := mls.NewKeyPackage(&good, mls.KeyPackageParams{CipherSuite: mls.X25519, Leaf: leaf}); !errors.Is(err, errNoRandom) {
			t.Errorf("without randomness: %v", err)
		}
	}
}

// TestSection11FirstEpoch: what a new group looks like.
func TestSection11FirstEpoch(t *testing.T) {
	cfg := mlstest.Config("A", &mlstest.Policy{})
	p := mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: mlstest.Leaf(t, mls.X25519, "alice/1", mlstest.Random("l"))}
	g, err := mls.Create(t.Context(), cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	c := g.View().Context()
	if c.Epoch != 0 || len(c.ConfirmedTranscriptHash) != 0 || g.View().Len() != 1 || len(c.Extensions) != 0 || string(c.GroupID) != "g" {
		t.Errorf("the first epoch: %+v", c)
	}
	if !bytes.Equal(c.TreeHash, mls.HashOf(t, g, *g.RatchetTree())) {
		t.Error("the tree hash is that of another tree")
	}
	for _, octets := range []failing{0, 32} {
		cfg.Random = io.Reader(&octets)
		if _, err := mls.Create(t.Context(), cfg, p); !errors.Is(err, errNoRandom) {
			t.Errorf("without randomness: %v", err)
		}
	}
}
