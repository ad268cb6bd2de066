package identity_test

import (
	"bytes"
	"encoding/pem"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// known is the state that the known answers share.
type known struct {
	*identitytest.Vectors
	t       *testing.T
	s       *suite.Suite
	groupID []byte
	key     identity.WrapperKey
	tbs     identity.PseudonymousCredentialTBS
}

func loadKnown(t *testing.T, v *identitytest.Vectors) *known {
	t.Helper()
	k := &known{Vectors: v, t: t, s: identitytest.Suite(t, suite.X25519AES128), groupID: v.Bytes("group_id")}
	k.key = identity.WrapperKey{Generation: identity.Generation(v.Number("wrapper_epoch")), Key: v.Secret("identity_link_wrapper_key")}
	decode(t, v.Bytes("PseudonymousCredentialTBS"), &k.tbs)
	return k
}

// TestKnownAnswers reproduces the vectors, and fails when one is added that
// nobody looks at.
func TestKnownAnswers(t *testing.T) {
	v := identitytest.Load(t)
	for name, test := range map[string]func(*testing.T, *known){
		"Credential": knownCredential, "LinkTBE": knownLinkTBE, "Wrapping": knownWrapping, "Table": knownTable, "Join": knownJoin,
		"RoomMetadataKey": knownRoomMetadataKey, "SiblingProof": knownSiblingProof, "QueueReference": knownQueueReference,
	} {
		t.Run(name, func(t *testing.T) { test(t, loadKnown(t, v)) })
	}
	left := v.Unused(
		"cipher_suite",
		// what packages connection and keymaterial reproduce
		"ConnectionEstablishmentPackage", "ConnectionRequest", "ConnectionResponse", "ConnectionTokenPlaintext",
		"EncryptedConnectionRequest", "EncryptedConnectionResponse", "SealedConnectionToken", "SignedConnectionRequest",
		"adder_tbs", "alice_client_credential", "alice_client_private_key_seed", "cep_ref",
		"connection_establishment_private_key", "connection_request_hpke_ephemeral_private_key",
		"connection_request_hpke_info", "connection_response_hpke_info", "connection_response_private_key",
		"connection_token_hpke_info", "joining_code", "keymaterial_private_key", "token_hash",
	)
	if len(left) > 0 && !t.Failed() {
		t.Errorf("nobody reproduces %q", left)
	}
}

func (k *known) same(name string, got []byte) {
	k.t.Helper()
	if want := k.Bytes(name); !bytes.Equal(got, want) {
		k.t.Errorf("%s\n got %x\nwant %x", name, got, want)
	}
}

func decode(tb testing.TB, b []byte, m wire.Message) {
	tb.Helper()
	if err := wire.Unmarshal(b, m); err != nil {
		tb.Fatalf("decode %T: %v", m, err)
	}
}

func encode(tb testing.TB, m wire.Message) []byte {
	tb.Helper()
	b, err := wire.Marshal(m)
	if err != nil {
		tb.Fatalf("encode %T: %v", m, err)
	}
	return b
}

func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// vectorTime is within the validity of the vectors' certificates.
var vectorTime = time.Date(2026, 1, 20, 0, 0, 0, 0, time.UTC)

func (k *known) authority(domain string) *identity.Authority {
	k.t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Bytes("provider_ca_certificate")})
	return must[*identity.Authority](k.t)(identity.ParseAuthority(domain, data))
}

func (k *known) bob() *identity.Client {
	k.t.Helper()
	key := must[suite.SignatureKey](k.t)(k.s.ImportSignatureKey(k.Secret("client_private_key_seed")))
	return &identity.Client{Suite: k.s, Key: key, Certificate: identity.ClientCredential{Certificate: k.Bytes("client_certificate")}}
}

func knownCredential(t *testing.T, k *known) {
	if k.tbs.ClientPseudonym.String() != k.Text("client_pseudonym") || k.tbs.UserPseudonym.String() != k.Text("user_pseudonym") {
		t.Errorf("pseudonyms are %s, %s", k.tbs.ClientPseudonym, k.tbs.UserPseudonym)
	}
	k.same("leaf_signature_public_key", k.tbs.SignaturePublicKey)
	bob := k.bob()
	k.same("client_credential", encode(t, &bob.Certificate))
	k.same("pseudonymous_credential_signature", must[[]byte](t)(bob.SignWithLabel("PseudonymousCredentialTBS", encode(t, &k.tbs))))

	key := identity.ConnectionKey{Secret: k.Secret("connection_key")}
	link := must[identity.LinkKey](t)(identity.DeriveLinkKey(k.s, key, &k.tbs))
	k.same("identity_link_key", link.Bytes())
	k.same("identity_link_aead_key", k.s.ExpandWithLabel(link.Secret, "key", nil, k.s.Nk()).Bytes())

	// The only randomness is the nonce.
	cred := must[*identity.PseudonymousCredential](t)(identity.SealLink(k.s, k.tbs, link, bob, bytes.NewReader(k.Bytes("identity_link_nonce"))))
	k.same("identity_link_commitment", cred.Link.Commitment)
	k.same("identity_link_ciphertext", encode(t, &cred.Link))
	k.same("PseudonymousCredential", encode(t, cred))
	inner := must[mls.Credential](t)(cred.Credential())
	k.same("mls_credential", encode(t, &inner))
	if n := len(cred.Link.Ciphertext) - 16; n != k.Number("identity_link_plaintext_length") {
		t.Errorf("plaintext has %d octets", n)
	}

	var received mls.Credential
	decode(t, k.Bytes("mls_credential"), &received)
	parsed := must[*identity.PseudonymousCredential](t)(identity.ParseCredential(k.s, received, k.tbs.SignaturePublicKey))
	opened := must[*identity.OpenedLink](t)(identity.OpenLink(k.s, parsed, link, k.authority("b.example"), identity.NewLeaf(vectorTime, vectorTime)))
	if opened.User().String() != "mimi://b.example/u/bob" || opened.Client().String() != "mimi://b.example/d/bob-phone" || opened.Expired() {
		t.Errorf("opened to %s, %s", opened.User(), opened.Client())
	}
}

func knownLinkTBE(t *testing.T, k *known) {
	var cred identity.PseudonymousCredential
	decode(t, k.Bytes("PseudonymousCredential"), &cred)
	aad := append(encode(t, &k.tbs), encode(t, (*opaque)(&cred.Link.Commitment))...)
	plaintext := must[[]byte](t)(k.s.Open(k.Secret("identity_link_aead_key"), cred.Link.Nonce, aad, cred.Link.Ciphertext))
	k.same("IdentityLinkTBE", must[[]byte](t)(identity.Unpad(plaintext, identity.PadLink)))
}

type opaque []byte

func (o *opaque) Wire(c *wire.Codec) { wire.Opaque(c, (*[]byte)(o)) }

func knownWrapping(t *testing.T, k *known) {
	k.same("wrap_aead_key", k.s.ExpandWithLabel(k.key.Key, "IdentityLinkWrap", nil, k.s.Nk()).Bytes())
	link := identity.LinkKey{Secret: k.Secret("identity_link_key")}
	wrapped := must[*identity.EncryptedIdentityLinkKey](t)(k.key.Wrap(k.s, k.groupID, &k.tbs, link, bytes.NewReader(k.Bytes("wrap_nonce"))))
	k.same("EncryptedIdentityLinkKey", encode(t, wrapped))
	aad := identity.AddAAD{Keys: []*identity.EncryptedIdentityLinkKey{wrapped}}
	k.same("AddAAD", encode(t, &aad))
	safe := mls.SafeAAD{must[mls.SafeAADItem](t)(aad.SafeAADItem())}
	k.same("SafeAAD", encode(t, &safe))

	ring := must[identity.KeyRing](t)(identity.NewKeyRing(k.key))
	if got := must[identity.LinkKey](t)(ring.Open(k.s, k.groupID, &k.tbs, wrapped)); !got.Equal(link.Secret) {
		t.Error("the wrapped key opens to another one")
	}
}

func knownTable(t *testing.T, k *known) {
	var wrapped identity.EncryptedIdentityLinkKey
	decode(t, k.Bytes("EncryptedIdentityLinkKey"), &wrapped)
	var table identity.IdentityLinkTable
	decode(t, k.Bytes("IdentityLinkTable"), &table)
	built := identity.IdentityLinkTable{GroupID: k.groupID, Epoch: table.Epoch, Entries: []identity.IdentityLinkEntry{{Leaf: table.Entries[0].Leaf, Key: &wrapped}}}
	k.same("IdentityLinkTable", encode(t, &built))
	k.same("table_hash", must[[]byte](t)(built.Hash(k.s)))
	k.same("newest_key_commitment", must[[]byte](t)(k.key.Commitment(k.s, k.groupID)))
	state := must[*identity.IdentityLinkState](t)(identity.NewLinkState(k.s, &built, k.key))
	k.same("IdentityLinkState", encode(t, state))

	keys := identity.WelcomeKeys{Keys: []identity.WrapperKey{k.key}, Table: &built}
	d := must[identity.WelcomeComponents](t)(keys.ForWelcome(k.s)).Dictionary()
	data, _ := d.Get(identity.ComponentWrapperKeys)
	k.same("IdentityLinkWrapperKeys", data)
}

func knownJoin(t *testing.T, k *known) {
	k.same("external_join_psk_id", identity.JoinPSKID(k.key.Generation))
	k.same("external_join_psk", must[suite.Secret](t)(k.key.JoinPSK(k.s, k.groupID)).Bytes())

	room := must[mimi.URI](t)(identity.RoomOf(k.groupID))
	if !bytes.Equal(identity.GroupID(room), k.groupID) {
		t.Error("group id does not survive a round trip")
	}
	link := identity.JoinLink{Room: room, Code: k.Secret("join_link_code"), Key: k.Secret("join_link_key")}
	hash := link.CodeHash()
	k.same("join_link_code_hash", hash[:])
	var bundle identity.JoinBundle
	decode(t, k.Bytes("join_link_bundle"), &bundle)
	ring := must[identity.KeyRing](t)(identity.NewKeyRing(k.key))
	sealed := must[*identity.JoinBundle](t)(link.Seal(k.s, ring, bytes.NewReader(bundle.Nonce)))
	k.same("join_link_bundle", encode(t, sealed))
	opened := must[identity.KeyRing](t)(link.Open(k.s, &bundle))
	if !opened.Newest().Key.Equal(k.key.Key) || opened.Newest().Generation != k.key.Generation {
		t.Error("the bundle holds another key")
	}
}

func knownRoomMetadataKey(t *testing.T, k *known) {
	k.same("room_metadata_aead_key", k.s.ExpandWithLabel(k.key.Key, "RoomMetadata", nil, k.s.Nk()).Bytes())
	m := must[*identity.EncryptedRoomMetadata](t)(k.key.SealMetadata(k.s, k.groupID, []byte("garden"), identitytest.Random("m")))
	aad := append(encode(t, (*opaque)(&k.groupID)), make([]byte, 8)...)
	plaintext := must[[]byte](t)(k.s.Open(k.Secret("room_metadata_aead_key"), m.Nonce, aad, m.Ciphertext))
	if got := must[[]byte](t)(identity.Unpad(plaintext, 1024)); string(got) != "garden" {
		t.Errorf("metadata opens to %q", got)
	}
}

func knownSiblingProof(t *testing.T, k *known) {
	var proof identity.SiblingProof
	decode(t, k.Bytes("sibling_proof"), &proof)
	k.same("sibling_proof", encode(t, &proof))
	sibling := k.tbs
	sibling.SignaturePublicKey = k.Bytes("sibling_signature_public_key")
	if err := proof.Verify(k.s, k.groupID, &sibling, &k.tbs); err != nil {
		t.Error(err)
	}
}

func knownQueueReference(t *testing.T, k *known) {
	var ref identity.QueueReference
	decode(t, k.Bytes("QueueReference"), &ref)
	k.same("QueueReference", encode(t, &ref))
	private := must[suite.HPKEPrivateKey](t)(k.s.ImportHPKEKey(k.Secret("queue_private_key")))
	context := encode(t, &k.tbs)
	plaintext := must[[]byte](t)(k.s.DecryptWithLabel(private, "QueueID", context, ref.Sealed))
	var id identity.QueueID
	decode(t, must[[]byte](t)(identity.Unpad(plaintext, 64)), &id)
	if len(id.ID) == 0 || id.NotAfter == 0 {
		t.Errorf("queue id is %+v", id)
	}
	// What EncryptWithLabel hands to HPKE as info.
	k.same("queue_hpke_info", append(encode(t, opaqueOf("MLS 1.0 QueueID")), encode(t, (*opaque)(&context))...))
}

func opaqueOf(s string) *opaque { o := opaque(s); return &o }
