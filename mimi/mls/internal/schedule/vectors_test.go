package schedule_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest/vectors"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

type keySchedule struct {
	CipherSuite       uint16      `json:"cipher_suite"`
	GroupID           vectors.Hex `json:"group_id"`
	InitialInitSecret vectors.Hex `json:"initial_init_secret"`
	Epochs            []struct {
		TreeHash                vectors.Hex `json:"tree_hash"`
		CommitSecret            vectors.Hex `json:"commit_secret"`
		PSKSecret               vectors.Hex `json:"psk_secret"`
		ConfirmedTranscriptHash vectors.Hex `json:"confirmed_transcript_hash"`
		GroupContext            vectors.Hex `json:"group_context"`
		JoinerSecret            vectors.Hex `json:"joiner_secret"`
		WelcomeSecret           vectors.Hex `json:"welcome_secret"`
		InitSecret              vectors.Hex `json:"init_secret"`
		SenderDataSecret        vectors.Hex `json:"sender_data_secret"`
		EncryptionSecret        vectors.Hex `json:"encryption_secret"`
		ExporterSecret          vectors.Hex `json:"exporter_secret"`
		EpochAuthenticator      vectors.Hex `json:"epoch_authenticator"`
		ExternalSecret          vectors.Hex `json:"external_secret"`
		ConfirmationKey         vectors.Hex `json:"confirmation_key"`
		MembershipKey           vectors.Hex `json:"membership_key"`
		ResumptionPSK           vectors.Hex `json:"resumption_psk"`
		ExternalPub             vectors.Hex `json:"external_pub"`
		Exporter                struct {
			Label           string
			Context, Secret vectors.Hex
			Length          int
		}
	}
}

// groupContext encodes a GroupContext without extensions.
type groupContext struct {
	suite                    uint16
	id                       []byte
	epoch                    uint64
	treeHash, transcriptHash []byte
	extensions               []byte
}

func (g *groupContext) Wire(c *wire.Codec) {
	version := uint16(1)
	wire.Uint16(c, &version)
	wire.Uint16(c, &g.suite)
	wire.Opaque(c, &g.id)
	wire.Uint64(c, &g.epoch)
	wire.Opaque(c, &g.treeHash)
	wire.Opaque(c, &g.transcriptHash)
	wire.Opaque(c, &g.extensions)
}

func TestVectorsKeySchedule(t *testing.T) {
	vectors.Run(t, "key-schedule", func(t *testing.T, c keySchedule) {
		s, err := suite.Lookup(suite.ID(c.CipherSuite))
		if err != nil {
			t.Fatal(err)
		}
		init := suite.NewSecret(c.InitialInitSecret)
		for i, e := range c.Epochs {
			same := func(what string, got, want []byte) {
				t.Helper()
				if !bytes.Equal(got, want) {
					t.Errorf("epoch %d: %s = %x, want %x", i, what, got, want)
				}
			}
			context, err := wire.Marshal(&groupContext{c.CipherSuite, c.GroupID, uint64(i), e.TreeHash, e.ConfirmedTranscriptHash, nil})
			if err != nil {
				t.Fatal(err)
			}
			same("group context", context, e.GroupContext)
			joiner := schedule.Joiner(s, init, suite.NewSecret(e.CommitSecret), context)
			same("joiner secret", joiner.Bytes(), e.JoinerSecret)
			psk := suite.NewSecret(e.PSKSecret)
			key, nonce := schedule.Welcome(s, joiner, psk)
			same("welcome key", key.Bytes(), s.ExpandWithLabel(suite.NewSecret(e.WelcomeSecret), "key", nil, s.Nk()).Bytes())
			same("welcome nonce", nonce, s.ExpandWithLabel(suite.NewSecret(e.WelcomeSecret), "nonce", nil, s.Nn()).Bytes())
			n := schedule.Epoch(s, joiner, psk, context)
			same("init", n.Init.Bytes(), e.InitSecret)
			same("sender data", n.SenderData.Bytes(), e.SenderDataSecret)
			same("encryption", n.Encryption.Bytes(), e.EncryptionSecret)
			same("exporter", n.Exporter.Bytes(), e.ExporterSecret)
			same("authenticator", n.Authenticator.Bytes(), e.EpochAuthenticator)
			same("external", n.External.Bytes(), e.ExternalSecret)
			same("confirmation", n.Confirmation.Bytes(), e.ConfirmationKey)
			same("membership", n.Membership.Bytes(), e.MembershipKey)
			same("resumption", n.Resumption.Bytes(), e.ResumptionPSK)
			external, err := s.DeriveHPKEKey(n.External)
			if err != nil {
				t.Fatal(err)
			}
			same("external pub", external.Public(), e.ExternalPub)
			same("export", n.Export(s, e.Exporter.Label, e.Exporter.Context, e.Exporter.Length).Bytes(), e.Exporter.Secret)
			init = n.Init
		}
	})
}

type pskSecret struct {
	CipherSuite uint16 `json:"cipher_suite"`
	PSKs        []struct {
		ID    vectors.Hex `json:"psk_id"`
		PSK   vectors.Hex `json:"psk"`
		Nonce vectors.Hex `json:"psk_nonce"`
	}
	PSKSecret vectors.Hex `json:"psk_secret"`
}

// externalPSK encodes a PreSharedKeyID of type external.
type externalPSK struct{ id, nonce []byte }

func (p *externalPSK) Wire(c *wire.Codec) {
	kind := uint8(1)
	wire.Uint8(c, &kind)
	wire.Opaque(c, &p.id)
	wire.Opaque(c, &p.nonce)
}

func TestVectorsPSKSecret(t *testing.T) {
	vectors.Run(t, "psk_secret", func(t *testing.T, c pskSecret) {
		s, err := suite.Lookup(suite.ID(c.CipherSuite))
		if err != nil {
			t.Fatal(err)
		}
		var psks []schedule.PSK
		for _, p := range c.PSKs {
			id, err := wire.Marshal(&externalPSK{p.ID, p.Nonce})
			if err != nil {
				t.Fatal(err)
			}
			psks = append(psks, schedule.PSK{ID: id, Secret: suite.NewSecret(p.PSK)})
		}
		got, err := schedule.PSKSecret(s, psks)
		if err != nil || !bytes.Equal(got.Bytes(), c.PSKSecret) {
			t.Errorf("psk_secret is wrong: %v", err)
		}
	})
}

// TestStoredSecretsSurvive checks that storing an epoch loses nothing but what a
// secret tree has taken over.
func TestStoredSecretsSurvive(t *testing.T) {
	s, err := suite.Lookup(suite.X25519AES128)
	if err != nil {
		t.Fatal(err)
	}
	secret := suite.NewSecret(slices.Repeat([]byte{1}, 32))
	e := schedule.FromEpochSecret(s, secret)
	b, err := wire.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var got schedule.Secrets
	if err := wire.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	context := binary.BigEndian.AppendUint16(nil, 7)
	if !got.Export(s, "l", context, 40).Equal(e.Export(s, "l", context, 40)) || !got.Init.Equal(e.Init) || !got.External.Equal(e.External) {
		t.Error("stored secrets are not the same")
	}
	if bytes.Contains(b, e.Encryption.Bytes()) || bytes.Contains(b, e.AppExport.Bytes()) {
		t.Error("the secrets of the trees are stored beside the trees")
	}
}

// TestSection8_4NumberOfPSKs: it is a uint16.
func TestSection8_4NumberOfPSKs(t *testing.T) {
	s, err := suite.Lookup(suite.X25519AES128)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := schedule.PSKSecret(s, make([]schedule.PSK, 1<<16)); !errors.Is(err, schedule.ErrTooManyPSKs) {
		t.Errorf("65536 PSKs: %v", err)
	}
}
