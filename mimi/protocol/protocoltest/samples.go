package protocoltest

import (
	"crypto/sha256"
	"math/rand/v2"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Sample is a message of this protocol. It has the right form; its signatures
// and ciphertexts are random.
type Sample struct {
	Name    string
	Message wire.Message
	// New returns an empty message of the same type.
	New func() wire.Message
}

// At is the time in all samples.
var At = time.Date(2026, 3, 14, 15, 9, 26, 535e6, time.UTC)

// The parties in all samples.
const (
	Hub   = "hub.example"
	Local = "local.example" // a follower
	Other = "other.example" // another follower
)

// Room, User and so on are the names in all samples. The pseudonyms are of
// [Local].
var (
	Room   = mimi.URI{Domain: Hub, Kind: mimi.KindRoom, ID: "3c9f6e0a-5a0b-4d53-9a37-0d6b51b8c2f1"}
	User   = mimi.URI{Domain: Local, Kind: mimi.KindUser, ID: "7d0e8f52-8a3c-4a7e-8c1a-5b7d2f90e3a4"}
	Client = mimi.URI{Domain: Local, Kind: mimi.KindClient, ID: "b1d2c3e4-0f1e-4d2c-9b3a-495867768594"}
)

func sample[T any, P interface {
	*T
	wire.Message
}](name string, m T) Sample {
	return Sample{name, P(&m), func() wire.Message { return P(new(T)) }}
}

// noise returns n octets that depend on name only.
func noise(name string, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(b)
	return b
}

// Ciphertext has the form of an HPKE ciphertext of n octets of plaintext.
func Ciphertext(n int) suite.HPKECiphertext {
	return suite.HPKECiphertext{KEMOutput: noise("kem", 32), Ciphertext: noise("ciphertext", n+16)}
}

// Samples returns one sample of every form of every message.
func Samples() []Sample {
	var all []Sample
	for _, part := range [][]Sample{updates(), messages(), fanouts(), groupInfos(), keyMaterials(), consents(), connections(), parts()} {
		all = append(all, part...)
	}
	return all
}

func public(content mls.ContentType) mls.MLSMessage {
	m := &mls.PublicMessage{
		Content: mls.FramedContent{
			GroupID: []byte(Room.Group().String()), Epoch: 7,
			Sender: mls.Sender{Type: mls.SenderMember, Index: 1}, ContentType: content,
		},
		Auth:          mls.FramedContentAuthData{Signature: noise("signature", 64)},
		MembershipTag: noise("membership", 32),
	}
	if content == mls.ContentCommit {
		m.Content.Commit = &mls.Commit{Proposals: []mls.ProposalOrRef{{Reference: noise("ref", 32)}}}
		m.Auth.ConfirmationTag = noise("confirmation", 32)
	} else {
		m.Content.Proposal = &mls.Proposal{Body: &mls.Remove{Removed: 2}}
	}
	return mls.MLSMessage{PublicMessage: m}
}

// Application returns a PrivateMessage with an application message.
func Application() mls.MLSMessage {
	return mls.MLSMessage{PrivateMessage: &mls.PrivateMessage{
		GroupID: []byte(Room.Group().String()), Epoch: 7, ContentType: mls.ContentApplication,
		EncryptedSenderData: noise("sender", 28), Ciphertext: noise("text", 256),
	}}
}

func welcome() *mls.Welcome {
	return &mls.Welcome{
		CipherSuite:        suite.X25519AES128,
		Secrets:            []mls.EncryptedGroupSecrets{{NewMember: noise("new", 32), Secrets: Ciphertext(80)}},
		EncryptedGroupInfo: noise("groupinfo", 300),
	}
}

func leafNode() mls.LeafNode {
	return mls.LeafNode{
		EncryptionKey: noise("encryption", 32), SignatureKey: noise("key", 32), Credential: credential(),
		Capabilities: mls.Capabilities{
			Versions: []mls.ProtocolVersion{mls.MLS10}, CipherSuites: []suite.ID{suite.X25519AES128}, Credentials: []mls.CredentialType{0xFD4D},
		},
		Source: mls.LeafNodeSourceUpdate, Signature: noise("leaf", 64),
	}
}

func credential() mls.Credential { return mls.Credential{Type: 0xFD4D, Body: noise("credential", 90)} }

func tree() mls.RatchetTree {
	leaf := leafNode()
	return mls.RatchetTree{&mls.Node{Leaf: &leaf}, nil, &mls.Node{Leaf: &leaf}}
}

func groupInfo() mls.GroupInfo {
	return mls.GroupInfo{
		GroupContext: mls.GroupContext{
			CipherSuite: suite.X25519AES128, GroupID: []byte(Room.Group().String()), Epoch: 8,
			TreeHash: noise("tree", 32), ConfirmedTranscriptHash: noise("transcript", 32),
		},
		Extensions:      mls.Extensions{{Type: mls.ExtensionExternalPub, Data: noise("external", 33)}},
		ConfirmationTag: noise("confirmation", 32), Signer: 1, Signature: noise("info", 64),
	}
}

func updates() []Sample {
	info := groupInfo()
	return []Sample{
		sample("UpdateRequest/commit", protocol.UpdateRequest{
			ProposalOrCommit: public(mls.ContentCommit), Welcome: welcome(),
			GroupInfo: protocol.GroupInfoOption{Full: &info}, RatchetTree: protocol.FullTree(tree()),
		}),
		sample("UpdateRequest/partial", protocol.UpdateRequest{
			ProposalOrCommit: public(mls.ContentCommit),
			GroupInfo: protocol.GroupInfoOption{Partial: &mls.PartialGroupInfo{
				RatchetTree: mls.RatchetTreeNever, Extensions: info.Extensions, Signature: info.Signature,
			}},
			RatchetTree: protocol.HubTree(),
		}),
		sample("UpdateRequest/proposals", protocol.UpdateRequest{
			ProposalOrCommit: public(mls.ContentProposal), MoreProposals: []mls.MLSMessage{public(mls.ContentProposal)},
		}),
		sample("UpdateRoomResponse/success", protocol.UpdateRoomResponse{Accepted: At}),
		sample("UpdateRoomResponse/wrongEpoch", protocol.UpdateRoomResponse{Code: protocol.UpdateWrongEpoch, CurrentEpoch: 9}),
		sample("UpdateRoomResponse/notAllowed", protocol.UpdateRoomResponse{Code: protocol.UpdateNotAllowed, ErrorDescription: protocol.ReasonRemovalPending}),
		sample("UpdateRoomResponse/invalidProposal", protocol.UpdateRoomResponse{
			Code: protocol.UpdateInvalidProposal, ErrorDescription: "no such leaf", InvalidProposals: []mls.ProposalRef{noise("ref", 32)},
		}),
	}
}

func frank() *protocol.Frank {
	return &protocol.Frank{ServerFrank: noise("frank", protocol.FrankSize), CipherSuite: suite.X25519AES128, Signature: noise("franked", 64)}
}

func messages() []Sample {
	return []Sample{
		sample("SubmitMessageRequest", protocol.SubmitMessageRequest{Message: Application(), Sender: User}),
		sample("SubmitMessageResponse/accepted", protocol.SubmitMessageResponse{Accepted: At}),
		sample("SubmitMessageResponse/franked", protocol.SubmitMessageResponse{Accepted: At, Frank: frank()}),
		sample("SubmitMessageResponse/notAllowed", protocol.SubmitMessageResponse{Code: protocol.SubmitNotAllowed}),
		sample("SubmitMessageResponse/epochTooOld", protocol.SubmitMessageResponse{Code: protocol.SubmitEpochTooOld, CurrentEpoch: 9}),
		sample("Frank", *frank()),
		sample("FrankAAD", protocol.FrankAAD{Tag: noise("tag", protocol.FrankSize)}),
		sample("FrankingAgentData", protocol.FrankingAgentData{SignatureKey: noise("key", 32), Credential: credential()}),
		sample("ServerFrankingContext", protocol.ServerFrankingContext{Sender: User, Room: Room, Accepted: At}),
	}
}

// Target is a leaf of [Local].
func Target() protocol.FanoutTarget {
	return protocol.FanoutTarget{
		Queue: identity.QueueReference{Domain: Local, KeyID: 3, Sealed: Ciphertext(identity.PadQueue)},
		TBS:   identity.PseudonymousCredentialTBS{ClientPseudonym: Client, UserPseudonym: User, SignaturePublicKey: noise("key", 32)},
	}
}

// Fanout is an application message for a leaf of [Local].
func Fanout() protocol.MinimalMetadataFanout {
	return protocol.MinimalMetadataFanout{
		Message: protocol.FanoutMessage{Accepted: At, Message: Application()},
		Targets: []protocol.FanoutTarget{Target()},
	}
}

func fanouts() []Sample {
	return []Sample{
		sample("FanoutMessage/application", protocol.FanoutMessage{Accepted: At, Message: Application(), Frank: frank()}),
		sample("FanoutMessage/welcome", protocol.FanoutMessage{Accepted: At, Message: mls.MLSMessage{Welcome: welcome()}, RatchetTree: protocol.FullTree(tree())}),
		sample("FanoutMessage/proposal", protocol.FanoutMessage{
			Accepted: At, Message: public(mls.ContentProposal), MoreProposals: []mls.MLSMessage{public(mls.ContentProposal)},
		}),
		sample("FanoutMessage/commit", protocol.FanoutMessage{
			Accepted: At, Message: public(mls.ContentCommit), ExternalProposals: []mls.MLSMessage{public(mls.ContentProposal)},
		}),
		sample("MinimalMetadataFanout", Fanout()),
	}
}

func groupInfos() []Sample {
	request := protocol.GroupInfoRequest{
		CipherSuite: suite.X25519AES128, SignatureKey: noise("key", 32), Credential: credential(),
		GroupInfoPublicKey: noise("hpke", 32), Signature: noise("request", 64),
	}
	withCode := request
	withCode.JoiningCode = suite.NewSecret(noise("code", 16))
	return []Sample{
		sample("GroupInfoRequest/member", request),
		sample("GroupInfoRequest/code", withCode),
		sample("GroupInfoResponse/success", protocol.GroupInfoResponse{
			Room: Room, Status: protocol.GroupInfoSuccess, CipherSuite: suite.X25519AES128,
			HubSender: mls.ExternalSender{SignatureKey: noise("hub", 32), Credential: mls.BasicCredential([]byte("mimi://" + Hub))},
			Sealed:    Ciphertext(2000), Signature: noise("response", 64),
		}),
		sample("GroupInfoResponse/notAuthorized", protocol.GroupInfoResponse{Room: Room, Status: protocol.GroupInfoNotAuthorized}),
		sample("GroupInfoRatchetTreeTBE", TreeAndTable()),
		sample("JoinCodeRegistration", protocol.JoinCodeRegistration{
			Room: Room, CodeHash: protocol.HashJoiningCode(noise("code", 16)), Bundle: noise("bundle", 100),
			NotAfter: At.Truncate(time.Second), Uses: 3, Signature: noise("registration", 64),
		}),
	}
}

// TreeAndTable is what a hub tells a joiner.
func TreeAndTable() protocol.GroupInfoRatchetTreeTBE {
	return protocol.GroupInfoRatchetTreeTBE{
		GroupInfo: groupInfo(), RatchetTree: protocol.FullTree(tree()),
		PendingProposals: []protocol.PendingProposal{{Proposal: public(mls.ContentProposal), Accepted: At}},
		Table: &identity.IdentityLinkTable{
			GroupID: []byte(Room.Group().String()), Epoch: 8,
			Entries: []identity.IdentityLinkEntry{
				{Leaf: 0, Key: &identity.EncryptedIdentityLinkKey{Nonce: noise("nonce", 12), Ciphertext: noise("wrapped", 48)}}, {Leaf: 1},
			},
		},
		LinkBundle: noise("bundle", 100),
	}
}

func requester() protocol.Requester {
	return protocol.Requester{
		CipherSuites: []suite.ID{suite.X25519AES128, suite.P256AES128},
		Required:     mls.RequiredCapabilities{Extensions: []mls.ExtensionType{6}, Proposals: []mls.ProposalType{8, 10}, Credentials: []mls.CredentialType{0xFD4D}},
		SignatureKey: noise("key", 32), Credential: credential(),
	}
}

// Anonymous is a request of a leaf of [Local], in the room at [Hub], to [Other].
func Anonymous() protocol.AnonymousKeyMaterialRequest {
	return protocol.AnonymousKeyMaterialRequest{
		RequestingUser: User, Target: protocol.KeyMaterialTarget{Domain: Other}, Room: Room, Requester: requester(),
		Token:     protocol.SealedConnectionToken{Domain: Other, KeyID: 1, Sealed: Ciphertext(256)},
		Signature: noise("request", 64),
	}
}

func keyPackage() mls.KeyPackage {
	pkg := mls.KeyPackage{
		Version: mls.MLS10, CipherSuite: suite.X25519AES128, InitKey: noise("init", 32), LeafNode: leafNode(), Signature: noise("package", 64),
	}
	pkg.LeafNode.Source, pkg.LeafNode.NotAfter = mls.LeafNodeSourceKeyPackage, 1<<32
	return pkg
}

// Consent is an entry about a user of [Hub] and the one in the samples.
func Consent(operation protocol.ConsentOperation) protocol.ConsentEntry {
	e := protocol.ConsentEntry{Operation: operation, ConsentScope: protocol.ConsentScope{
		Requester: User, Target: mimi.URI{Domain: Hub, Kind: mimi.KindUser, ID: "cathy"},
	}}
	if operation.Endpoint() == protocol.EndpointUpdateConsent {
		e.Requester, e.Target = e.Target, e.Requester
	}
	return e
}

func consents() []Sample {
	request, grant := Consent(protocol.ConsentRequest), Consent(protocol.ConsentGrant)
	request.Room = Room
	grant.KeyPackages = []mls.KeyPackage{keyPackage(), keyPackage()}
	grant.Extensions = mls.AppDataDictionary{{ID: 7, Data: noise("extension", 9)}, {ID: 9}}
	return []Sample{
		sample("ConsentEntry/cancel", Consent(protocol.ConsentCancel)),
		sample("ConsentEntry/request", Consent(protocol.ConsentRequest)),
		sample("ConsentEntry/request for a room", request),
		sample("ConsentEntry/grant", Consent(protocol.ConsentGrant)),
		sample("ConsentEntry/grant with everything", grant),
		sample("ConsentEntry/revoke", Consent(protocol.ConsentRevoke)),
		sample("ConsentScope", request.ConsentScope),
	}
}

func keyMaterials() []Sample {
	pkg := keyPackage()
	capabilities := pkg.LeafNode.Capabilities
	return []Sample{
		sample("KeyMaterialRequest/room", protocol.KeyMaterialRequest{
			RequestingUser: User, TargetUser: mimi.URI{Domain: Other, Kind: mimi.KindUser, ID: "cathy"}, Room: Room,
			Requester: requester(), Signature: noise("request", 64),
		}),
		sample("KeyMaterialRequest/roomless", protocol.KeyMaterialRequest{
			RequestingUser: User, TargetUser: mimi.URI{Domain: Other, Kind: mimi.KindUser, ID: "cathy"},
			Requester: requester(), Signature: noise("request", 64),
		}),
		sample("KeyMaterialResponse/success", protocol.KeyMaterialResponse{
			User: User, Clients: []protocol.ClientKeyMaterial{{Client: Client, KeyPackage: &pkg}},
		}),
		sample("KeyMaterialResponse/partialSuccess", protocol.KeyMaterialResponse{
			Status: protocol.KeyMaterialPartialSuccess, User: User, Clients: []protocol.ClientKeyMaterial{
				{Client: Client, KeyPackage: &pkg},
				{Status: protocol.ClientExhausted, Client: Client},
				{Status: protocol.ClientNothingCompatible, Client: Client, Capabilities: &capabilities},
			},
		}),
		sample("KeyMaterialResponse/noConsent", protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent}),
		sample("AnonymousKeyMaterialRequest", Anonymous()),
		sample("SealedConnectionToken", Anonymous().Token),
		sample("ConnectionTokenContent", protocol.ConnectionTokenContent{
			Token: identity.ConnectionToken{Secret: suite.NewSecret(noise("token", identity.SecretSize))},
			Nonce: noise("nonce", protocol.TokenNonceSize), Created: At, ResponseKey: noise("hpke", 32),
		}),
		sample("SealedKeyMaterial", protocol.SealedKeyMaterial{Sealed: Ciphertext(4096)}),
	}
}

func connections() []Sample {
	return []Sample{
		sample("ConnectionPackageRequest", protocol.ConnectionPackageRequest{User: mimi.URI{Domain: Other, Kind: mimi.KindUser, ID: "cathy"}}),
		sample("ConnectionPackageResponse/found", protocol.ConnectionPackageResponse{Package: noise("package", 900)}),
		sample("ConnectionPackageResponse/unknown", protocol.ConnectionPackageResponse{}),
		sample("ConnectionRequest", protocol.ConnectionRequest{
			Target: mimi.URI{Domain: Other, Kind: mimi.KindUser, ID: "cathy"}, PackageRef: noise("ref", 32), Request: Ciphertext(4096),
		}),
	}
}

func parts() []Sample {
	return []Sample{
		sample("RatchetTreeOption/httpsUri", protocol.RatchetTreeOption{
			Representation: protocol.TreeHTTPSURI, URL: "https://hub.example/tree", Signature: noise("tree", 64),
		}),
		sample("RatchetTreeOption/outOfBand", protocol.RatchetTreeOption{Representation: protocol.TreeOutOfBand, Signature: noise("tree", 64)}),
		sample("PendingProposal", protocol.PendingProposal{Proposal: public(mls.ContentProposal), Accepted: At}),
		sample("KeyMaterialTarget", protocol.KeyMaterialTarget{Domain: Other}),
	}
}
