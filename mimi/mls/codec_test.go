package mls_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// TestUnknownEnumValuesAreRefused: one encoding per value, and no value that the
// text does not have.
func TestUnknownEnumValuesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		m    wire.Message
		want error // nil: any
	}{
		"sender type 0":            {[]byte{0, 0, 0, 0, 0}, new(mls.Sender), nil},
		"sender type 5":            {[]byte{5, 0, 0, 0, 0}, new(mls.Sender), nil},
		"content type 0":           {append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, 0, 0, 0), new(mls.PrivateMessage), nil},
		"content type 4":           {append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0}, 4, 0, 0, 0), new(mls.PrivateMessage), nil},
		"framed content type 4":    {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 4}, new(mls.FramedContent), nil},
		"proposal or ref type 0":   {[]byte{0, 0}, new(mls.ProposalOrRef), nil},
		"proposal or ref type 3":   {[]byte{3, 0}, new(mls.ProposalOrRef), nil},
		"proposal type 0":          {[]byte{0, 0}, new(mls.Proposal), mls.ErrUnsupportedProposal},
		"GREASE proposal":          {[]byte{0x0a, 0x0a, 0}, new(mls.Proposal), mls.ErrUnsupportedProposal},
		"PSK type 0":               {[]byte{0, 0, 0}, new(mls.PreSharedKeyID), nil},
		"PSK type 4":               {[]byte{4, 0, 0}, new(mls.PreSharedKeyID), nil},
		"resumption usage 0":       {[]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, new(mls.PreSharedKeyID), nil},
		"resumption usage 4":       {[]byte{2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, new(mls.PreSharedKeyID), nil},
		"AppDataUpdate operation":  {[]byte{0, 1, 0}, new(mls.AppDataUpdate), nil},
		"node type 0":              {[]byte{0, 0, 0, 0}, new(mls.Node), mls.ErrTreeForm},
		"node type 3":              {[]byte{3, 0, 0, 0}, new(mls.Node), mls.ErrTreeForm},
		"last node blank":          {[]byte{1, 0}, new(mls.RatchetTree), mls.ErrTreeForm},
		"no node":                  {[]byte{0}, new(mls.RatchetTree), mls.ErrTreeForm},
		"parent in a leaf's place": {[]byte{5, 1, 2, 0, 0, 0}, new(mls.RatchetTree), mls.ErrTreeForm},
		"unmerged leaves order":    {[]byte{0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 1}, new(mls.ParentNode), mls.ErrTreeForm},
		"unmerged leaves twice":    {[]byte{0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 2}, new(mls.ParentNode), mls.ErrTreeForm},
		"components order":         {[]byte{6, 0, 2, 0, 0, 1, 0}, new(mls.AppDataDictionary), mls.ErrComponentOrder},
		"component twice":          {[]byte{6, 0, 2, 0, 0, 2, 0}, new(mls.SafeAAD), mls.ErrComponentOrder},
		"no media type":            {[]byte{0}, new(mls.MediaTypeList), nil},
		"version 0":                {[]byte{0, 0, 0, 5}, new(mls.MLSMessage), mls.ErrVersion},
		"version 2":                {[]byte{0, 2, 0, 5}, new(mls.MLSMessage), mls.ErrVersion},
		"wire format 0":            {[]byte{0, 1, 0, 0}, new(mls.MLSMessage), nil},
		"wire format 6":            {[]byte{0, 1, 0, 6}, new(mls.MLSMessage), nil},
		"two extensions":           {[]byte{0, 7, 6, 0, 9, 0, 0, 9, 0}, new(extensionsAt7), mls.ErrDuplicateExtension},
		"certificate list":         {[]byte{0, 2, 2, 5, 0}, new(mls.Credential), wire.ErrTruncated},
	} {
		err := mls.Unmarshal(c.b, c.m)
		if err == nil || (c.want != nil && !errors.Is(err, c.want)) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want == nil && errors.Is(err, wire.ErrTruncated) {
			t.Errorf("%s: refused only for being short: %v", name, err)
		}
	}
}

// extensionsAt7 is a number and a list of extensions, by way of a ReInit.
type extensionsAt7 struct{ mls.GroupContextExtensions }

func (e *extensionsAt7) Wire(c *wire.Codec) {
	var n uint16
	wire.Uint16(c, &n)
	e.GroupContextExtensions.Wire(c)
}

// TestSection10VersionOfKeyPackage: the version in an MLSMessage is that of its
// KeyPackage.
func TestSection10VersionOfKeyPackage(t *testing.T) {
	kp := mlstest.KeyPackage(t, mls.X25519, mlstest.Leaf(t, mls.X25519, "a/1", mlstest.Random("l")), mlstest.Random("k"))
	b, err := mls.Marshal(&mls.MLSMessage{KeyPackage: &kp.KeyPackage})
	if err != nil {
		t.Fatal(err)
	}
	b[5] = 2
	if err := mls.Unmarshal(b, new(mls.MLSMessage)); !errors.Is(err, mls.ErrVersion) {
		t.Errorf("a KeyPackage of version 2 in a message of version 1: %v", err)
	}
}

// TestX509CredentialsAreKept: a chain goes in and comes out.
func TestX509CredentialsAreKept(t *testing.T) {
	c, err := mls.X509Credential([]byte("leaf"), []byte("issuer"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := mls.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	var got mls.Credential
	if err := mls.Unmarshal(b, &got); err != nil || !got.Equal(&c) {
		t.Fatalf("%v, %v", got, err)
	}
	chain, err := got.Certificates()
	if err != nil || len(chain) != 2 || !bytes.Equal(chain[0], []byte("leaf")) || !bytes.Equal(chain[1], []byte("issuer")) {
		t.Errorf("chain %q, %v", chain, err)
	}
}

// TestCreateValidatesItsLeaf: a group that others would refuse is not made.
func TestCreateValidatesItsLeaf(t *testing.T) {
	cfg := mlstest.Config("A", &mlstest.Policy{})
	leaf := mlstest.Leaf(t, mls.X25519, "alice/1", mlstest.Random("leaf"))
	leaf.Capabilities.Credentials = nil
	if _, err := mls.Create(t.Context(), cfg, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf}); !errors.Is(err, mls.ErrCapabilities) {
		t.Errorf("a leaf that does not support its own credential: %v", err)
	}
	leaf = mlstest.Leaf(t, mls.X25519, "alice/1", mlstest.Random("leaf"))
	leaf.Extensions = mls.Extensions{{Type: 0xf001}}
	if _, err := mls.Create(t.Context(), cfg, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf}); !errors.Is(err, mls.ErrCapabilities) {
		t.Errorf("a leaf that does not list its own extension: %v", err)
	}
	leaf.Extensions = nil
	required := requireCaps(t, mls.RequiredCapabilities{Extensions: []mls.ExtensionType{0xf001}})
	if _, err := mls.Create(t.Context(), cfg, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf, Extensions: mls.Extensions{required}}); !errors.Is(err, mls.ErrUnsupported) {
		t.Errorf("a leaf that lacks a required extension: %v", err)
	}
	required = requireCaps(t, mls.RequiredCapabilities{Credentials: []mls.CredentialType{0x5a5a}})
	if _, err := mls.Create(t.Context(), cfg, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf, Extensions: mls.Extensions{required}}); !errors.Is(err, mls.ErrUnsupported) {
		t.Errorf("a leaf that lacks a required credential type: %v", err)
	}
	sender, err := mls.ExternalSendersExtension(mls.ExternalSender{SignatureKey: leaf.SignatureKey.Public(), Credential: mls.BasicCredential([]byte("mallory"))})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Policy = &mlstest.Policy{Credential: func(c mls.Credential, _ []byte) error {
		if string(c.Body) == "mallory" {
			return errors.New("unknown issuer")
		}
		return nil
	}}
	if _, err := mls.Create(t.Context(), cfg, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf, Extensions: mls.Extensions{sender}}); !errors.Is(err, mls.ErrCredential) {
		t.Errorf("an external sender that is a stranger: %v", err)
	}
}
