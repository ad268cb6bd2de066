package protocol_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func signatureKey(t *testing.T, s *suite.Suite, name string) suite.SignatureKey {
	t.Helper()
	key, err := s.GenerateSignatureKey(identitytest.Random(name))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func hpkeKey(t *testing.T, s *suite.Suite, name string) suite.HPKEPrivateKey {
	t.Helper()
	key, err := s.GenerateHPKEKey(identitytest.Random(name))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pseudonym returns the names of a leaf with that key.
func pseudonym(key suite.SignatureKey) *identity.PseudonymousCredentialTBS {
	return &identity.PseudonymousCredentialTBS{
		ClientPseudonym: protocoltest.Client, UserPseudonym: protocoltest.User, SignaturePublicKey: key.Public(),
	}
}

// A signed message verifies; with one octet of it changed it does not. Octets are
// changed on the wire, so that no field is forgotten.
func checkSigned(t *testing.T, m wire.Message, fresh func() wire.Message, verify func(wire.Message) error) {
	t.Helper()
	b := marshal(t, m)
	if err := verify(m); err != nil {
		t.Fatalf("it does not verify: %v", err)
	}
	changed := 0
	for i := range b {
		c := slices.Clone(b)
		c[i] ^= 1
		got := fresh()
		if wire.Unmarshal(c, got) != nil {
			continue
		}
		changed++
		if verify(got) == nil {
			t.Fatalf("it verifies with octet %d of %d changed", i, len(b))
		}
	}
	if changed < 64 {
		t.Errorf("only %d changes were decodable", changed)
	}
}

func TestSignaturesCoverEveryOctet(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		key := signatureKey(t, s, "leaf")
		t.Run("KeyMaterialRequest", func(t *testing.T) {
			r := &protocol.KeyMaterialRequest{
				RequestingUser: protocoltest.User, TargetUser: mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: "bob"},
				Room: protocoltest.Room, Requester: protocol.Requester{CipherSuites: []suite.ID{s.ID()}, Credential: mls.BasicCredential([]byte("alice"))},
			}
			if err := r.Sign(s, key); err != nil {
				t.Fatal(err)
			}
			checkSigned(t, r, func() wire.Message { return &protocol.KeyMaterialRequest{} }, func(m wire.Message) error { return m.(*protocol.KeyMaterialRequest).Verify(s) })
		})
		t.Run("AnonymousKeyMaterialRequest", func(t *testing.T) {
			r := protocoltest.Anonymous()
			if err := r.Sign(s, key); err != nil {
				t.Fatal(err)
			}
			checkSigned(t, &r, func() wire.Message { return &protocol.AnonymousKeyMaterialRequest{} }, func(m wire.Message) error { return m.(*protocol.AnonymousKeyMaterialRequest).Verify(s) })
		})
		t.Run("GroupInfoRequest", func(t *testing.T) {
			r := &protocol.GroupInfoRequest{
				Credential: mls.BasicCredential([]byte("alice")), GroupInfoPublicKey: hpkeKey(t, s, "info").Public(),
				JoiningCode: suite.NewSecret([]byte("0123456789abcdef")),
			}
			if err := r.Sign(s, key); err != nil {
				t.Fatal(err)
			}
			checkSigned(t, r, func() wire.Message { return &protocol.GroupInfoRequest{} }, func(m wire.Message) error { return m.(*protocol.GroupInfoRequest).Verify() })
			r.JoiningCode = suite.Secret{}
			if err := r.Verify(); !errors.Is(err, suite.ErrSignature) {
				t.Errorf("without its joining code: %v", err)
			}
		})
		t.Run("JoinCodeRegistration", func(t *testing.T) {
			r := &protocol.JoinCodeRegistration{
				Room: protocoltest.Room, CodeHash: protocol.HashJoiningCode([]byte("code")), Bundle: []byte("bundle"), NotAfter: protocoltest.At, Uses: 1,
			}
			if err := r.Sign(s, key); err != nil {
				t.Fatal(err)
			}
			checkSigned(t, r, func() wire.Message { return &protocol.JoinCodeRegistration{} }, func(m wire.Message) error { return m.(*protocol.JoinCodeRegistration).Verify(s, key.Public()) })
		})
	})
}

func TestGroupInfoIsForTheRequester(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		hub, private := signatureKey(t, s, "hub"), hpkeKey(t, s, "info")
		sender := mls.ExternalSender{SignatureKey: hub.Public(), Credential: mls.BasicCredential([]byte("mimi://hub.example"))}
		content := protocoltest.TreeAndTable()
		resp, err := protocol.NewGroupInfoResponse(s, sender, hub, protocoltest.Room, private.Public(), &content)
		if err != nil {
			t.Fatal(err)
		}
		open := func(m wire.Message) error {
			got, err := m.(*protocol.GroupInfoResponse).Open(s, private, protocoltest.Room)
			if err == nil && string(marshal(t, got)) != string(marshal(t, &content)) {
				t.Error("it opens to something else")
			}
			return err
		}
		checkSigned(t, resp, func() wire.Message { return &protocol.GroupInfoResponse{} }, open)

		if _, err := resp.Open(s, hpkeKey(t, s, "another"), protocoltest.Room); !errors.Is(err, suite.ErrDecrypt) {
			t.Errorf("with another key: %v", err)
		}
		another := protocoltest.Room
		another.ID = protocoltest.User.ID
		if _, err := resp.Open(s, private, another); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("for another room: %v", err)
		}
	})
}

func franking(t *testing.T, s *suite.Suite) (hubKey suite.Secret, agent suite.SignatureKey, tag []byte, context protocol.ServerFrankingContext) {
	t.Helper()
	return suite.NewSecret([]byte("a secret of the hub, 32 octets..")), signatureKey(t, s, "agent"),
		protocol.FrankingTag([]byte("a salt of 16 oct"), []byte("application data")),
		protocol.ServerFrankingContext{Sender: protocoltest.User, Room: protocoltest.Room, Accepted: protocoltest.At}
}

// The construction of draft-ietf-mimi-protocol-06, section 5.4.1, written out by
// hand.
func TestFrankIsWhatTheDraftSays(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	hubKey, agent, tag, context := franking(t, s)
	f, err := protocol.NewFrank(s, hubKey, agent, tag, context)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key []byte, data ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, d := range data {
			h.Write(d)
		}
		return h.Sum(nil)
	}
	if want := mac([]byte("a salt of 16 oct"), []byte("application data")); !slices.Equal(tag, want) {
		t.Error("franking_tag is not HMAC_SHA256(salt, application_data)")
	}
	var octets []byte
	for _, u := range []mimi.URI{protocoltest.User, protocoltest.Room} {
		if n := len(u.String()); n < 64 {
			octets = append(octets, byte(n))
		} else {
			octets = binary.BigEndian.AppendUint16(octets, 1<<14|uint16(n))
		}
		octets = append(octets, u.String()...)
	}
	octets = binary.BigEndian.AppendUint64(octets, uint64(protocoltest.At.UnixMilli()))
	if want := mac(hubKey.Bytes(), tag, octets); !slices.Equal(f.ServerFrank, want) {
		t.Error("server_frank is not HMAC_SHA256(hub_key, franking_tag || context)")
	}
	tbs := append(slices.Clone(f.ServerFrank), 0, 1)
	if err := s.VerifyWithLabel(agent.Public(), "FrankingIntegrityTBS", append(tbs, octets...), f.Signature); err != nil {
		t.Errorf("franking_integrity_signature: %v", err)
	}
}

func TestFrankVerifiesOnlyInItsContext(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		hubKey, agent, tag, context := franking(t, s)
		f, err := protocol.NewFrank(s, hubKey, agent, tag, context)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Verify(s, agent.Public(), context); err != nil {
			t.Fatal(err)
		}
		if !f.VerifyServer(hubKey, tag, context) {
			t.Fatal("the hub does not recognise its frank")
		}
		later, elsewhere, other := context, context, context
		later.Accepted = later.Accepted.Add(time.Millisecond)
		elsewhere.Room.ID = protocoltest.User.ID
		other.Sender.ID = protocoltest.Room.ID
		for name, c := range map[string]protocol.ServerFrankingContext{"time": later, "room": elsewhere, "sender": other} {
			if err := f.Verify(s, agent.Public(), c); !errors.Is(err, suite.ErrSignature) {
				t.Errorf("another %s: %v", name, err)
			}
			if f.VerifyServer(hubKey, tag, c) {
				t.Errorf("another %s: the hub recognises it", name)
			}
		}
		if f.VerifyServer(suite.NewSecret([]byte("another")), tag, context) || f.VerifyServer(hubKey, tag[:31], context) || f.VerifyServer(hubKey, f.ServerFrank, context) {
			t.Error("the hub recognises a frank of another key or message")
		}
		for _, id := range suite.IDs() {
			if id == s.ID() {
				continue
			}
			moved := *f
			moved.CipherSuite = id
			if err := moved.Verify(s, agent.Public(), context); !errors.Is(err, suite.ErrSignature) {
				t.Errorf("said to be of %v: %v", id, err)
			}
		}
	})
}

// Suites 1 and 3 sign alike: only the comparison of the suites tells them apart.
func TestFrankOfAnotherSuiteIsRefused(t *testing.T) {
	one, three := identitytest.Suite(t, suite.X25519AES128), identitytest.Suite(t, suite.X25519ChaCha20)
	hubKey, agent, tag, context := franking(t, one)
	f, err := protocol.NewFrank(three, hubKey, agent, tag, context)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(three, agent.Public(), context); err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(one, agent.Public(), context); !errors.Is(err, suite.ErrSignature) {
		t.Errorf("got %v", err)
	}
}

func TestConnectionTokenIsForOneLeafInOneRoom(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		ring, err := identity.ProviderKeyRing{}.Rotate(s, protocoltest.At, protocoltest.At.Add(time.Hour), time.Hour, identitytest.Random("ring"))
		if err != nil {
			t.Fatal(err)
		}
		public, _ := ring.Newest()
		leaf, response := signatureKey(t, s, "leaf"), hpkeKey(t, s, "response")
		token, err := identity.NewConnectionToken(identitytest.Random("token"))
		if err != nil {
			t.Fatal(err)
		}
		content := &protocol.ConnectionTokenContent{Token: token, Nonce: make([]byte, protocol.TokenNonceSize), Created: protocoltest.At, ResponseKey: response.Public()}
		sealed, err := protocol.SealConnectionToken(protocoltest.Other, public, protocoltest.Room, pseudonym(leaf), content)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sealed.Open(ring, protocoltest.Room, pseudonym(leaf))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Token.Equal(token.Secret) || !got.Created.Equal(protocoltest.At) || !slices.Equal(got.ResponseKey, response.Public()) {
			t.Error("it opens to something else")
		}
		room := protocoltest.Room
		room.ID = protocoltest.User.ID
		if _, err := sealed.Open(ring, room, pseudonym(leaf)); err == nil {
			t.Error("it opens for another room")
		}
		if _, err := sealed.Open(ring, protocoltest.Room, pseudonym(signatureKey(t, s, "thief"))); err == nil {
			t.Error("it opens for another leaf")
		}
	})
}

func TestKeyMaterialIsForTheRequester(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		request := protocoltest.Anonymous()
		hash, err := request.Hash()
		if err != nil {
			t.Fatal(err)
		}
		another := protocoltest.Anonymous()
		another.Signature[0] ^= 1
		otherHash, err := another.Hash()
		if err != nil {
			t.Fatal(err)
		}
		private := hpkeKey(t, s, "response")
		sizes := map[int]bool{}
		for _, code := range []protocol.KeyMaterialUserCode{protocol.KeyMaterialNoConsent, protocol.KeyMaterialUserUnknown} {
			sealed, err := protocol.SealKeyMaterial(s, private.Public(), hash, &protocol.KeyMaterialResponse{Status: code})
			if err != nil {
				t.Fatal(err)
			}
			sizes[len(marshal(t, sealed))] = true
			got, err := sealed.Open(s, private, hash)
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := errors.AsType[*protocol.KeyMaterialError](got.Err()); !ok || e.Code != code {
				t.Errorf("code %d became %v", code, got.Err())
			}
			if _, err := sealed.Open(s, private, otherHash); !errors.Is(err, suite.ErrDecrypt) {
				t.Errorf("it opens as the answer to another request: %v", err)
			}
		}
		if len(sizes) != 1 {
			t.Errorf("answers of %d sizes", len(sizes))
		}
	})
}
