package connection

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// makeContainers puts components where they stand: in a SafeAAD and in the
// app_data_dictionary of a leaf, of a GroupContext and of both GroupInfos.
func (k *answerSet) makeContainers() {
	item := func(id mls.ComponentID, name string) mls.SafeAADItem {
		return mls.SafeAADItem{ID: id, Data: k.octets(name)}
	}
	k.encoded("SafeAAD", &mls.SafeAAD{item(identity.ComponentIdentityLink, "AddAAD")})
	k.encoded("SafeAAD_external", &mls.SafeAAD{
		item(identity.ComponentIdentityLink, "AddAAD_external"), item(identity.ComponentConnectionResponse, "EncryptedConnectionResponse"),
		item(identity.ComponentSiblingProof, "SiblingProof"),
	})
	var queue identity.QueueReference
	decode(k.t, k.octets("QueueReference"), &queue)
	leaf := ok(identity.LeafExtensions(&queue))(k)
	k.encoded("Extension_leaf", &leaf[0])
	var policy identity.MinimalMetadataPolicy
	decode(k.t, k.octets("MinimalMetadataPolicy_all"), &policy)
	var metadata identity.EncryptedRoomMetadata
	decode(k.t, k.octets("EncryptedRoomMetadata_7"), &metadata)
	for name, d := range map[string]mls.AppDataDictionary{
		"group": ok(identity.GroupComponents(&policy, &metadata))(k), "group_info": ok(k.state().PublicComponents())(k),
		"welcome": ok(identity.WelcomeKeys{Keys: k.ring.Keys(), Table: k.table}.ForWelcome(k.s))(k).Dictionary(),
	} {
		e := ok(d.Extension())(k)
		k.encoded("Extension_"+name, &e)
	}
}

// makeFanout delivers a message to our leaf.
func (k *answerSet) makeFanout() {
	var queue identity.QueueReference
	decode(k.t, k.octets("QueueReference"), &queue)
	k.encoded("MinimalMetadataFanout", &protocol.MinimalMetadataFanout{
		Message: protocol.FanoutMessage{
			Accepted: time.UnixMilli(int64(k.number("fanout_accepted_ms", 1773500002789))),
			Message: mls.MLSMessage{PrivateMessage: &mls.PrivateMessage{
				GroupID: k.groupID, Epoch: k.table.Epoch, ContentType: mls.ContentApplication, AuthenticatedData: encode(k.t, &mls.SafeAAD{}),
				EncryptedSenderData: k.random("encrypted_sender_data", 28), Ciphertext: k.random("message_ciphertext", 32),
			}},
		},
		Targets: []protocol.FanoutTarget{{Queue: queue, TBS: k.tbs}},
	})
}

// makeGroupInfo shows the room to a joiner who has the join link. What the profile
// does not define is made up: hashes, tag and signature.
func (k *answerSet) makeGroupInfo() {
	var public mls.Extension
	decode(k.t, k.octets("Extension_group_info"), &public)
	k.encoded("GroupInfoRatchetTreeTBE", &protocol.GroupInfoRatchetTreeTBE{
		GroupInfo: mls.GroupInfo{
			GroupContext: mls.GroupContext{
				CipherSuite: k.s.ID(), GroupID: k.groupID, Epoch: k.table.Epoch, TreeHash: k.random("tree_hash", 32),
				ConfirmedTranscriptHash: k.random("confirmed_transcript_hash", 32),
			},
			Extensions: mls.Extensions{public}, ConfirmationTag: k.random("confirmation_tag", 32), Signer: mls.LeafIndex(k.number("group_info_signer", 3)), Signature: k.random("group_info_signature", 32),
		},
		RatchetTree: protocol.HubTree(), Table: k.table, LinkBundle: k.octets("JoinBundle"),
	})
}

// makeAnswer refuses key material, which the hub cannot tell from handing it out.
func (k *answerSet) makeAnswer() {
	plaintext := k.pad(k.encoded("KeyMaterialResponse", &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent}), 4096)
	sealed := k.encrypt("key_material_response", k.responseKey.Public(), "KeyMaterialResponse", k.octets("AnonymousKeyMaterialRequest_hash"), plaintext)
	k.encoded("SealedKeyMaterialResponse", &sealed)
	if err := k.checkAnswer(k.octets("SealedKeyMaterialResponse")); err != nil {
		k.t.Error(err)
	}
}

// makeTexts are the forms that are no structures: the join link, and the provider's
// key in its directory document.
func (k *answerSet) makeTexts() {
	k.answer("JoinLink", []byte(k.joinLink.Text()))
	key := identity.ProviderKey{
		ID: 2, Suite: k.s.ID(), Public: k.octets("keymaterial_public_key"), NotAfter: time.Unix(int64(k.number("keymaterial_not_after", 1776000000)), 0),
	}
	document := ok(json.Marshal(&protocol.Directory{Profile: &protocol.Profile{KeyMaterialKeys: []identity.ProviderKey{key}}}))(k)
	var shown struct {
		MGP struct {
			Keys json.RawMessage `json:"keymaterialKeys"`
		} `json:"mgp"`
	}
	if err := json.Unmarshal(document, &shown); err != nil {
		k.t.Fatal(err)
	}
	k.answer("KeymaterialKeys", shown.MGP.Keys)
}

// checkCredential reads the credential of our leaf.
func (k *answerSet) checkCredential(b []byte) error {
	var credential mls.Credential
	if err := wire.Unmarshal(b, &credential); err != nil {
		return err
	}
	_, err := identity.ParseCredential(k.s, credential, k.leafKey.Public())
	return err
}

// checkAddAAD looks for the AddAAD in a SafeAAD.
func (k *answerSet) checkAddAAD(b []byte) error {
	var safe mls.SafeAAD
	if err := wire.Unmarshal(b, &safe); err != nil {
		return err
	}
	aad, err := identity.AddAADFrom(safe)
	if err == nil && aad == nil {
		err = identity.ErrAddAAD
	}
	return err
}

// extension is one in a list of its own.
func extension(b []byte) (mls.Extensions, error) {
	var e mls.Extension
	err := wire.Unmarshal(b, &e)
	return mls.Extensions{e}, err
}

// checkLeafExtension finds the queue of a leaf, whose extension everyone's is.
func (k *answerSet) checkLeafExtension(b []byte) error {
	list, err := extension(b)
	if err != nil {
		return err
	}
	queue, err := identity.QueueFrom(list, &k.tbs)
	if err != nil {
		return err
	}
	_, err = k.queues.OpenQueue(&k.tbs, queue, k.now)
	return err
}

// checkPublicExtension takes what a public GroupInfo says.
func (k *answerSet) checkPublicExtension(b []byte) error {
	list, err := extension(b)
	if err != nil {
		return err
	}
	state, err := identity.LinkStateFrom(list)
	if err != nil {
		return err
	}
	return state.CheckTable(k.s, k.table)
}

// checkWelcomeExtension takes what the GroupInfo in a Welcome says.
func (k *answerSet) checkWelcomeExtension(b []byte) error {
	list, err := extension(b)
	if err == nil {
		_, err = identity.KeysFromWelcome(k.s, list, k.groupID, k.table.Epoch, k.leaves())
	}
	return err
}

// checkGroupInfo makes a joiner's checks of table and bundle.
func (k *answerSet) checkGroupInfo(b []byte) error {
	var info protocol.GroupInfoRatchetTreeTBE
	if err := wire.Unmarshal(b, &info); err != nil {
		return err
	}
	if !bytes.Equal(info.GroupInfo.GroupContext.GroupID, k.groupID) {
		return identity.ErrGroupID
	}
	state, err := identity.LinkStateFrom(info.GroupInfo.Extensions)
	if err != nil {
		return err
	}
	if info.Table == nil {
		return identity.ErrTable
	}
	if err := state.CheckTable(k.s, info.Table); err != nil {
		return err
	}
	return k.checkBundle(info.LinkBundle)
}

func (k *answerSet) checkAnswer(b []byte) error {
	var sealed protocol.SealedKeyMaterial
	if err := wire.Unmarshal(b, &sealed); err != nil {
		return err
	}
	_, err := sealed.Open(k.s, k.responseKey, k.octets("AnonymousKeyMaterialRequest_hash"))
	return err
}

// checkAnswerTo opens the answer as one to another request.
func (k *answerSet) checkAnswerTo(hash []byte) error {
	var sealed protocol.SealedKeyMaterial
	decode(k.t, k.octets("SealedKeyMaterialResponse"), &sealed)
	_, err := sealed.Open(k.s, k.responseKey, hash)
	return err
}

// checkRequestTBS signs a ConnectionRequestTBS for a request that is sent as it was.
func (k *answerSet) checkRequestTBS(tbs []byte) error {
	signature := ok(k.alice.SignWithLabel(labelSigned, tbs))(k)
	return k.checkSealedRequest(slices.Concat(k.octets("ConnectionRequest"), k.vector(signature)))
}

func (k *answerSet) checkJoinLink(b []byte) error {
	_, err := identity.ParseJoinLink(string(b))
	return err
}

// messageCases are the negative set of what this file makes.
func messageCases() []refusedCase {
	text := func(s string) string { return "set " + hex.EncodeToString([]byte(s)) }
	const room, code, key = "mimi://a.example/r/garden", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	return []refusedCase{
		{"SafeAAD", "items.component_id", "set 8d48", "find AddAAD", "ErrAddAAD"},
		{"SafeAAD", "items.data", "cut", "find AddAAD", "ErrTruncated"},
		{"SafeAAD", "items.data", "grow", "find AddAAD", "ErrTrailing"},
		{"SafeAAD", "items", "set 088d4801008d400100", "find AddAAD", "ErrComponentOrder"},
		{"SafeAAD_external", "items", "set 088d4001008d400100", "find AddAAD", "ErrComponentOrder"},
		{"SafeAAD_external", "", "cut", "find AddAAD", "ErrTruncated"},
		{"Extension_leaf", "extension_type", "set 0007", "find queue", "ErrQueue"},
		{"Extension_leaf", "extension_data.component_data", "empty", "find queue", "ErrQueue"},
		{"Extension_leaf", "extension_data.component_data", "set 088d4201008d400100", "find queue", "ErrComponentOrder"},
		{"Extension_leaf", "extension_data.component_data", "set 038d4200", "find queue", "ErrTruncated"},
		{"Extension_leaf", "extension_data", "grow", "find queue", "ErrTrailing"},
		{"Extension_group_info", "extension_data.component_data", "empty", "read public GroupInfo", "ErrLinkState"},
		{"Extension_group_info", "extension_data.component_data", "set 048d410100", "read public GroupInfo", "ErrLeakedKeys"},
		{"Extension_welcome", "extension_data.component_data", "empty", "read GroupInfo of Welcome", "ErrLinkState"},
		{"MinimalMetadataFanout", "message.timestamp", "set ffffffffffffffff", "decode MinimalMetadataFanout", "ErrMalformed"},
		{"MinimalMetadataFanout", "message.message.content_type", "set 02", "decode MinimalMetadataFanout", "ErrMalformed"},
		{"MinimalMetadataFanout", "targets", "empty", "decode MinimalMetadataFanout", "ErrMalformed"},
		{"MinimalMetadataFanout", "targets.queue.domain", "set 09632e6578616d706c65", "decode MinimalMetadataFanout", "ErrMalformed"},
		{"MinimalMetadataFanout", "targets.queue.sealed_queue_id.ciphertext", "cut", "decode MinimalMetadataFanout", "ErrQueue"},
		{"MinimalMetadataFanout", "targets.tbs.user_pseudonym", "set 166d696d693a2f2f622e6578616d706c652f752f626f62", "decode MinimalMetadataFanout", "ErrPseudonym"},
		{"MinimalMetadataFanout", "targets", "cut", "decode MinimalMetadataFanout", "ErrTruncated"},
		{"MinimalMetadataFanout", "", "grow", "decode MinimalMetadataFanout", "ErrTrailing"},
		{"MinimalMetadataFanout", "targets.queue", "set 00", "decode MinimalMetadataFanout", "ErrURI"},
		{"IdentityLinkEntry", "key", "set 01", "decode IdentityLinkEntry", "ErrTruncated"},
		{"Credential", "type", "set 0001", "read credential of leaf", "ErrCredentialType"},
		{"Credential", "pseudonymous_credential", "grow", "read credential of leaf", "ErrTrailing"},
		{"GroupInfoRatchetTreeTBE", "groupInfo.group_context.group_id", "flip", "join with GroupInfo", "ErrGroupID"},
		{"GroupInfoRatchetTreeTBE", "groupInfo.extensions", "empty", "join with GroupInfo", "ErrLinkState"},
		{"GroupInfoRatchetTreeTBE", "groupInfo.extensions.extension_data.component_data", "set 048d410100", "join with GroupInfo", "ErrLeakedKeys"},
		{"GroupInfoRatchetTreeTBE", "table", "set 00", "join with GroupInfo", "ErrTable"},
		{"GroupInfoRatchetTreeTBE", "table.epoch", "flip", "join with GroupInfo", "ErrLinkState"},
		{"GroupInfoRatchetTreeTBE", "table.entries", "empty", "join with GroupInfo", "ErrLinkState"},
		{"GroupInfoRatchetTreeTBE", "link_bundle.ciphertext", "flip", "join with GroupInfo", "ErrJoinLink"},
		{"GroupInfoRatchetTreeTBE", "link_bundle", "empty", "join with GroupInfo", "ErrTruncated"},
		{"GroupInfoRatchetTreeTBE", "", "grow", "join with GroupInfo", "ErrTrailing"},
		{"KeyMaterialResponse", "protocol", "set 02", "decode KeyMaterialResponse", "ErrMalformed"},
		{"KeyMaterialResponse", "userStatus", "set 08", "decode KeyMaterialResponse", "ErrMalformed"},
		{"KeyMaterialResponse", "userStatus", "set 00", "decode KeyMaterialResponse", "ErrMalformed"},
		{"KeyMaterialResponse", "userUri", "set 166d696d693a2f2f622e6578616d706c652f642f626f62", "decode KeyMaterialResponse", "ErrMalformed"},
		{"SealedKeyMaterialResponse", "ciphertext", "flip", "open answer", "ErrDecrypt"},
		{"SealedKeyMaterialResponse", "ciphertext", "cut", "open answer", "ErrDecrypt"},
		{"SealedKeyMaterialResponse", "kem_output", "cut", "open answer", "ErrDecrypt"},
		{"AnonymousKeyMaterialRequest_hash", "", "flip", "open answer to request", "ErrDecrypt"},
		{"ConnectionRequestTBS", "request.created_at_ms", "flip", "sign TBS and receive request", "ErrRequestSignature"},
		{"ConnectionRequestTBS", "recipient_user_uri", "set 166d696d693a2f2f622e6578616d706c652f752f62656e", "sign TBS and receive request", "ErrRequestSignature"},
		{"ConnectionRequestTBS", "cep_ref", "flip", "sign TBS and receive request", "ErrRequestSignature"},
		{"JoinLink", "", "cut", "read join link", "ErrJoinLink"},
		{"JoinLink", "", "grow", "read join link", "ErrJoinLink"},
		{"JoinLink", "", text(room), "read join link", "ErrJoinLink"},
		{"JoinLink", "", text(room + "#c=" + code), "read join link", "ErrJoinLink"},
		{"JoinLink", "", text(room + "#k=" + key + "&c=" + code), "read join link", "ErrJoinLink"},
		{"JoinLink", "", text(room + "#c=" + code + "==&k=" + key + "="), "read join link", "ErrJoinLink"},
		{"JoinLink", "", text(room + "#c=" + code[1:] + "B&k=" + key), "read join link", "ErrJoinLink"},
		{"JoinLink", "", text("mimi://a.example/g/garden#c=" + code + "&k=" + key), "read join link", "ErrJoinLink"},
		{"JoinLink", "", text("https://a.example/r/garden#c=" + code + "&k=" + key), "read join link", "ErrJoinLink"},
	}
}
