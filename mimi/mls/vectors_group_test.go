package mls

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest/vectors"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// anything is a policy that refuses nothing.
type anything struct{}

func (anything) ValidateCredential(context.Context, Credential, []byte) error { return nil }

func (anything) SameClient(Credential, Credential) bool { return true }

func (anything) ValidateProposal(context.Context, *ProposalView) error { return nil }

func (anything) ApplyComponent(_ context.Context, _ ComponentID, _ []byte, updates [][]byte) ([]byte, error) {
	return bytes.Join(updates, nil), nil
}

func (anything) ValidateCommit(context.Context, *CommitView) error { return nil }

func vectorConfig() Config {
	return Config{
		Policy: anything{}, Random: rand.Reader, Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
		Limits: Limits{MaxLifetime: -1},
	}
}

type welcomeVector struct {
	CipherSuite uint16      `json:"cipher_suite"`
	InitPriv    vectors.Hex `json:"init_priv"`
	SignerPub   vectors.Hex `json:"signer_pub"`
	KeyPackage  vectors.Hex `json:"key_package"`
	Welcome     vectors.Hex
}

func TestVectorsWelcome(t *testing.T) {
	vectors.Run(t, "welcome", func(t *testing.T, c welcomeVector) {
		s := vectorSuite(t, c.CipherSuite)
		var kp, welcome MLSMessage
		again(t, "key_package", c.KeyPackage, &kp)
		again(t, "welcome", c.Welcome, &welcome)
		initKey, err := s.ImportHPKEKey(suite.NewSecret(c.InitPriv))
		if err != nil {
			t.Fatal(err)
		}
		cfg := vectorConfig()
		w, err := welcome.Welcome.open(t.Context(), &cfg, &KeyPackagePrivate{KeyPackage: *kp.KeyPackage, InitKey: initKey}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.info.VerifySignature(s, c.SignerPub); err != nil {
			t.Error(err)
		}
		encoded, err := Marshal(&w.info.GroupContext)
		if err != nil {
			t.Fatal(err)
		}
		secrets := schedule.Epoch(s, w.secrets.JoinerSecret, w.psk, encoded)
		if !s.VerifyMAC(secrets.Confirmation, w.info.ConfirmationTag, w.info.GroupContext.ConfirmedTranscriptHash) {
			t.Error("confirmation tag does not verify")
		}
	})
}

type passiveClient struct {
	CipherSuite  uint16 `json:"cipher_suite"`
	ExternalPSKs []struct {
		ID  vectors.Hex `json:"psk_id"`
		PSK vectors.Hex `json:"psk"`
	} `json:"external_psks"`
	KeyPackage                vectors.Hex `json:"key_package"`
	SignaturePriv             vectors.Hex `json:"signature_priv"`
	EncryptionPriv            vectors.Hex `json:"encryption_priv"`
	InitPriv                  vectors.Hex `json:"init_priv"`
	Welcome                   vectors.Hex
	RatchetTree               vectors.Hex `json:"ratchet_tree"`
	InitialEpochAuthenticator vectors.Hex `json:"initial_epoch_authenticator"`
	Epochs                    []struct {
		Proposals          []vectors.Hex
		Commit             vectors.Hex
		EpochAuthenticator vectors.Hex `json:"epoch_authenticator"`
	}
}

func (c *passiveClient) psk(_ context.Context, id PreSharedKeyID) (suite.Secret, error) {
	for _, p := range c.ExternalPSKs {
		if id.Type == PSKExternal && bytes.Equal(id.ID, p.ID) {
			return suite.NewSecret(p.PSK), nil
		}
	}
	return suite.Secret{}, fmt.Errorf("%w: %x", ErrNoPSK, id.ID)
}

// reload stores a group and loads it again.
func reload(t *testing.T, disk map[string]Row, cfg Config, g *Group) *Group {
	t.Helper()
	for _, r := range g.Dirty() {
		if r.Value == nil {
			delete(disk, r.Key)
		} else {
			disk[r.Key] = r
		}
	}
	stored := make([]Row, 0, len(disk))
	for _, r := range disk {
		stored = append(stored, r)
	}
	loaded, err := LoadGroup(cfg, stored)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func (c *passiveClient) run(t *testing.T) {
	var kp, welcome MLSMessage
	again(t, "key_package", c.KeyPackage, &kp)
	again(t, "welcome", c.Welcome, &welcome)
	private, err := AssembleKeyPackage(kp.KeyPackage, suite.NewSecret(c.InitPriv), suite.NewSecret(c.EncryptionPriv), suite.NewSecret(c.SignaturePriv))
	if err != nil {
		t.Fatal(err)
	}
	var tree *RatchetTree
	if c.RatchetTree != nil {
		tree = new(RatchetTree)
		again(t, "ratchet_tree", c.RatchetTree, tree)
	}
	cfg := vectorConfig()
	cfg.PSK = c.psk
	g, _, err := JoinWelcome(t.Context(), cfg, welcome.Welcome, private, tree)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g.EpochAuthenticator().Bytes(), c.InitialEpochAuthenticator) {
		t.Error("initial epoch authenticator is wrong")
	}
	disk := map[string]Row{}
	for i, e := range c.Epochs {
		for _, b := range append(e.Proposals, e.Commit) {
			var m MLSMessage
			again(t, "message", b, &m)
			if _, err := g.Process(t.Context(), &m); err != nil {
				t.Fatalf("epoch %d: %v", i, err)
			}
			g = reload(t, disk, cfg, g)
		}
		if !bytes.Equal(g.EpochAuthenticator().Bytes(), e.EpochAuthenticator) {
			t.Fatalf("epoch %d: epoch authenticator is wrong", i)
		}
	}
}

func TestVectorsPassiveClient(t *testing.T) {
	for _, name := range []string{"passive-client-welcome", "passive-client-handling-commit", "passive-client-random"} {
		t.Run(name, func(t *testing.T) {
			vectors.Run(t, name, func(t *testing.T, c passiveClient) { c.run(t) })
		})
	}
}
