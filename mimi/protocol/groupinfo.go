package protocol

import (
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	groupInfoRequestLabel  = "GroupInfoRequestTBS"
	groupInfoResponseLabel = "GroupInfoResponseTBS"
	groupInfoSealLabel     = "GroupInfo and ratchet_tree encryption"
)

// MaxJoiningCode is the longest joining code in octets.
const MaxJoiningCode = 64

// A GroupInfoRequest asks for what an external join needs
// (draft-ietf-mimi-protocol-06, section 5.6).
//
//	struct {
//	    Protocol protocol;
//	    select (protocol) {
//	        case mls10:
//	            CipherSuite cipher_suite;
//	            SignaturePublicKey requestingSignatureKey;
//	            Credential requestingCredential;
//	            HPKEPublicKey groupInfoPublicKey;
//	            opaque joiningCode<V>;
//	            /* SignWithLabel(requestingSignatureKey, "GroupInfoRequestTBS", GroupInfoRequestTBS) */
//	            opaque signature<V>;
//	    };
//	} GroupInfoRequest;
//
// GroupInfoRequestTBS is the same without the signature, and with
// optional<opaque<V>> joiningCode, absent where the request's is empty.
type GroupInfoRequest struct {
	// CipherSuite of the signatures and of GroupInfoPublicKey.
	CipherSuite suite.ID
	// SignatureKey of the client; in minimal-metadata rooms a current leaf's, or
	// the one of the leaf that will join.
	SignatureKey []byte
	Credential   mls.Credential
	// GroupInfoPublicKey is a fresh HPKE key to which the answer is sealed.
	GroupInfoPublicKey []byte
	// JoiningCode proves permission; empty where the credential does.
	JoiningCode suite.Secret
	Signature   []byte
}

// Wire implements [wire.Message].
func (r *GroupInfoRequest) Wire(c *wire.Codec) {
	r.head(c)
	code := r.JoiningCode.Bytes()
	wire.Opaque(c, &code)
	if len(code) > MaxJoiningCode {
		c.Fail(fmt.Errorf("%w: joining code of %d octets", ErrMalformed, len(code)))
	}
	if c.Decoding() {
		r.JoiningCode = suite.NewSecret(code)
	}
	wire.Opaque(c, &r.Signature)
}

func (r *GroupInfoRequest) head(c *wire.Codec) {
	p := MLS10
	p.Wire(c)
	wire.Uint16(c, &r.CipherSuite)
	wire.Opaque(c, &r.SignatureKey)
	r.Credential.Wire(c)
	wire.Opaque(c, &r.GroupInfoPublicKey)
}

func (r *GroupInfoRequest) tbs(c *wire.Codec) {
	r.head(c)
	var code *[]byte
	if b := r.JoiningCode.Bytes(); len(b) > 0 {
		code = &b
	}
	wire.Optional(c, &code, wire.Opaque)
}

// Sign sets SignatureKey and Signature.
func (r *GroupInfoRequest) Sign(s *suite.Suite, key suite.SignatureKey) (err error) {
	r.CipherSuite, r.SignatureKey = s.ID(), key.Public()
	r.Signature, err = sign(s, key, groupInfoRequestLabel, r.tbs)
	return err
}

// Verify checks the signature with the SignatureKey in the request. Whose key
// that is, the caller decides. It fails with suite.ErrUnsupported or
// suite.ErrSignature.
func (r *GroupInfoRequest) Verify() error {
	s, err := suite.Lookup(r.CipherSuite)
	if err != nil {
		return err
	}
	return verify(s, r.SignatureKey, groupInfoRequestLabel, r.tbs, r.Signature)
}

// A GroupInfoCode is the outcome of a [GroupInfoRequest].
//
//	enum { reserved(0), success(1), notAuthorized(2), noSuchRoom(3), (255) } GroupInfoCode;
type GroupInfoCode uint8

// The outcomes.
const (
	GroupInfoSuccess       GroupInfoCode = 1
	GroupInfoNotAuthorized GroupInfoCode = 2
	GroupInfoNoSuchRoom    GroupInfoCode = 3
)

// A GroupInfoResponse answers a [GroupInfoRequest]
// (draft-ietf-mimi-protocol-06, section 5.6).
//
//	struct {
//	    Protocol version;
//	    opaque room_id<V>;
//	    GroupInfoCode status;
//	    select (status) {
//	        case success:
//	            CipherSuite cipher_suite;
//	            ExternalSender hub_sender;
//	            HPKECiphertext encrypted_groupinfo_and_tree;
//	            /* SignWithLabel(hub_sender.signature_key, "GroupInfoResponseTBS", GroupInfoResponseTBS) */
//	            opaque signature<V>;
//	    };
//	} GroupInfoResponse;
type GroupInfoResponse struct {
	Room   mimi.URI
	Status GroupInfoCode

	// The rest is there with GroupInfoSuccess.

	CipherSuite suite.ID
	// HubSender is the hub in the group's external_senders; the receiver compares
	// it with the GroupInfo inside.
	HubSender mls.ExternalSender
	// Sealed is a [GroupInfoRatchetTreeTBE]; see [GroupInfoResponse.Open].
	Sealed    suite.HPKECiphertext
	Signature []byte
}

// Wire implements [wire.Message].
func (r *GroupInfoResponse) Wire(c *wire.Codec) {
	r.head(c)
	if r.Status == GroupInfoSuccess {
		r.answer(c)
		wire.Opaque(c, &r.Signature)
	}
}

func (r *GroupInfoResponse) head(c *wire.Codec) {
	p := MLS10
	p.Wire(c)
	roomURI(c, &r.Room)
	enum(c, &r.Status, GroupInfoSuccess, GroupInfoNoSuchRoom)
}

func (r *GroupInfoResponse) answer(c *wire.Codec) {
	wire.Uint16(c, &r.CipherSuite)
	r.HubSender.Wire(c)
	r.Sealed.Wire(c)
}

func (r *GroupInfoResponse) tbs(c *wire.Codec) {
	r.head(c)
	r.answer(c)
}

// NewGroupInfoResponse seals content for the sender of a verified request, and
// signs it with the hub's key.
func NewGroupInfoResponse(s *suite.Suite, hub mls.ExternalSender, key suite.SignatureKey, room mimi.URI, groupInfoPublicKey []byte, content *GroupInfoRatchetTreeTBE) (*GroupInfoResponse, error) {
	plaintext, err := wire.Marshal(content)
	if err != nil {
		return nil, err
	}
	r := &GroupInfoResponse{Room: room, Status: GroupInfoSuccess, CipherSuite: s.ID(), HubSender: hub}
	if r.Sealed, err = s.EncryptWithLabel(groupInfoPublicKey, groupInfoSealLabel, []byte(room.String()), plaintext); err != nil {
		return nil, err
	}
	r.Signature, err = sign(s, key, groupInfoResponseLabel, r.tbs)
	return r, err
}

// Open verifies the signature by HubSender, and opens the content with the
// private key of the request. The room must be the one that was asked for. The
// caller then finds HubSender among the external_senders of the GroupInfo.
func (r *GroupInfoResponse) Open(s *suite.Suite, private suite.HPKEPrivateKey, room mimi.URI) (*GroupInfoRatchetTreeTBE, error) {
	if err := r.Err(); err != nil {
		return nil, err
	}
	if r.Room != room || r.CipherSuite != s.ID() {
		return nil, mimi.Refuse("group-info-answer-room", fmt.Errorf("%w: a GroupInfo of another room or cipher suite than asked for", ErrMalformed))
	}
	if err := verify(s, r.HubSender.SignatureKey, groupInfoResponseLabel, r.tbs, r.Signature); err != nil {
		return nil, mimi.Refuse("group-info-answer-signature", fmt.Errorf("GroupInfo response: %w", err))
	}
	plaintext, err := s.DecryptWithLabel(private, groupInfoSealLabel, []byte(room.String()), r.Sealed)
	if err != nil {
		return nil, mimi.Refuse("group-info-answer-opens", fmt.Errorf("GroupInfo response: %w", err))
	}
	content := &GroupInfoRatchetTreeTBE{}
	if err := wire.Unmarshal(plaintext, content); err != nil {
		return nil, fmt.Errorf("GroupInfo response: %w", err)
	}
	return content, nil
}

// Err returns nil for a success, and otherwise the [*NotAllowedError] or
// [ErrNoSuchRoom] that the response stands for.
func (r *GroupInfoResponse) Err() error {
	switch r.Status {
	case GroupInfoSuccess:
		return nil
	case GroupInfoNoSuchRoom:
		return ErrNoSuchRoom
	default:
		return &NotAllowedError{}
	}
}

// GroupInfoResult returns the response for a room that says err, or false if err
// is none that this endpoint's response can say.
func GroupInfoResult(room mimi.URI, err error) (*GroupInfoResponse, bool) {
	if _, ok := errors.AsType[*NotAllowedError](err); ok {
		return &GroupInfoResponse{Room: room, Status: GroupInfoNotAuthorized}, true
	}
	if errors.Is(err, ErrNoSuchRoom) {
		return &GroupInfoResponse{Room: room, Status: GroupInfoNoSuchRoom}, true
	}
	return nil, false
}

// A PendingProposal is a proposal that the hub accepted in the current epoch.
//
//	struct { MLSMessage proposal; uint64 hub_accepted_time; } PendingProposal;
type PendingProposal struct {
	Proposal mls.MLSMessage
	// Accepted is the hub's acceptance time, in whole milliseconds.
	Accepted time.Time
}

// Wire implements [wire.Message].
func (p *PendingProposal) Wire(c *wire.Codec) {
	p.Proposal.Wire(c)
	if contentType(&p.Proposal) != mls.ContentProposal {
		c.Fail(fmt.Errorf("%w: a pending proposal is a Proposal in a PublicMessage", ErrMalformed))
	}
	milliseconds(c, &p.Accepted)
}
