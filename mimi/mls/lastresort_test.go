package mls_test

import (
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// TestLastResort follows draft-ietf-mls-extensions-09, section "Last resort
// KeyPackages": the mark is a component without data, and whoever processes an Add
// sees it, as long as it is signed.
func TestLastResort(t *testing.T) {
	w := three(t)
	params := mls.KeyPackageParams{
		CipherSuite: mls.X25519, Leaf: w.LeafParams("dan/1"), LastResort: true,
		NotBefore: uint64(mlstest.Now.Unix()), NotAfter: uint64(mlstest.Now.Unix()) + 3600,
		Extensions: mls.Extensions{withComponents(t, mls.ComponentData{ID: 9, Data: []byte("x")})},
	}
	k, err := mls.NewKeyPackage(mlstest.Random("kp"), params)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.KeyPackage.Extensions; len(got) != 1 || string(got[0].Data) != "\x07\x00\x04\x00\x00\x09\x01x" {
		t.Errorf("extensions %v", got)
	}
	if !k.KeyPackage.LastResort() || mls.ValidateKeyPackage(t.Context(), w.HubConf, &k.KeyPackage) != nil {
		t.Error("a KeyPackage of last resort is not one")
	}
	seen := 0
	w.Policy.Proposal = func(v *mls.ProposalView) error {
		if add, ok := v.Proposal.Body.(*mls.Add); ok && add.KeyPackage.LastResort() {
			seen++
		}
		return nil
	}
	// It can be used in one group after the other.
	other := mlstest.New(t, mls.X25519, "Z", "zoe/1")
	for _, in := range []struct {
		w          *mlstest.World
		node, from string
	}{{w, "A", "alice/1"}, {other, "Z", "zoe/1"}} {
		p, err := in.w.Node(in.node).Group.Commit(t.Context(), in.w.Leaf(in.from), mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}}})
		if err != nil {
			t.Fatal(err)
		}
		in.w.Deliver(in.w.Node(in.node), p)
		if _, _, err := mls.JoinWelcome(t.Context(), mlstest.Config("D", &mlstest.Policy{}), p.Welcome, k, nil); err != nil {
			t.Error(err)
		}
	}
	if seen == 0 {
		t.Error("the policy does not see the mark")
	}
	if plain := keyPackage(t, w, "eve/1"); plain.KeyPackage.LastResort() {
		t.Error("any KeyPackage is of last resort")
	}
	params.Leaf.Capabilities.Extensions = nil
	if _, err := mls.NewKeyPackage(mlstest.Random("kp"), params); !errors.Is(err, mls.ErrCapabilities) {
		t.Errorf("a leaf that does not list app_data_dictionary: %v", err)
	}
}

// TestLastResortHasNoData: what is malformed is no mark, and no valid KeyPackage.
func TestLastResortHasNoData(t *testing.T) {
	w := three(t)
	for name, c := range map[string]struct {
		e    mls.Extension
		want error
	}{
		"a mark with data": {withComponents(t, mls.ComponentData{ID: mls.ComponentLastResortKeyPackage, Data: []byte{0}}), mls.ErrLastResort},
		"no dictionary":    {mls.Extension{Type: mls.ExtensionAppDataDictionary, Data: []byte{3, 0, 4}}, wire.ErrTruncated},
	} {
		k := keyPackage(t, w, "dan/1")
		k.KeyPackage.Extensions = mls.Extensions{c.e}
		mls.ResignKeyPackage(t, k)
		if k.KeyPackage.LastResort() {
			t.Errorf("%s: it is of last resort", name)
		}
		if err := mls.ValidateKeyPackage(t.Context(), w.HubConf, &k.KeyPackage); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		refusedCommit(t, w, byValue(&mls.Add{KeyPackage: k.KeyPackage}), c.want)
	}
	params := mls.KeyPackageParams{CipherSuite: mls.X25519, Leaf: w.LeafParams("dan/1"), LastResort: true, Extensions: mls.Extensions{{Type: mls.ExtensionAppDataDictionary, Data: []byte{3, 0, 4}}}}
	if _, err := mls.NewKeyPackage(mlstest.Random("kp"), params); !errors.Is(err, wire.ErrTruncated) {
		t.Errorf("made: %v", err)
	}
}
