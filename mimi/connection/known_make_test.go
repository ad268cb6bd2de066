package connection

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// make computes all answers.
func (k *answerSet) make() {
	k.now = time.Unix(int64(k.number("now", uint64(identitytest.Start.Unix()))), 0).UTC()
	k.room = k.uri("room_id", "mimi://a.example/r/3d0c1c0e-0d8d-4b39-a7a3-5c2f3f1b9d10")
	k.groupID = k.answer("group_id", identity.GroupID(k.room))
	k.makePeople()
	k.makeCredential()
	k.makeWrapping()
	k.makeTable()
	k.makeJoinLink()
	k.makeMetadata()
	k.makePolicies()
	k.makeSibling()
	k.makeQueue()
	k.makePackage()
	k.makeRequest()
	k.makeResponse()
	k.makeToken()
	k.makeUpload()
	k.makeUploadToken()
	k.makeContainers()
	k.makeFanout()
	k.makeGroupInfo()
	k.makeAnswer()
	k.makeTexts()
}

// A quietSigner signs without randomness, which makes ECDSA deterministic (RFC
// 6979).
type quietSigner struct{ crypto.Signer }

func (q quietSigner) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return q.Signer.Sign(nil, digest, o)
}

// A certificateSpec is what a client certificate says.
type certificateSpec struct {
	serial int64
	names  []string
	end    time.Duration // from now
	change func(*x509.Certificate)
	issuer string // of which provider's CA
}

// makePeople makes two providers with a client each, and certificates of bob's
// that are refused.
func (k *answerSet) makePeople() {
	k.authorities = map[string]*identity.Authority{}
	cas, keys := map[string]*x509.Certificate{}, map[string]crypto.Signer{}
	start := k.now.Truncate(24 * time.Hour)
	for i, domain := range []string{"a.example", "b.example"} {
		key := k.signatureKey("ca_" + domain)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: "identity CA"},
			NotBefore: start.AddDate(0, 0, -100), NotAfter: start.AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign,
			BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		}
		keys[domain] = quietSigner{key.Signer()}
		der := ok(x509.CreateCertificate(nil, template, template, key.Signer().Public(), keys[domain]))(k)
		k.input("ca_"+domain+"_certificate", der)
		cas[domain] = ok(x509.ParseCertificate(der))(k)
		k.authorities[domain] = ok(identity.ParseAuthority(domain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))(k)
	}
	certificate := func(public crypto.PublicKey, c certificateSpec) []byte {
		var names []asn1.RawValue
		for _, n := range c.names {
			names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(n)})
		}
		san := ok(asn1.Marshal(names))(k)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(c.serial), NotBefore: start.AddDate(0, 0, -20), NotAfter: start.Add(c.end), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: san}},
		}
		if c.change != nil {
			c.change(template)
		}
		return ok(x509.CreateCertificate(nil, template, cas[c.issuer], public, keys[c.issuer]))(k)
	}
	const tenDays = 10 * 24 * time.Hour
	person := func(name, domain, device string, serial int64) (*identity.Client, certificateSpec) {
		user, client := k.text(name+"_user_uri", "mimi://"+domain+"/u/"+name), k.text(name+"_client_uri", "mimi://"+domain+"/d/"+device)
		c := &identity.Client{Suite: k.s, Key: k.signatureKey(name)}
		spec := certificateSpec{serial: serial, names: []string{user, client}, end: tenDays, issuer: domain}
		c.Certificate.Certificate = k.input(name+"_certificate", certificate(c.Key.Signer().Public(), spec))
		k.encoded(name+"_client_credential", &c.Certificate)
		return c, spec
	}
	k.alice, _ = person("alice", "a.example", "alice-laptop", 11)
	var spec certificateSpec
	k.bob, spec = person("bob", "b.example", "bob-phone", 12)

	// The certificate lists that a changed client_credential may have.
	lists := map[string]func(*certificateSpec){
		"certificates_with_usage":     func(c *certificateSpec) { c.change = setUsage },
		"certificates_with_one_name":  func(c *certificateSpec) { c.names = c.names[:1] },
		"certificates_of_two_users":   func(c *certificateSpec) { c.names = []string{c.names[0], c.names[0]} },
		"certificates_other_domain":   func(c *certificateSpec) { c.names = []string{"mimi://c.example/u/bob", "mimi://c.example/d/bob"} },
		"certificates_other_issuer":   func(c *certificateSpec) { c.issuer = "a.example" },
		"certificates_expired":        func(c *certificateSpec) { c.end = -2 * 24 * time.Hour },
		"certificates_outlive_issuer": func(c *certificateSpec) { c.end = 11 * 365 * 24 * time.Hour },
	}
	for name, change := range lists {
		c := spec
		change(&c)
		k.input(name, k.vector(k.vector(certificate(k.bob.Key.Signer().Public(), c))))
	}
	k.input("certificates_two", k.vector(bytes.Repeat(k.vector(k.bob.Certificate.Certificate), 2)))
	k.input("certificates_of_ca", k.vector(k.vector(cas["b.example"].Raw)))
	k.input("certificates_other_key", k.vector(k.vector(certificate(k.otherKey(), spec))))
}

func setUsage(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

// otherKey is a public key of the signature scheme that the suite does not have.
func (k *answerSet) otherKey() crypto.PublicKey {
	seed := k.random("other_scheme_private_key", 32)
	if k.s.ID() == suite.P256AES128 {
		return ed25519.NewKeyFromSeed(seed).Public()
	}
	return ok(ecdsa.ParseRawPrivateKey(elliptic.P256(), seed))(k).Public()
}

func (k *answerSet) makeCredential() {
	k.leafKey = k.signatureKey("leaf")
	k.tbs = identity.PseudonymousCredentialTBS{
		ClientPseudonym:    k.uri("client_pseudonym", "mimi://b.example/d/0b6f6c1e-5b0a-4a6e-9d3c-6f2a1f9b7c11"),
		UserPseudonym:      k.uri("user_pseudonym", "mimi://b.example/u/7d1f0a52-2e53-4c1b-8f6a-3f0c9e5d2b77"),
		SignaturePublicKey: k.leafKey.Public(),
	}
	content := k.encoded("PseudonymousCredentialTBS", &k.tbs)
	signature := k.answer("pseudonymous_credential_signature", ok(k.bob.SignWithLabel("PseudonymousCredentialTBS", content))(k))
	k.contact = identity.ConnectionKey{Secret: k.secret("connection_key")}
	k.link = ok(identity.DeriveLinkKey(k.s, k.contact, &k.tbs))(k)
	k.answer("identity_link_key", k.link.Bytes())
	k.answer("identity_link_aead_key", k.s.ExpandWithLabel(k.link.Secret, "key", nil, k.s.Nk()).Bytes())
	cred := ok(identity.SealLink(k.s, k.tbs, k.link, k.bob, bytes.NewReader(k.random("identity_link_nonce", 12))))(k)
	k.answer("identity_link_commitment", cred.Link.Commitment)
	tbe := k.answer("IdentityLinkTBE", slices.Concat(k.vector(signature), encode(k.t, &k.bob.Certificate)))
	k.answer("Padded_link", k.pad(tbe, 1024))
	k.encoded("IdentityLinkCiphertext", &cred.Link)
	k.encoded("PseudonymousCredential", cred)
	outer := ok(cred.Credential())(k)
	k.encoded("Credential", &outer)
	opened := ok(identity.OpenLink(k.s, cred, k.link, k.authorities["b.example"], identity.NewLeaf(k.now, k.now)))(k)
	if opened.User().String() != k.Inputs["bob_user_uri"] || opened.Client().String() != k.Inputs["bob_client_uri"] {
		k.t.Errorf("the link opens to %s, %s", opened.User(), opened.Client())
	}
}

// generations are 0, the one of the first Commit, and a later one.
var generations = []identity.Generation{0, 1, 7}

func (k *answerSet) makeWrapping() {
	k.ring = ok(identity.NewKeyRing(identity.WrapperKey{Key: k.secret("wrapper_key_0")}))(k)
	for _, g := range generations {
		name := func(s string) string { return fmt.Sprintf("%s_%d", s, g) }
		if g > 0 {
			group := exporter{k.s, k.secret(name("exporter_secret"))}
			k.ring = ok(k.ring.Derive(k.s, identity.WrapperEpochRotated, uint64(g), group))(k)
		}
		key := k.ring.Newest()
		k.encoded(name("WrapperKey"), &key)
		k.answer(name("wrap_aead_key"), k.s.ExpandWithLabel(key.Key, "IdentityLinkWrap", nil, k.s.Nk()).Bytes())
		wrapped := ok(key.Wrap(k.s, k.groupID, &k.tbs, k.link, bytes.NewReader(k.random(name("wrap_nonce"), 12))))(k)
		k.encoded(name("EncryptedIdentityLinkKey"), wrapped)
		k.answer(name("newest_key_commitment"), ok(key.Commitment(k.s, k.groupID))(k))
		k.answer(name("external_join_psk_id"), identity.JoinPSKID(g))
		k.answer(name("external_join_psk"), ok(key.JoinPSK(k.s, k.groupID))(k).Bytes())
		if got := ok(k.ring.Open(k.s, k.groupID, &k.tbs, wrapped))(k); !got.Equal(k.link.Secret) {
			k.t.Errorf("the link key of generation %d opens to another one", g)
		}
	}
}

// wrapped returns the wrapped key of a generation.
func (k *answerSet) wrapped(g identity.Generation) *identity.EncryptedIdentityLinkKey {
	var e identity.EncryptedIdentityLinkKey
	decode(k.t, k.octets(fmt.Sprintf("EncryptedIdentityLinkKey_%d", g)), &e)
	return &e
}

func (k *answerSet) makeTable() {
	k.encoded("AddAAD", &identity.AddAAD{Keys: []*identity.EncryptedIdentityLinkKey{nil, k.wrapped(7)}})
	k.encoded("AddAAD_external", &identity.AddAAD{Keys: []*identity.EncryptedIdentityLinkKey{k.wrapped(0)}})
	entries := []identity.IdentityLinkEntry{{Leaf: 0, Key: k.wrapped(0)}, {Leaf: 2}, {Leaf: 3, Key: k.wrapped(1)}, {Leaf: 260, Key: k.wrapped(7)}}
	k.encoded("IdentityLinkEntry", &entries[3])
	k.encoded("IdentityLinkEntry_absent", &entries[1])
	k.table = &identity.IdentityLinkTable{GroupID: k.groupID, Epoch: k.number("epoch", 9), Entries: entries}
	k.encoded("IdentityLinkTable", k.table)
	k.answer("table_hash", ok(k.table.Hash(k.s))(k))
	k.encoded("IdentityLinkState", ok(identity.NewLinkState(k.s, k.table, k.ring.Newest()))(k))
	keys := identity.WelcomeKeys{Keys: k.ring.Keys(), Table: k.table}
	data, _ := ok(keys.ForWelcome(k.s))(k).Dictionary().Get(identity.ComponentWrapperKeys)
	k.answer("IdentityLinkWrapperKeys", data)
}

func (k *answerSet) makeJoinLink() {
	k.joinLink = identity.JoinLink{Room: k.room, Code: suite.NewSecret(k.random("join_link_code", 16)), Key: k.secret("join_link_key")}
	hash := k.joinLink.CodeHash()
	k.answer("join_link_code_hash", hash[:])
	bundle := ok(k.joinLink.Seal(k.s, k.ring, bytes.NewReader(k.random("join_link_nonce", 12))))(k)
	b := k.encoded("JoinBundle", bundle)
	opened := ok(k.joinLink.Open(k.s, bundle))(k)
	k.answer("join_link_plaintext", encode(k.t, &opened))

	r := &protocol.JoinCodeRegistration{Room: k.room, CodeHash: hash[:], Bundle: b, NotAfter: time.Unix(int64(k.number("join_code_not_after", 1776000000)), 0), Uses: uint32(k.number("join_code_uses", 3))} //nolint:gosec // small
	if err := r.Sign(k.s, k.leafKey); err != nil {
		k.t.Fatal(err)
	}
	k.encoded("JoinCodeRegistration", r)
}

// makeMetadata seals one block under generation 0, and two under generation 7.
func (k *answerSet) makeMetadata() {
	texts := map[identity.Generation]string{0: "garden", 7: fmt.Sprintf("%01100d", 7)}
	for _, g := range []identity.Generation{0, 7} {
		name := func(s string) string { return fmt.Sprintf("%s_%d", s, g) }
		key, _ := k.ring.Key(g)
		k.answer(name("room_metadata_aead_key"), k.s.ExpandWithLabel(key.Key, "RoomMetadata", nil, k.s.Nk()).Bytes())
		m := ok(key.SealMetadata(k.s, k.groupID, k.input(name("room_metadata"), []byte(texts[g])), bytes.NewReader(k.random(name("room_metadata_nonce"), 12))))(k)
		k.encoded(name("EncryptedRoomMetadata"), m)
		k.answer(name("Padded_metadata"), k.pad([]byte(texts[g]), 1024))
		if got := ok(k.ring.OpenMetadata(k.s, k.groupID, m))(k); string(got) != texts[g] {
			k.t.Errorf("metadata opens to %q", got)
		}
	}
}

func (k *answerSet) makePolicies() {
	connection := identity.ConnectionRoomPolicy()
	k.encoded("MinimalMetadataPolicy_connection", &connection)
	for name, r := range map[string]identity.LinkRequirement{
		"all": identity.RequireAll, "admins": identity.RequireAdmins, "optional": identity.RequireNone, "forbidden": identity.Forbidden,
	} {
		k.encoded("MinimalMetadataPolicy_"+name, &identity.MinimalMetadataPolicy{Requirement: r, Mode: identity.WrapperEpochRotated, MaxUsers: uint32(k.number("max_users", 1000))}) //nolint:gosec // small
	}
}

// makeSibling lets a leaf of the same user pseudonym vouch for ours.
func (k *answerSet) makeSibling() {
	key := k.signatureKey("sibling")
	k.siblingTBS = identity.PseudonymousCredentialTBS{
		ClientPseudonym: k.uri("sibling_client_pseudonym", "mimi://b.example/d/5f0f2c7e-91f4-4d53-b1a8-0e6f0d6b8a42"),
		UserPseudonym:   k.tbs.UserPseudonym, SignaturePublicKey: key.Public(),
	}
	k.input("sibling_key_vector", k.vector(key.Public()))
	proof := ok(identity.NewSiblingProof(k.s, k.groupID, mls.LeafIndex(k.number("sibling_leaf_index", 3)), key, &k.tbs))(k)
	k.encoded("SiblingProof", proof)
	if err := proof.Verify(k.s, k.groupID, &k.siblingTBS, &k.tbs); err != nil {
		k.t.Error(err)
	}
}

// storedKey is how a provider keeps a private key: a ring of one.
type storedKey struct {
	id       uint8
	suite    suite.ID
	private  []byte
	notAfter uint64
}

func (x *storedKey) Wire(c *wire.Codec) {
	ring := []storedKey{*x}
	wire.Vector(c, &ring, func(c *wire.Codec, s *storedKey) {
		wire.Uint8(c, &s.id)
		wire.Uint16(c, &s.suite)
		wire.Opaque(c, &s.private)
		wire.Uint64(c, &s.notAfter)
		wire.Uint64(c, &s.notAfter)
	})
}

func (k *answerSet) providerKeys(name string, id uint8) (ring identity.ProviderKeyRing, public []byte) {
	key := k.hpkeKey(name)
	k.number(name+"_key_id", uint64(id))
	decode(k.t, encode(k.t, &storedKey{id, k.s.ID(), key.Secret().Bytes(), 1 << 33}), &ring)
	return ring, key.Public()
}

func (k *answerSet) makeQueue() {
	var public []byte
	k.queues, public = k.providerKeys("queue", 5)
	id := identity.QueueID{ID: k.random("queue_id", 16), NotAfter: k.number("queue_not_after", 1781000000)}
	plaintext := k.pad(k.encoded("QueueId", &id), 64)
	sealed := k.encrypt("queue", public, "QueueID", encode(k.t, &k.tbs), plaintext)
	ref := &identity.QueueReference{Domain: "b.example", KeyID: 5, Sealed: sealed}
	k.encoded("QueueReference", ref)
	if got := ok(k.queues.OpenQueue(&k.tbs, ref, k.now))(k); !bytes.Equal(got.ID, id.ID) {
		k.t.Errorf("the queue is %x", got.ID)
	}
}

func (k *answerSet) makePackage() {
	private := k.hpkeKey("establishment")
	k.pkg = &PrivatePackage{Private: private}
	tbs := &k.pkg.Package.TBS
	*tbs = ConnectionEstablishmentPackageTBS{
		CipherSuite: k.s.ID(), User: k.uri("package_user_uri", k.Inputs["bob_user_uri"]), PublicKey: private.Public(),
		NotBefore: k.number("package_not_before", 1773360000), NotAfter: k.number("package_not_after", 1781136000), Client: k.bob.Certificate,
	}
	k.pkg.Package.Signature = ok(k.bob.SignWithLabel(labelPackage, k.encoded("ConnectionEstablishmentPackageTBS", tbs)))(k)
	k.encoded("ConnectionEstablishmentPackage", &k.pkg.Package)
	k.pkg.Ref = ok(k.pkg.Package.Ref())(k)
	k.answer("cep_ref", k.pkg.Ref[:])
	ok(k.pkg.Package.Verify(tbs.User, k.authorities["b.example"], k.now))(k)
}

func (k *answerSet) makeRequest() {
	k.responseKey = k.hpkeKey("connection_response")
	request := ConnectionRequest{
		Client: k.alice.Certificate, Room: k.room, WrapperKey: k.ring.Keys()[0].Key,
		ConnectionKey: identity.ConnectionKey{Secret: k.secret("requester_connection_key")}, ResponseKey: k.responseKey.Public(),
		Token:      identity.ConnectionToken{Secret: k.secret("requester_connection_token")},
		JoinSecret: k.secret("join_secret"), CreatedAt: k.number("request_created_at_ms", 1773500000123),
	}
	k.encoded("ConnectionRequest", &request)
	k.answer("joining_code", request.JoiningCode(k.s).Bytes())
	context := ConnectionRequestContext{k.pkg.Package.TBS.User, k.pkg.Ref}
	bound := k.encoded("ConnectionRequestContext", &context)
	k.encoded("ConnectionRequestTBS", &ConnectionRequestTBS{&request, context})
	k.request = &SignedConnectionRequest{Request: request}
	if err := k.request.sign(k.alice, context); err != nil {
		k.t.Fatal(err)
	}
	plaintext := k.encoded("SignedConnectionRequest", k.request)
	ref := ok(k.request.Ref(k.s))(k)
	k.answer("request_ref", ref[:])
	sealed := k.encrypt("connection_request", k.pkg.Package.TBS.PublicKey, labelRequest, bound, k.pad(plaintext, padRequest))
	k.encoded("EncryptedConnectionRequest", &sealed)
	k.encoded("ConnectionRequestEnvelope", &protocol.ConnectionRequest{Target: context.Recipient, PackageRef: k.pkg.Ref[:], Request: sealed})
	if err := k.receive(&SealedRequest{context.Recipient, k.pkg.Ref, sealed}); err != nil {
		k.t.Error(err)
	}
}

func (k *answerSet) makeResponse() {
	keys := &Keys{k.contact, identity.ConnectionToken{Secret: k.secret("connection_token")}}
	k.context = &ConnectionResponseContext{k.room, ok(k.request.Ref(k.s))(k), k.tbs}
	bound := k.encoded("ConnectionResponseContext", k.context)
	sealed := k.encrypt("connection_response", k.responseKey.Public(), labelResponse, bound, k.pad(k.encoded("ConnectionResponse", keys), padResponse))
	opened := ok(openResponse(k.s, k.responseKey, k.context, k.encoded("EncryptedConnectionResponse", &sealed)))(k)
	if !opened.Key.Equal(k.contact.Secret) {
		k.t.Error("the response opens to another key")
	}
}

// makeToken fetches key material; our leaf is the adder.
func (k *answerSet) makeToken() {
	var public []byte
	k.tokens, public = k.providerKeys("keymaterial", 2)
	token := identity.ConnectionToken{Secret: k.secret("connection_token")}
	hash := keymaterial.HashToken(token)
	k.answer("token_hash", hash[:])
	content := &protocol.ConnectionTokenContent{
		Token: token, Nonce: k.random("token_nonce", 16), Created: time.UnixMilli(int64(k.number("token_created_at_ms", 1773500001456))), ResponseKey: k.responseKey.Public(),
	}
	plaintext := k.pad(k.encoded("ConnectionTokenContent", content), 256)
	context := slices.Concat(encode(k.t, &k.room), encode(k.t, &k.tbs))
	sealed := protocol.SealedConnectionToken{Domain: "b.example", KeyID: 2, Sealed: k.encrypt("token", public, "ConnectionToken", context, plaintext)}
	k.encoded("SealedConnectionToken", &sealed)
	ok(sealed.Open(k.tokens, k.room, &k.tbs))(k)

	r := &protocol.AnonymousKeyMaterialRequest{
		RequestingUser: k.tbs.UserPseudonym, Target: protocol.KeyMaterialTarget{Domain: "b.example"}, Room: k.room, Token: sealed,
		Requester: protocol.Requester{
			CipherSuites: []suite.ID{k.s.ID()},
			Required:     mls.RequiredCapabilities{Extensions: []mls.ExtensionType{6}, Proposals: []mls.ProposalType{8, 10}, Credentials: []mls.CredentialType{identity.CredentialPseudonymous}},
		},
	}
	decode(k.t, k.octets("Credential"), &r.Requester.Credential)
	if err := r.Sign(k.s, k.leafKey); err != nil {
		k.t.Fatal(err)
	}
	k.encoded("AnonymousKeyMaterialRequest", r)
	k.answer("AnonymousKeyMaterialRequest_hash", ok(r.Hash())(k))
	if err := r.Verify(k.s); err != nil {
		k.t.Error(err)
	}
}
