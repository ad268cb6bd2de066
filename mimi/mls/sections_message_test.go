package mls_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestSection6_3_1Sending: padding, reuse guard and generation of what is sent,
// also after a restart.
func TestSection6_3_1Sending(t *testing.T) {
	w := three(t)
	guards := map[string]bool{}
	for i := range uint32(4) {
		w.Restart("A")
		m := w.Protect("A", "alice/1", "text")
		opened := mls.OpenPrivate(t, w.Node("B").Group, m)
		guards[string(opened.Guard)] = true
		if opened.Generation != i {
			t.Errorf("message %d has generation %d", i, opened.Generation)
		}
		if len(opened.Padding) == 0 || len(bytes.Trim(opened.Padding, "\x00")) > 0 {
			t.Errorf("padding %x", opened.Padding)
		}
		if len(m.Ciphertext)%256 != 16 {
			t.Errorf("%d octets are not a multiple of 256 and a tag", len(m.Ciphertext))
		}
	}
	if len(guards) != 4 || guards["\x00\x00\x00\x00"] {
		t.Errorf("reuse guards %q", slices.Sorted(maps.Keys(guards)))
	}
	n := w.Node("A")
	n.Config.Random = new(failing)
	w.Restart("A")
	if _, err := n.Group.Protect(0, []byte("text"), mls.AuthenticatedData{}); !errors.Is(err, errNoRandom) {
		t.Errorf("without randomness: %v", err)
	}
}

// TestSection6_3_1PrivateCommits: an encrypted commit is checked like one in the
// clear.
func TestSection6_3_1PrivateCommits(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	key, _ := a.SignatureKey(0)
	carols, _ := w.Node("C").Group.SignatureKey(w.Leaf("carol/1"))
	for _, c := range []struct {
		key  suite.SignatureKey
		want error
	}{
		{key, mls.ErrConfirmationTag},
		{carols, mls.ErrSignature},
	} {
		p := pending(t, w, "A", "alice/1", mls.CommitOptions{})
		m := mls.SealPrivate(t, a, c.key, mls.FramedContent{
			Sender: mls.Sender{Type: mls.SenderMember}, ContentType: mls.ContentCommit, Commit: p.Message.Content.Commit,
		}, func(b []byte) []byte { return b })
		refused(t, w, "B", &mls.MLSMessage{PrivateMessage: m}, c.want)
	}
}

// TestSection6_3_2OnlyMembersEncrypt: others have no place in the sender data.
func TestSection6_3_2OnlyMembersEncrypt(t *testing.T) {
	w := three(t)
	for _, s := range []mls.SenderType{mls.SenderExternal, mls.SenderNewMemberCommit, mls.SenderNewMemberProposal} {
		if err := mls.ProtectAs(w.Node("A").Group, mls.Sender{Type: s}); !errors.Is(err, mls.ErrSender) {
			t.Errorf("sender type %d: %v", s, err)
		}
	}
}

// TestSection7_5PathSecretsFitThePath: a path whose secrets open, but lead to
// other keys.
func TestSection7_5PathSecretsFitThePath(t *testing.T) {
	w := three(t)
	path := mls.ForgePath(t, w.Node("A").Group, 0)
	m := forgedCommit(t, w, &mls.Commit{Path: path})
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrPathSecret)
	if _, err := w.Hub.Stage(t.Context(), m); err != nil {
		t.Errorf("the hub cannot see it, and says %v", err)
	}
}

// TestSection7_5ReplacedKeysAreGone: after a commit the keys it replaced are
// neither in memory nor on disk, at the committer and at those who process it.
func TestSection7_5ReplacedKeysAreGone(t *testing.T) {
	w := three(t)
	w.Commit("B", "bob/1", mls.CommitOptions{})
	for _, node := range []string{"A", "B"} {
		w.Restart(node)
		n := w.Node(node)
		old := map[string][]byte{}
		for k, r := range n.Disk {
			if r.Secret && k[0] == 'k' {
				old[k] = r.Value
			}
		}
		if len(old) < 2 {
			t.Fatalf("%s has %d keys", node, len(old))
		}
		w.Commit("A", "alice/1", mls.CommitOptions{})
		n.Disk.Write(n.Group.Dirty())
		replaced := 0
		for k, value := range old {
			if node == "B" && bytes.Equal(n.Disk[k].Value, value) {
				continue // bob's own leaf
			}
			replaced++
			if bytes.Contains(n.Disk.Snapshot(), value) {
				t.Errorf("%s: key %s is still on disk", node, k)
			}
			if slices.ContainsFunc(mls.Secrets(n.Group), func(s []byte) bool { return bytes.Equal(s, value) }) {
				t.Errorf("%s: key %s is still in memory", node, k)
			}
		}
		if node == "A" && replaced != len(old) || replaced == 0 {
			t.Errorf("%s: %d of %d keys were replaced", node, replaced, len(old))
		}
	}
}

// TestSection7_6AddedLeavesGetNoPathSecret: they get theirs by the Welcome.
func TestSection7_6AddedLeavesGetNoPathSecret(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	key, _ := a.SignatureKey(0)
	add := mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: keyPackage(t, w, "dan/1").KeyPackage}}}
	p := pending(t, w, "A", "alice/1", add)
	top := &p.Message.Content.Commit.Path.Nodes[1]
	if len(top.EncryptedPathSecret) != 1 {
		t.Fatalf("%d ciphertexts for carol and nobody else", len(top.EncryptedPathSecret))
	}
	top.EncryptedPathSecret = append(top.EncryptedPathSecret, top.EncryptedPathSecret[0])
	mls.Resign(t, a, key, p.Message)
	refused(t, w, "B", p.MLSMessage(), mls.ErrPathForm)
	refusedByHub(t, w, p.Message, mls.ErrPathForm)
}

// TestSection8_3ExternalInit: the epoch that an external Commit leads to depends
// on the init secret it carries.
func TestSection8_3ExternalInit(t *testing.T) {
	w := three(t)
	for name, c := range map[string]struct {
		change func(kem []byte) []byte
		want   error
	}{
		"another": {func(kem []byte) []byte { return bytes.Repeat([]byte{9}, len(kem)) }, mls.ErrConfirmationTag},
		"short":   {func(kem []byte) []byte { return kem[1:] }, mls.ErrExternalInit},
	} {
		p, leaf := externalCommit(t, w, "dan/1", mls.ExternalOptions{})
		mls.Fresh(p.Message)
		init, ok := p.Message.Content.Commit.Proposals[0].Proposal.Body.(*mls.ExternalInit)
		if !ok {
			t.Fatal("no ExternalInit")
		}
		init.KEMOutput = c.change(init.KEMOutput)
		mls.Resign(t, w.Node("A").Group, leaf.SignatureKey, p.Message)
		if _, err := w.Node("B").Group.Process(t.Context(), p.MLSMessage()); !errors.Is(err, c.want) && !errors.Is(err, mls.ErrPathSecret) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	w.External(mlstest.On("D", "dan/1"), mls.ExternalOptions{})
	w.Say("D", "dan/1", "the positive control")
}

// TestSection8_4Nonces: each use of a PSK has a fresh one.
func TestSection8_4Nonces(t *testing.T) {
	w := three(t)
	n := w.Node("A")
	n.Config.PSK = pskOf("secret")
	w.Restart("A")
	psk := &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("id")}}
	seen := map[string]bool{}
	collect := func(p *mls.Proposal) {
		if body, ok := p.Body.(*mls.PreSharedKey); ok {
			if len(body.PSK.Nonce) != 32 || bytes.Equal(body.PSK.Nonce, make([]byte, 32)) {
				t.Errorf("nonce %x", body.PSK.Nonce)
			}
			seen[string(body.PSK.Nonce)] = true
		}
	}
	p := pending(t, w, "A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{psk, psk}})
	for _, or := range p.Message.Content.Commit.Proposals {
		collect(or.Proposal)
	}
	m, _, err := n.Group.Propose(t.Context(), 0, psk, mls.AuthenticatedData{})
	if err != nil {
		t.Fatal(err)
	}
	collect(m.Content.Proposal)
	if len(seen) != 3 {
		t.Errorf("%d nonces for three uses", len(seen))
	}
	n.Config.Random = new(failing)
	w.Restart("A")
	if _, _, err := n.Group.Propose(t.Context(), 0, psk, mls.AuthenticatedData{}); !errors.Is(err, errNoRandom) {
		t.Errorf("without randomness: %v", err)
	}
}

// TestSection8_4WelcomesNameThePSKs: members and joiners look up the same PSKs in
// the order of the proposals.
func TestSection8_4WelcomesNameThePSKs(t *testing.T) {
	w := three(t)
	asked := map[string][]string{}
	ask := func(node string) func(context.Context, mls.PreSharedKeyID) (suite.Secret, error) {
		return func(_ context.Context, id mls.PreSharedKeyID) (suite.Secret, error) {
			asked[node] = append(asked[node], string(id.ID))
			return suite.NewSecret(append([]byte("secret "), id.ID...)), nil
		}
	}
	for _, name := range []string{"A", "B", "C", "D"} {
		w.Node(name).Config.PSK = ask(name)
		if w.Node(name).Group != nil {
			w.Restart(name)
		}
	}
	var psks []mls.ProposalBody
	want := []string{"z", "a", "m"}
	for _, id := range want {
		psks = append(psks, &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte(id)}})
	}
	w.AddWith("A", "alice/1", mls.CommitOptions{Proposals: psks}, mlstest.On("D", "dan/1"))
	for _, name := range []string{"B", "D"} {
		if !slices.Equal(asked[name], want) {
			t.Errorf("%s was asked for %q", name, asked[name])
		}
	}
	w.Say("D", "dan/1", "the same secrets")
}

// TestSection9_2SecretsAreErased: what the secrets of an epoch come from is
// overwritten as soon as they are there, and they are when the epoch is over.
func TestSection9_2SecretsAreErased(t *testing.T) {
	w := three(t)
	zero := func(what string, octets [][]byte) {
		t.Helper()
		if len(octets) == 0 {
			t.Errorf("%s: nothing to look at", what)
		}
		for i, b := range octets {
			if len(b) == 0 || !bytes.Equal(b, make([]byte, len(b))) {
				t.Errorf("%s: number %d of %d octets is not erased", what, i, len(b))
			}
		}
	}
	zero("path", mls.PathOctets(t, w.Hub.Suite()))
	for _, node := range []string{"A", "B"} {
		var octets [][]byte
		for _, s := range mls.EpochSecrets(w.Node(node).Group) {
			octets = append(octets, s.Bytes())
		}
		w.Commit("A", "alice/1", mls.CommitOptions{})
		zero("old epoch of "+node, octets)
	}
	g := w.Node("A").Group
	p, err := g.Commit(t.Context(), 0, mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if joiner := mls.JoinerOf(t, w.Node("B").Group, p.Message); !joiner.IsZero() {
		t.Error("the joiner secret is still there after a commit was processed")
	}
	if joiner := mls.Joiner(g); !joiner.IsZero() {
		t.Error("the joiner secret is still there after the Welcome was made")
	}
}
