"""The checks of the negative set, by the names that the file gives them."""

import base64
import re

import certificates
import errors
import structs as t
from answers import Answers, scope
from codec import pad, unpad, vector
from errors import need
from suite import NH, expand_with_label


class Checks:
    def __init__(self, answers: Answers):
        self.a, self.s = answers, answers.s

    def run(self, name, data):
        """Returns if data passes."""
        if name.startswith("decode "):
            getattr(t, name.removeprefix("decode ")).decode(data)
            return
        getattr(self, name.replace(" ", "_"))(data)

    def certificate(self, credential, domain):
        der = credential["certificates"][0]
        name = f"ca_{domain}_certificate"
        need(name in self.a.inputs, errors.ErrIssuer)
        return certificates.verify(self.s, domain, self.a.octets(name), der)

    # Section 2

    def parse_credential(self, data):
        cred = t.PseudonymousCredential.decode(data)
        need(cred["signature_public_key"] == self.a.get("leaf_public_key"), errors.ErrSignatureKey)
        tbs = {name: cred[name] for name in t.PseudonymousCredentialTBS.fields}
        return cred["identity_link_ciphertext"], t.PseudonymousCredentialTBS.write(tbs)

    def read_credential_of_leaf(self, data):
        credential = t.PseudonymousOuterCredential.decode(data)
        self.parse_credential(t.PseudonymousCredential.write(credential["pseudonymous_credential"]))

    def open_with(self, cipher, tbs, link):
        commitment = expand_with_label(link, "commit", b"", NH)
        need(commitment == cipher["commitment"], errors.ErrCommitment)
        key = expand_with_label(link, "key", b"", self.s.nk)
        with errors.instead(errors.ErrLinkDecrypt):
            plaintext = self.s.open(key, cipher["nonce"], tbs + vector(commitment), cipher["ciphertext"])
        content = unpad(plaintext, 1024)
        with errors.instead(errors.ErrLinkFormat):
            tbe = t.IdentityLinkTBE.decode(content)
        verified = self.certificate(tbe["client_credential"], "b.example")
        with errors.instead(errors.ErrLinkSignature):
            signature = tbe["pseudonymous_credential_signature"]
            self.s.verify_with_label(verified.public, "PseudonymousCredentialTBS", tbs, signature)
        verified.check_at(self.a.now)

    def open_link(self, data):
        cipher, tbs = self.parse_credential(data)
        self.open_with(cipher, tbs, self.a.link)

    def open_link_of_a_contact(self, data):
        cipher, tbs = self.parse_credential(data)
        self.open_with(cipher, tbs, self.a.link_key(tbs))

    def seal_and_open_link(self, data):
        self.seal_padded_and_open_link(pad(data, 1024))

    def seal_padded_and_open_link(self, plaintext):
        parts = self.a.seal_link(plaintext)
        cipher = b"".join(vector(parts[name]) for name in ("commitment", "nonce", "ciphertext"))
        self.open_link(self.a.tbs_octets + vector(cipher))

    # Section 3

    def unwrap(self, data):
        e = t.EncryptedIdentityLinkKey.decode(data)
        g = e["wrapper_epoch"]
        need(g in self.a.ring, errors.ErrGeneration)
        key = expand_with_label(self.a.ring[g], "IdentityLinkWrap", b"", self.s.nk)
        with errors.instead(errors.ErrUnwrap):
            aad = scope(self.a.group_id, g) + self.a.tbs_octets
            need(len(self.s.open(key, e["nonce"], aad, e["ciphertext"])) == 32, errors.ErrUnwrap)

    def check_table(self, table):
        a = self.a
        need(table["group_id"] == a.group_id and table["epoch"] == a.link_table["epoch"], errors.ErrTable)
        leaves = [[e["leaf_index"] for e in x["entries"]] for x in (table, a.link_table)]
        need(leaves[0] == leaves[1], errors.ErrTable)
        digest = a.table_hash(t.IdentityLinkTable.write(table))
        need(digest == a.state["table_hash"], errors.ErrLinkState)

    def check_newest(self, state, key):
        need(key["wrapper_epoch"] == state["newest_generation"], errors.ErrLinkState)
        commitment = self.a.key_commitment(key["key"], key["wrapper_epoch"])
        need(commitment == state["newest_key_commitment"], errors.ErrLinkState)

    def join_with_table(self, data):
        self.check_table(t.IdentityLinkTable.decode(data))

    def join_with_state(self, data):
        state = t.IdentityLinkState.decode(data)
        need(state["table_hash"] == self.a.get("table_hash"), errors.ErrLinkState)
        self.check_newest(state, self.a.live_keys()[-1])

    def join_with_key(self, data):
        self.check_newest(self.a.state, t.WrapperKey.decode(data))

    def join_with_keys(self, data):
        keys = t.IdentityLinkWrapperKeys.decode(data)
        self.check_table(keys["table"])
        self.check_newest(self.a.state, keys["keys"][-1])

    def open_bundle(self, data):
        bundle = t.JoinBundle.decode(data)
        key, aad = self.a.bundle_key()
        with errors.instead(errors.ErrJoinLink):
            t.Keys.decode(self.s.open(key, bundle["nonce"], aad, bundle["ciphertext"]))

    def open_metadata(self, data):
        m = t.EncryptedRoomMetadata.decode(data)
        g = m["wrapper_epoch"]
        need(g in self.a.ring, errors.ErrGeneration)
        with errors.instead(errors.ErrMetadata):
            plaintext = self.s.open(self.a.metadata_key(g), m["nonce"], scope(self.a.group_id, g), m["ciphertext"])
        unpad(plaintext, 1024)

    def seal_padded_and_open_metadata(self, plaintext):
        nonce, aad = self.a.octets("room_metadata_nonce_0"), scope(self.a.group_id, 0)
        ciphertext = self.s.seal(self.a.metadata_key(0), nonce, aad, plaintext)
        metadata = {"wrapper_epoch": 0, "nonce": nonce, "ciphertext": ciphertext}
        self.open_metadata(t.EncryptedRoomMetadata.write(metadata))

    # Section 6

    def policy_after(self, data):
        before = t.MinimalMetadataPolicy.decode(self.a.get("MinimalMetadataPolicy_admins"))
        after = t.MinimalMetadataPolicy.decode(data)
        fixed = ("version", "mode", "connection_room")
        same = all(before[name] == after[name] for name in fixed) and not before["connection_room"]
        weaker = after["requirement"] >= before["requirement"] and 3 not in (before["requirement"], after["requirement"])
        need(same and (weaker or before["requirement"] == after["requirement"]), errors.ErrPolicyChange)

    # Section 1

    def verify_sibling(self, data):
        proof = t.SiblingProof.decode(data)
        keys = {2: self.a.get("leaf_public_key"), 3: self.a.sibling_key}
        self.check_proof(proof, keys[proof["leaf_index"]], self.a.tbs_octets)

    def verify_newcomer(self, data):
        newcomer = t.PseudonymousCredentialTBS.decode(data)
        need(newcomer["user_pseudonym"] == self.a.tbs["user_pseudonym"], errors.ErrSibling)
        self.check_proof(t.SiblingProof.decode(self.a.get("SiblingProof")), self.a.sibling_key, data)

    def check_proof(self, proof, key, newcomer):
        with errors.instead(errors.ErrSibling):
            content = vector(self.a.group_id) + newcomer
            self.s.verify_with_label(key, "MGP1 Sibling", content, proof["signature"])

    # Section 5

    def open_queue(self, data):
        q = t.QueueReference.decode(data)
        need(q["domain"] == "b.example", errors.ErrDomain)
        need(q["key_id"] == self.a.number("queue_key_id"), errors.ErrProviderKey)
        private = self.a.octets("queue_private_key")
        with errors.instead(errors.ErrQueue):
            plaintext = self.s.decrypt_with_label(private, "QueueID", self.a.tbs_octets, q["sealed_queue_id"])
        content = unpad(plaintext, 64)
        with errors.instead(errors.ErrQueue):
            queue_id = t.QueueId.decode(content)
        need(self.a.now <= queue_id["not_after"] <= t.LAST_SECOND, errors.ErrValidity)

    def seal_and_open_queue(self, data):
        self.open_queue(t.QueueReference.write(self.a.queue_reference(data)))

    def open_token(self, data):
        token = t.SealedConnectionToken.decode(data)
        need(token["key_id"] == self.a.number("keymaterial_key_id"), errors.ErrProviderKey)
        private = self.a.octets("keymaterial_private_key")
        plaintext = self.s.decrypt_with_label(private, "ConnectionToken", self.a.token_context, token["sealed"])
        t.ConnectionTokenContent.decode(unpad(plaintext, 256))

    def verify_key_material_request(self, data):
        r = t.AnonymousKeyMaterialRequest.decode(data)
        content = t.AnonymousKeyMaterialRequestTBS.write({n: r[n] for n in t.KEY_MATERIAL_TBS})
        signature = r["key_material_request_signature"]
        self.s.verify_with_label(r["requesterSignatureKey"], "KeyMaterialRequestTBS", content, signature)

    def verify_join_code(self, data):
        r = t.JoinCodeRegistration.decode(data)
        content = t.JoinCodeRegistrationTBS.write({n: r[n] for n in t.JOIN_CODE_TBS})
        self.s.verify_with_label(self.a.get("leaf_public_key"), "JoinCodeRegistration", content, r["signature"])

    def verify_upload(self, data):
        u = t.KeyMaterialUpload.decode(data)
        with errors.instead(errors.ErrUploadSignature):
            need(u["cipher_suite"] == self.s.number, errors.ErrSignature)
            content = t.KeyMaterialUploadTBS.write({n: u[n] for n in t.UPLOAD_TBS})
            self.s.verify_with_label(u["upload_key"], "KeyMaterialUpload", content, u["signature"])

    def redeem_token(self, data):
        token = t.UploadToken.decode(data)
        need(token["key_id"] == self.a.number("issuer_key_id"), errors.ErrUploadToken)
        output = self.a.token_output(token["key_id"], token["nonce"])
        need(output == token["output"], errors.ErrUploadToken)

    def open_answer(self, data):
        self.open_answer_with(data, self.a.get("AnonymousKeyMaterialRequest_hash"))

    def open_answer_to_request(self, request):
        self.open_answer_with(self.a.get("SealedKeyMaterialResponse"), request)

    def open_answer_with(self, data, request):
        sealed = t.HPKECiphertext.decode(data)
        private = self.a.octets("connection_response_private_key")
        plaintext = self.s.decrypt_with_label(private, "KeyMaterialResponse", request, sealed)
        t.KeyMaterialResponse.decode(unpad(plaintext, 4096))

    # Where components stand

    def find_AddAAD(self, data):
        items = {i["component_id"]: i["data"] for i in t.SafeAAD.decode(data)["items"]}
        need(0x8D40 in items, errors.ErrAddAAD)
        t.AddAAD.decode(items[0x8D40])

    def components(self, data):
        extension = t.Extension.decode(data)
        if extension["extension_type"] != 0x0006:
            return {}
        return {c["component_id"]: c["data"] for c in extension["extension_data"]["component_data"]}

    def find_queue(self, data):
        components = self.components(data)
        need(0x8D42 in components, errors.ErrQueue)
        self.open_queue(components[0x8D42])

    def public_state(self, components):
        need(0x8D41 not in components, errors.ErrLeakedKeys)
        need(0x8D47 in components, errors.ErrLinkState)
        return t.IdentityLinkState.decode(components[0x8D47])

    def read_public_GroupInfo(self, data):
        state = self.public_state(self.components(data))
        need(state["table_hash"] == self.a.get("table_hash"), errors.ErrLinkState)

    def read_GroupInfo_of_Welcome(self, data):
        components = self.components(data)
        need(0x8D47 in components, errors.ErrLinkState)
        need(0x8D41 in components, errors.ErrKeys)
        self.join_with_keys(components[0x8D41])

    # Section 10

    def join_with_GroupInfo(self, data):
        shown = t.GroupInfoRatchetTreeTBE.decode(data)
        need(shown["groupInfo"]["group_context"]["group_id"] == self.a.group_id, errors.ErrGroupID)
        components = {}
        for extension in shown["groupInfo"]["extensions"]:
            components |= self.components(t.Extension.write(extension))
        state = self.public_state(components)
        need(shown["table"] is not None, errors.ErrTable)
        digest = self.a.table_hash(t.IdentityLinkTable.write(shown["table"]))
        need(digest == state["table_hash"], errors.ErrLinkState)
        self.open_bundle(shown["link_bundle"])

    def read_join_link(self, data):
        part = r"[A-Za-z0-9_-]"
        match = re.fullmatch(rf"([^#]*)#c=({part}{{22}})&k=({part}{{43}})", data.decode("latin-1"))
        need(match, errors.ErrJoinLink)
        with errors.instead(errors.ErrJoinLink):
            need(t.split_uri(match[1])[1] == "r", errors.ErrJoinLink)
        for secret in match.groups()[1:]:
            octets = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
            again = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
            need(again == secret, errors.ErrJoinLink)

    # Section 4

    def sign_TBS_and_receive_request(self, tbs):
        signature = self.s.sign_with_label(self.a.octets("alice_private_key"), "ConnectionRequestTBS", tbs)
        self.seal_and_receive_request(self.a.get("ConnectionRequest") + vector(signature))

    def verify_package(self, data):
        with errors.instead(errors.ErrPackageFormat):
            package = t.ConnectionEstablishmentPackage.decode(data)
        tbs = package["tbs"]
        need(tbs["cipher_suite"] in (1, 2, 3), errors.ErrPackageSuite)
        verified = self.certificate(tbs["client_credential"], "b.example")
        with errors.instead(errors.ErrPackageSignature):
            content = t.ConnectionEstablishmentPackageTBS.write(tbs)
            self.s.verify_with_label(
                verified.public, "ConnectionEstablishmentPackageTBS", content, package["signature"]
            )
        need(verified.user == tbs["user_uri"] == self.a.inputs["package_user_uri"], errors.ErrPackageUser)
        with errors.instead(errors.ErrPackageFormat):
            self.s.check_hpke_key(tbs["establishment_public_key"])
        need(tbs["not_before"] <= self.a.now <= tbs["not_after"], errors.ErrPackageValidity)
        verified.check_at(self.a.now)

    def sign_and_verify_package(self, data):
        self.verify_package(self.a.signed_package(data))

    def receive_envelope(self, data):
        envelope = t.ConnectionRequestEnvelope.decode(data)
        need(envelope["cep_ref"] == self.a.cep_ref, errors.ErrUnknownPackage)
        private = self.a.octets("establishment_private_key")
        with errors.instead(errors.ErrRequestDecrypt):
            plaintext = self.s.decrypt_with_label(
                private, "ConnectionRequest", self.a.request_context, envelope["request"]
            )
        with errors.instead(errors.ErrRequestFormat):
            signed = t.SignedConnectionRequest.decode(unpad(plaintext, 4096))
            request = signed["request"]
            self.s.check_hpke_key(request["connection_response_key"])
        domain = t.split_uri(request["connection_room_id"])[0]
        verified = self.certificate(request["requester_client_credential"], domain)
        verified.check_at(self.a.now)
        with errors.instead(errors.ErrRequestSignature):
            content = t.ConnectionRequest.write(request) + self.a.request_context
            self.s.verify_with_label(verified.public, "ConnectionRequestTBS", content, signed["signature"])
        need(envelope["target"] == self.a.inputs["package_user_uri"], errors.ErrRecipient)
        made = request["created_at_ms"] // 1000
        within = self.a.number("package_not_before") <= made <= self.a.number("package_not_after")
        need(within and self.a.now - made <= 30 * t.DAY, errors.ErrRequestAge)

    def seal_and_receive_request(self, signed):
        envelope = {
            "target": self.a.inputs["package_user_uri"],
            "cep_ref": self.a.cep_ref,
            "request": self.a.sealed_request(signed),
        }
        self.receive_envelope(t.ConnectionRequestEnvelope.write(envelope))

    def sign_and_receive_request(self, request):
        self.seal_and_receive_request(self.a.signed_request(request))

    def open_request_in_context(self, context):
        sealed = t.HPKECiphertext.decode(self.a.get("EncryptedConnectionRequest"))
        self.s.decrypt_with_label(self.a.octets("establishment_private_key"), "ConnectionRequest", context, sealed)

    def open_response_with(self, data, context):
        with errors.instead(errors.ErrResponse):
            sealed = t.HPKECiphertext.decode(data)
            private = self.a.octets("connection_response_private_key")
            plaintext = self.s.decrypt_with_label(private, "ConnectionResponse", context, sealed)
            t.ConnectionResponse.decode(unpad(plaintext, 256))

    def open_response(self, data):
        self.open_response_with(data, self.a.response_context)

    def open_response_in_context(self, context):
        t.ConnectionResponseContext.decode(context)
        self.open_response_with(self.a.get("EncryptedConnectionResponse"), context)
