package mls

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/secrettree"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest/vectors"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

type messageProtection struct {
	CipherSuite             uint16      `json:"cipher_suite"`
	GroupID                 vectors.Hex `json:"group_id"`
	Epoch                   uint64
	TreeHash                vectors.Hex `json:"tree_hash"`
	ConfirmedTranscriptHash vectors.Hex `json:"confirmed_transcript_hash"`
	SignaturePriv           vectors.Hex `json:"signature_priv"`
	SignaturePub            vectors.Hex `json:"signature_pub"`
	EncryptionSecret        vectors.Hex `json:"encryption_secret"`
	SenderDataSecret        vectors.Hex `json:"sender_data_secret"`
	MembershipKey           vectors.Hex `json:"membership_key"`
	Proposal                vectors.Hex
	ProposalPub             vectors.Hex `json:"proposal_pub"`
	ProposalPriv            vectors.Hex `json:"proposal_priv"`
	Commit                  vectors.Hex
	CommitPub               vectors.Hex `json:"commit_pub"`
	CommitPriv              vectors.Hex `json:"commit_priv"`
	Application             vectors.Hex
	ApplicationPriv         vectors.Hex `json:"application_priv"`
}

// protection is one case with its keys.
type protection struct {
	messageProtection
	suite      *suite.Suite
	membership suite.Secret
	key        suite.SignatureKey
	context    []byte
}

func (p *protection) keys() *messageKeys {
	return &messageKeys{
		p.suite, suite.NewSecret(p.SenderDataSecret),
		secrettree.New(p.suite, suite.NewSecret(p.EncryptionSecret), 2, secrettree.Limits{Skipped: 10, Forward: 10}),
	}
}

// body returns the raw content of a message.
func body(t *testing.T, c *FramedContent) []byte {
	t.Helper()
	var m wire.Message
	switch c.ContentType {
	case ContentApplication:
		return c.ApplicationData
	case ContentProposal:
		m = c.Proposal
	case ContentCommit:
		m = c.Commit
	}
	b, err := wire.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p *protection) checkPublic(t *testing.T, m *PublicMessage, raw []byte) {
	t.Helper()
	a, err := fromPublic(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.verifyMembership(p.suite, m.MembershipTag, p.membership, p.context); err != nil {
		t.Error(err)
	}
	if err := a.verify(p.suite, p.SignaturePub, p.context); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(body(t, &a.content), raw) {
		t.Error("other content than the raw one")
	}
}

func (p *protection) checkPrivate(t *testing.T, m *PrivateMessage, raw []byte) {
	t.Helper()
	keys := p.keys()
	d, err := keys.openSenderData(m)
	if err != nil {
		t.Fatal(err)
	}
	a, key, err := keys.open(m, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.verify(p.suite, p.SignaturePub, p.context); err != nil {
		t.Error(err)
	}
	key.Consume()
	if d.leaf != 1 || !bytes.Equal(body(t, &a.content), raw) {
		t.Error("other sender or content")
	}
	if _, _, err := keys.open(m, d); !errors.Is(err, ErrReplay) {
		t.Errorf("a second time: %v", err)
	}
}

func (p *protection) message(t *testing.T, b []byte) *MLSMessage {
	t.Helper()
	m := new(MLSMessage)
	if err := wire.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// own protects a content of our own and checks it like the vector's.
func (p *protection) own(t *testing.T, content FramedContent, raw []byte) {
	t.Helper()
	content.GroupID, content.Epoch, content.Sender = p.GroupID, p.Epoch, Sender{SenderMember, 1}
	for _, format := range []WireFormat{WireFormatPublicMessage, WireFormatPrivateMessage} {
		a := &authenticatedContent{format: format, content: content}
		if err := a.sign(p.suite, p.key, p.context); err != nil {
			t.Fatal(err)
		}
		if content.ContentType == ContentCommit {
			a.auth.ConfirmationTag = []byte("tag")
		}
		if format == WireFormatPrivateMessage {
			m, err := p.keys().protect(rand.Reader, a, 64)
			if err != nil {
				t.Fatal(err)
			}
			p.checkPrivate(t, m, raw)
			continue
		}
		m, err := a.public(p.suite, p.membership, p.context)
		if content.ContentType == ContentApplication {
			if !errors.Is(err, ErrWireFormat) {
				t.Errorf("application data in a PublicMessage: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		p.checkPublic(t, m, raw)
	}
}

func TestVectorsMessageProtection(t *testing.T) {
	vectors.Run(t, "message-protection", func(t *testing.T, c messageProtection) {
		p := &protection{messageProtection: c, suite: vectorSuite(t, c.CipherSuite), membership: suite.NewSecret(c.MembershipKey)}
		var err error
		if p.key, err = p.suite.ImportSignatureKey(suite.NewSecret(c.SignaturePriv)); err != nil {
			t.Fatal(err)
		}
		p.context, err = wire.Marshal(&GroupContext{
			CipherSuite: CipherSuite(c.CipherSuite), GroupID: c.GroupID, Epoch: c.Epoch,
			TreeHash: c.TreeHash, ConfirmedTranscriptHash: c.ConfirmedTranscriptHash,
		})
		if err != nil {
			t.Fatal(err)
		}
		p.checkPublic(t, p.message(t, c.ProposalPub).PublicMessage, c.Proposal)
		p.checkPublic(t, p.message(t, c.CommitPub).PublicMessage, c.Commit)
		p.checkPrivate(t, p.message(t, c.ProposalPriv).PrivateMessage, c.Proposal)
		p.checkPrivate(t, p.message(t, c.CommitPriv).PrivateMessage, c.Commit)
		p.checkPrivate(t, p.message(t, c.ApplicationPriv).PrivateMessage, c.Application)

		var proposal Proposal
		if err := wire.Unmarshal(c.Proposal, &proposal); err != nil {
			t.Fatal(err)
		}
		var commit Commit
		if err := wire.Unmarshal(c.Commit, &commit); err != nil {
			t.Fatal(err)
		}
		p.own(t, FramedContent{ContentType: ContentProposal, Proposal: &proposal}, c.Proposal)
		p.own(t, FramedContent{ContentType: ContentCommit, Commit: &commit}, c.Commit)
		p.own(t, FramedContent{ContentType: ContentApplication, ApplicationData: c.Application}, c.Application)
	})
}

type transcriptHashes struct {
	CipherSuite                  uint16      `json:"cipher_suite"`
	ConfirmationKey              vectors.Hex `json:"confirmation_key"`
	AuthenticatedContent         vectors.Hex `json:"authenticated_content"`
	InterimTranscriptHashBefore  vectors.Hex `json:"interim_transcript_hash_before"`
	ConfirmedTranscriptHashAfter vectors.Hex `json:"confirmed_transcript_hash_after"`
	InterimTranscriptHashAfter   vectors.Hex `json:"interim_transcript_hash_after"`
}

func TestVectorsTranscriptHashes(t *testing.T) {
	vectors.Run(t, "transcript-hashes", func(t *testing.T, c transcriptHashes) {
		s := vectorSuite(t, c.CipherSuite)
		var a authenticatedContent
		again(t, "authenticated_content", c.AuthenticatedContent, &a)
		if a.content.ContentType != ContentCommit {
			t.Fatalf("content type %d", a.content.ContentType)
		}
		input, err := a.confirmedInput()
		if err != nil {
			t.Fatal(err)
		}
		confirmed := schedule.ConfirmedTranscriptHash(s, c.InterimTranscriptHashBefore, input...)
		if !bytes.Equal(confirmed, c.ConfirmedTranscriptHashAfter) {
			t.Error("confirmed transcript hash is wrong")
		}
		if !s.VerifyMAC(suite.NewSecret(c.ConfirmationKey), a.auth.ConfirmationTag, confirmed) {
			t.Error("confirmation tag does not verify")
		}
		interim, err := schedule.InterimTranscriptHash(s, confirmed, a.auth.ConfirmationTag)
		if err != nil || !bytes.Equal(interim, c.InterimTranscriptHashAfter) {
			t.Errorf("interim transcript hash is wrong: %v", err)
		}
	})
}
