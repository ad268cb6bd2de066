package connection

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// refusals are the errors that the negative set names.
var refusals = map[string]error{
	"ErrTruncated": wire.ErrTruncated, "ErrTrailing": wire.ErrTrailing, "ErrLength": wire.ErrLength,
	"ErrDecrypt": suite.ErrDecrypt, "ErrSignature": suite.ErrSignature, "ErrURI": mimi.ErrURI,
	"ErrPseudonym": identity.ErrPseudonym, "ErrSignatureKey": identity.ErrSignatureKey, "ErrCredentialType": identity.ErrCredentialType,
	"ErrLinkFormat": identity.ErrLinkFormat, "ErrCommitment": identity.ErrCommitment, "ErrLinkDecrypt": identity.ErrLinkDecrypt,
	"ErrLinkSignature": identity.ErrLinkSignature, "ErrPadding": identity.ErrPadding,
	"ErrCertificate": identity.ErrCertificate, "ErrIssuer": identity.ErrIssuer, "ErrDomain": identity.ErrDomain, "ErrValidity": identity.ErrValidity,
	"ErrGeneration": identity.ErrGeneration, "ErrUnwrap": identity.ErrUnwrap, "ErrTable": identity.ErrTable, "ErrSecretSize": identity.ErrSecretSize,
	"ErrLinkState": identity.ErrLinkState, "ErrKeys": identity.ErrKeys, "ErrJoinLink": identity.ErrJoinLink, "ErrMetadata": identity.ErrMetadata,
	"ErrPolicy": identity.ErrPolicy, "ErrPolicyChange": identity.ErrPolicyChange, "ErrSibling": identity.ErrSibling,
	"ErrQueue": identity.ErrQueue, "ErrProviderKey": identity.ErrProviderKey,
	"ErrPackageFormat": ErrPackageFormat, "ErrPackageSuite": ErrPackageSuite, "ErrPackageSignature": ErrPackageSignature, "ErrPackageUser": ErrPackageUser,
	"ErrPackageValidity": ErrPackageValidity, "ErrRequestFormat": ErrRequestFormat, "ErrUnknownPackage": ErrUnknownPackage,
	"ErrRequestDecrypt": ErrRequestDecrypt, "ErrRequestSignature": ErrRequestSignature, "ErrRecipient": ErrRecipient, "ErrRequestAge": ErrRequestAge,
	"ErrResponse": ErrResponse, "ErrMalformed": protocol.ErrMalformed,
	"ErrAddAAD": identity.ErrAddAAD, "ErrGroupID": identity.ErrGroupID, "ErrComponentOrder": mls.ErrComponentOrder, "ErrLeakedKeys": identity.ErrLeakedKeys,
	"ErrUpload": keymaterial.ErrUpload, "ErrUploadSignature": keymaterial.ErrUploadSignature, "ErrUploadToken": keymaterial.ErrUploadToken,
}

// structure is what the schema calls the answer of a case.
func (c refusedCase) structure() string {
	name, _, _ := strings.Cut(c.answer, "_")
	switch name {
	case "EncryptedConnectionResponse", "SealedKeyMaterialResponse":
		return "HPKECiphertext"
	case "Credential":
		return "PseudonymousOuterCredential"
	default:
		return name
	}
}

// refuse makes every change, and checks that it is refused with the error that
// is named. What is checked without a change has to pass.
func (k *answerSet) refuse() {
	passed := map[[2]string]bool{}
	for _, c := range append(refusedCases(), messageCases()...) {
		structure := c.structure()
		run, want := k.checks()[c.check], refusals[c.name]
		if run == nil || want == nil {
			k.t.Fatalf("%v: unknown check or error", c)
		}
		base := k.octets(c.answer)
		if p := [2]string{c.answer, c.check}; !passed[p] {
			passed[p] = true
			if err := run(base); err != nil {
				k.t.Errorf("%s, %s: refused without a change: %v", c.answer, c.check, err)
			}
		}
		octets := k.changed(structure, c.field, c.change, base)
		if bytes.Equal(octets, base) {
			k.t.Errorf("%v: changes nothing", c)
		}
		if err := run(octets); !errors.Is(err, want) {
			k.t.Errorf("%v: %v", c, err)
		}
		sum := sha256.Sum256(octets)
		k.Refused = append(k.Refused, refusal{c.answer, c.change, c.check, c.name, c.field, hex.EncodeToString(sum[:]), structure})
	}
}

// checks are the operations of the negative set, by name.
func (k *answerSet) checks() map[string]func([]byte) error {
	decodes := func(m wire.Message) func([]byte) error { return func(b []byte) error { return wire.Unmarshal(b, m) } }
	return map[string]func([]byte) error{
		"decode PseudonymousCredentialTBS": decodes(new(identity.PseudonymousCredentialTBS)),
		"decode AddAAD":                    decodes(new(identity.AddAAD)),
		"decode IdentityLinkEntry":         decodes(new(identity.IdentityLinkEntry)),
		"decode IdentityLinkTable":         decodes(new(identity.IdentityLinkTable)),
		"decode WrapperKey":                decodes(new(identity.WrapperKey)),
		"decode MinimalMetadataPolicy":     decodes(new(identity.MinimalMetadataPolicy)),
		"decode ConnectionRequest":         decodes(new(ConnectionRequest)),
		"decode ConnectionResponse":        decodes(new(ConnectionResponse)),
		"decode ConnectionRequestEnvelope": decodes(new(protocol.ConnectionRequest)),
		"decode ConnectionTokenContent":    decodes(new(protocol.ConnectionTokenContent)),
		"open link":                        k.checkLink,
		"open link of a contact":           k.checkContactLink,
		"seal and open link":               k.checkTBE,
		"seal padded and open link":        k.checkPaddedLink,
		"unwrap":                           k.checkUnwrap,
		"join with table":                  k.checkTable,
		"join with state":                  k.checkState,
		"join with key":                    k.checkKey,
		"join with keys":                   k.checkWelcome,
		"open bundle":                      k.checkBundle,
		"open metadata":                    k.checkMetadata,
		"seal padded and open metadata":    k.checkPaddedMetadata,
		"policy after":                     k.checkPolicyAfter,
		"verify sibling":                   k.checkSibling,
		"verify newcomer":                  k.checkNewcomer,
		"open queue":                       k.checkQueue,
		"seal and open queue":              k.checkQueueID,
		"verify package":                   k.checkPackage,
		"sign and verify package":          k.checkSignedPackage,
		"seal and receive request":         k.checkSealedRequest,
		"sign and receive request":         k.checkSignedRequest,
		"receive envelope":                 k.checkEnvelope,
		"open request in context":          k.checkRequestContext,
		"open response":                    k.checkResponse,
		"open response in context":         k.checkResponseContext,
		"open token":                       k.checkToken,
		"verify key material request":      k.checkKeyMaterial,
		"verify join code":                 k.checkJoinCode,
		"verify upload":                    k.checkUpload,
		"redeem token":                     k.checkUploadToken,
		"read credential of leaf":          k.checkCredential,
		"find AddAAD":                      k.checkAddAAD,
		"find queue":                       k.checkLeafExtension,
		"read public GroupInfo":            k.checkPublicExtension,
		"read GroupInfo of Welcome":        k.checkWelcomeExtension,
		"decode MinimalMetadataFanout":     decodes(new(protocol.MinimalMetadataFanout)),
		"join with GroupInfo":              k.checkGroupInfo,
		"decode KeyMaterialResponse":       decodes(new(protocol.KeyMaterialResponse)),
		"open answer":                      k.checkAnswer,
		"open answer to request":           k.checkAnswerTo,
		"sign TBS and receive request":     k.checkRequestTBS,
		"read join link":                   k.checkJoinLink,
	}
}

func (k *answerSet) openLink(b []byte, link func(*identity.PseudonymousCredential) identity.LinkKey) error {
	cred, err := identity.ParseCredential(k.s, mls.Credential{Type: identity.CredentialPseudonymous, Body: b}, k.leafKey.Public())
	if err != nil {
		return err
	}
	authority, err := k.authority("b.example")
	if err == nil {
		_, err = identity.OpenLink(k.s, cred, link(cred), authority, identity.NewLeaf(k.now, k.now))
	}
	return err
}

func (k *answerSet) checkLink(b []byte) error {
	return k.openLink(b, func(*identity.PseudonymousCredential) identity.LinkKey { return k.link })
}

func (k *answerSet) checkContactLink(b []byte) error {
	return k.openLink(b, func(c *identity.PseudonymousCredential) identity.LinkKey {
		return ok(identity.DeriveLinkKey(k.s, k.contact, &c.PseudonymousCredentialTBS))(k)
	})
}

func (k *answerSet) checkTBE(b []byte) error { return k.checkPaddedLink(k.pad(b, 1024)) }

// checkPaddedLink seals any plaintext as a link.
func (k *answerSet) checkPaddedLink(plaintext []byte) error {
	var cred identity.PseudonymousCredential
	decode(k.t, k.octets("PseudonymousCredential"), &cred)
	aad := slices.Concat(encode(k.t, &k.tbs), k.vector(cred.Link.Commitment))
	key := suite.NewSecret(k.octets("identity_link_aead_key"))
	ciphertext := ok(k.s.Seal(key, cred.Link.Nonce, aad, plaintext))(k)
	link := slices.Concat(k.vector(cred.Link.Commitment), k.vector(cred.Link.Nonce), k.vector(ciphertext))
	return k.checkLink(slices.Concat(encode(k.t, &k.tbs), k.vector(link)))
}

func (k *answerSet) checkUnwrap(b []byte) error {
	var e identity.EncryptedIdentityLinkKey
	if err := wire.Unmarshal(b, &e); err != nil {
		return err
	}
	_, err := k.ring.Open(k.s, k.groupID, &k.tbs, &e)
	return err
}

func (k *answerSet) leaves() (out []mls.LeafIndex) {
	for _, e := range k.table.Entries {
		out = append(out, e.Leaf)
	}
	return out
}

func (k *answerSet) state() *identity.IdentityLinkState {
	var x identity.IdentityLinkState
	decode(k.t, k.octets("IdentityLinkState"), &x)
	return &x
}

func (k *answerSet) checkTable(b []byte) error {
	var table identity.IdentityLinkTable
	if err := wire.Unmarshal(b, &table); err != nil {
		return err
	}
	if err := table.CheckLeaves(k.groupID, k.table.Epoch, k.leaves()); err != nil {
		return err
	}
	return k.state().CheckTable(k.s, &table)
}

func (k *answerSet) checkState(b []byte) error {
	var x identity.IdentityLinkState
	if err := wire.Unmarshal(b, &x); err != nil {
		return err
	}
	if err := x.CheckTable(k.s, k.table); err != nil {
		return err
	}
	return x.CheckKey(k.s, k.groupID, k.ring.Newest())
}

func (k *answerSet) checkKey(b []byte) error {
	var key identity.WrapperKey
	if err := wire.Unmarshal(b, &key); err != nil {
		return err
	}
	return k.state().CheckKey(k.s, k.groupID, key)
}

func (k *answerSet) checkWelcome(b []byte) error {
	d := ok(k.state().PublicComponents())(k).With(identity.ComponentWrapperKeys, b)
	_, err := identity.KeysFromWelcome(k.s, mls.Extensions{ok(d.Extension())(k)}, k.groupID, k.table.Epoch, k.leaves())
	return err
}

func (k *answerSet) checkBundle(b []byte) error {
	var bundle identity.JoinBundle
	if err := wire.Unmarshal(b, &bundle); err != nil {
		return err
	}
	_, err := k.joinLink.Open(k.s, &bundle)
	return err
}

func (k *answerSet) checkMetadata(b []byte) error {
	var m identity.EncryptedRoomMetadata
	if err := wire.Unmarshal(b, &m); err != nil {
		return err
	}
	_, err := k.ring.OpenMetadata(k.s, k.groupID, &m)
	return err
}

func (k *answerSet) checkPaddedMetadata(plaintext []byte) error {
	var m identity.EncryptedRoomMetadata
	decode(k.t, k.octets("EncryptedRoomMetadata_0"), &m)
	aad := append(k.vector(k.groupID), make([]byte, 8)...)
	m.Ciphertext = ok(k.s.Seal(suite.NewSecret(k.octets("room_metadata_aead_key_0")), m.Nonce, aad, plaintext))(k)
	return k.checkMetadata(encode(k.t, &m))
}

// checkPolicyAfter takes a policy to follow the one with the requirement admins.
func (k *answerSet) checkPolicyAfter(b []byte) error {
	var before, next identity.MinimalMetadataPolicy
	decode(k.t, k.octets("MinimalMetadataPolicy_admins"), &before)
	if err := wire.Unmarshal(b, &next); err != nil {
		return err
	}
	return before.CheckChange(&next)
}

// checkSibling looks for the leaf among those at 2, which is the newcomer's, and
// 3, which is the sibling's.
func (k *answerSet) checkSibling(b []byte) error {
	var p identity.SiblingProof
	if err := wire.Unmarshal(b, &p); err != nil {
		return err
	}
	at := map[mls.LeafIndex]*identity.PseudonymousCredentialTBS{2: &k.tbs, 3: &k.siblingTBS}
	return p.Verify(k.s, k.groupID, at[p.Leaf], &k.tbs)
}

// checkNewcomer takes the proof for another newcomer than it was made for.
func (k *answerSet) checkNewcomer(b []byte) error {
	var p identity.SiblingProof
	decode(k.t, k.octets("SiblingProof"), &p)
	var tbs identity.PseudonymousCredentialTBS
	if err := wire.Unmarshal(b, &tbs); err != nil {
		return err
	}
	return p.Verify(k.s, k.groupID, &k.siblingTBS, &tbs)
}

func (k *answerSet) checkQueue(b []byte) error {
	var q identity.QueueReference
	if err := wire.Unmarshal(b, &q); err != nil {
		return err
	}
	_, err := k.queues.OpenQueue(&k.tbs, &q, k.now)
	return err
}

func (k *answerSet) checkQueueID(b []byte) error {
	var q identity.QueueReference
	decode(k.t, k.octets("QueueReference"), &q)
	q.Sealed = k.encrypt("queue", k.octets("queue_public_key"), "QueueID", encode(k.t, &k.tbs), k.pad(b, 64))
	return k.checkQueue(encode(k.t, &q))
}

func (k *answerSet) checkPackage(b []byte) error {
	p, err := ParsePackage(b)
	if err != nil {
		return err
	}
	authority, err := k.authority("b.example")
	if err == nil {
		_, err = p.Verify(k.pkg.Package.TBS.User, authority, k.now)
	}
	return err
}

func (k *answerSet) checkSignedPackage(tbs []byte) error {
	signature := ok(k.bob.SignWithLabel(labelPackage, tbs))(k)
	return k.checkPackage(slices.Concat(tbs, k.vector(signature)))
}

// knownPackages is a store of one package that has no other.
type knownPackages struct{ onePackage }

func (p knownPackages) Package(_ context.Context, ref Ref) (*StoredPackage, error) {
	if ref != p.Ref {
		return nil, ErrUnknownPackage
	}
	return p.StoredPackage, nil
}

func (k *answerSet) receive(sealed *SealedRequest) error {
	r := NewResponder(ResponderConfig{
		Packages: knownPackages{onePackage{ok(k.pkg.Stored())(k)}}, Replays: fresh{},
		Authority:  func(_ context.Context, domain string) (*identity.Authority, error) { return k.authority(domain) },
		Blocked:    func(context.Context, mimi.URI, mimi.URI) (bool, error) { return false, nil },
		Atomically: func(ctx context.Context, f func(context.Context) error) error { return f(ctx) },
		Clock:      mimi.NewManualClock(k.now),
	})
	return r.Receive(k.t.Context(), sealed, func(context.Context, *IncomingRequest) error { return nil })
}

func (k *answerSet) checkSealedRequest(signed []byte) error {
	context := k.octets("ConnectionRequestContext")
	sealed := k.encrypt("connection_request", k.pkg.Package.TBS.PublicKey, labelRequest, context, k.pad(signed, padRequest))
	return k.receive(&SealedRequest{k.pkg.Package.TBS.User, k.pkg.Ref, sealed})
}

func (k *answerSet) checkSignedRequest(request []byte) error {
	signature := ok(k.alice.SignWithLabel(labelSigned, slices.Concat(request, k.octets("ConnectionRequestContext"))))(k)
	return k.checkSealedRequest(slices.Concat(request, k.vector(signature)))
}

func (k *answerSet) checkEnvelope(b []byte) error {
	var r protocol.ConnectionRequest
	if err := wire.Unmarshal(b, &r); err != nil {
		return err
	}
	return k.receive(&SealedRequest{r.Target, Ref(r.PackageRef), r.Request})
}

// checkRequestContext opens the request in a context that is not the package's.
func (k *answerSet) checkRequestContext(context []byte) error {
	var sealed suite.HPKECiphertext
	decode(k.t, k.octets("EncryptedConnectionRequest"), &sealed)
	_, err := k.s.DecryptWithLabel(k.pkg.Private, labelRequest, context, sealed)
	return err
}

func (k *answerSet) checkResponse(b []byte) error {
	_, err := openResponse(k.s, k.responseKey, k.context, b)
	return err
}

func (k *answerSet) checkResponseContext(b []byte) error {
	var context ConnectionResponseContext
	if err := wire.Unmarshal(b, &context); err != nil {
		return err
	}
	_, err := openResponse(k.s, k.responseKey, &context, k.octets("EncryptedConnectionResponse"))
	return err
}

func (k *answerSet) checkToken(b []byte) error {
	var token protocol.SealedConnectionToken
	if err := wire.Unmarshal(b, &token); err != nil {
		return err
	}
	_, err := token.Open(k.tokens, k.room, &k.tbs)
	return err
}

func (k *answerSet) checkKeyMaterial(b []byte) error {
	var r protocol.AnonymousKeyMaterialRequest
	if err := wire.Unmarshal(b, &r); err != nil {
		return err
	}
	return r.Verify(k.s)
}

func (k *answerSet) checkJoinCode(b []byte) error {
	var r protocol.JoinCodeRegistration
	if err := wire.Unmarshal(b, &r); err != nil {
		return err
	}
	return r.Verify(k.s, k.leafKey.Public())
}
