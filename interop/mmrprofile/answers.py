"""Computes the known answers of one suite from their inputs, after the sections
of docs/mmr-profile.md."""

import base64
import hashlib
import json

import structs as t
import voprf
from codec import pad, vector
from suite import NH, expand_with_label, exporter, ref_hash

GENERATIONS = (0, 1, 7)


def scope(group_id, generation):
    """group_id<V> || uint64 generation"""
    return vector(group_id) + generation.to_bytes(8, "big")


class Answers:
    """Inputs are read with in_; every answer becomes an attribute of out."""

    def __init__(self, suite, inputs):
        self.s, self.inputs, self.out = suite, inputs, {}
        self.now = self.number("now")
        self.room = inputs["room_id"]
        self.group_id = self.put("group_id", self.room.replace("/r/", "/g/").encode())
        for section in (
            self.keys, self.credential, self.wrapping, self.table, self.join_link, self.metadata, self.policies,
            self.sibling, self.queue, self.package, self.request, self.response, self.token, self.upload,
            self.containers, self.fanout, self.group_info, self.answer, self.texts,
        ):
            section()

    def octets(self, name):
        return bytes.fromhex(self.inputs[name])

    def number(self, name):
        return int(self.inputs[name])

    def put(self, name, value):
        self.out[name] = value.hex()
        return value

    def get(self, name):
        return bytes.fromhex(self.out[name])

    def keys(self):
        for name in ("ca_a.example", "ca_b.example", "alice", "bob", "leaf", "sibling", "upload"):
            self.put(name + "_public_key", self.s.signature.public(self.octets(name + "_private_key")))
        for name in ("queue", "establishment", "connection_response", "keymaterial"):
            self.put(name + "_public_key", self.s.kem.public(self.octets(name + "_private_key")))
        for name in ("alice", "bob"):
            certificate = t.x509(self.octets(name + "_certificate"))
            self.put(name + "_client_credential", t.Credential.write(certificate))

    # Section 2

    def credential(self):
        self.tbs = {
            "client_pseudonym": self.inputs["client_pseudonym"],
            "user_pseudonym": self.inputs["user_pseudonym"],
            "signature_public_key": self.get("leaf_public_key"),
        }
        tbs = self.tbs_octets = self.put("PseudonymousCredentialTBS", t.PseudonymousCredentialTBS.write(self.tbs))
        signature = self.s.sign_with_label(self.octets("bob_private_key"), "PseudonymousCredentialTBS", tbs)
        self.put("pseudonymous_credential_signature", signature)
        tbe = {
            "pseudonymous_credential_signature": signature,
            "client_credential": t.x509(self.octets("bob_certificate")),
        }
        plaintext = pad(self.put("IdentityLinkTBE", t.IdentityLinkTBE.write(tbe)), 1024)
        self.put("Padded_link", plaintext)
        self.link = self.put("identity_link_key", self.link_key(tbs))
        aead = self.put("identity_link_aead_key", expand_with_label(self.link, "key", b"", self.s.nk))
        self.put("identity_link_commitment", expand_with_label(self.link, "commit", b"", NH))
        self.cipher = self.seal_link(plaintext)
        assert len(aead) == self.s.nk
        self.put("IdentityLinkCiphertext", t.IdentityLinkCiphertext.write(self.cipher))
        cred = self.cred = {**self.tbs, "identity_link_ciphertext": self.cipher}
        self.put("PseudonymousCredential", t.PseudonymousCredential.write(cred))
        self.outer = {"type": 0xFD4D, "pseudonymous_credential": cred}
        self.put("Credential", t.PseudonymousOuterCredential.write(self.outer))

    def link_key(self, tbs):
        return expand_with_label(self.octets("connection_key"), "IdentityLinkKey", tbs, NH)

    def seal_link(self, plaintext):
        commitment, nonce = self.get("identity_link_commitment"), self.octets("identity_link_nonce")
        aad = self.tbs_octets + vector(commitment)
        ciphertext = self.s.seal(self.get("identity_link_aead_key"), nonce, aad, plaintext)
        return {"commitment": commitment, "nonce": nonce, "ciphertext": ciphertext}

    # Section 3

    def wrapping(self):
        self.ring, self.wrapped = {0: self.octets("wrapper_key_0")}, {}
        for g in GENERATIONS:
            if g:
                secret = self.octets(f"exporter_secret_{g}")
                self.ring[g] = exporter(secret, "MIMI identity link wrapper", b"", NH)
            key, context = self.ring[g], scope(self.group_id, g)
            self.put(f"WrapperKey_{g}", t.WrapperKey.write({"wrapper_epoch": g, "key": key}))
            aead = self.put(f"wrap_aead_key_{g}", expand_with_label(key, "IdentityLinkWrap", b"", self.s.nk))
            nonce = self.octets(f"wrap_nonce_{g}")
            ciphertext = self.s.seal(aead, nonce, context + self.tbs_octets, self.link)
            self.wrapped[g] = {"wrapper_epoch": g, "nonce": nonce, "ciphertext": ciphertext}
            self.put(f"EncryptedIdentityLinkKey_{g}", t.EncryptedIdentityLinkKey.write(self.wrapped[g]))
            self.put(f"newest_key_commitment_{g}", self.key_commitment(key, g))
            self.put(f"external_join_psk_id_{g}", b"MGP1 join" + g.to_bytes(8, "big"))
            self.put(f"external_join_psk_{g}", expand_with_label(key, "ExternalJoinPSK", context, NH))

    def key_commitment(self, key, generation):
        return expand_with_label(key, "WrapperCommit", scope(self.group_id, generation), NH)

    def live_keys(self):
        return [{"wrapper_epoch": g, "key": k} for g, k in sorted(self.ring.items())]

    def table(self):
        self.put("AddAAD", t.AddAAD.write({"encrypted_identity_link_keys": [None, self.wrapped[7]]}))
        entries = [(0, self.wrapped[0]), (2, None), (3, self.wrapped[1]), (260, self.wrapped[7])]
        entries = [{"leaf_index": leaf, "key": key} for leaf, key in entries]
        self.put("IdentityLinkEntry", t.IdentityLinkEntry.write(entries[3]))
        self.put("IdentityLinkEntry_absent", t.IdentityLinkEntry.write(entries[1]))
        self.link_table = {"group_id": self.group_id, "epoch": self.number("epoch"), "entries": entries}
        encoded = self.put("IdentityLinkTable", t.IdentityLinkTable.write(self.link_table))
        self.put("table_hash", self.table_hash(encoded))
        self.state = {
            "newest_generation": 7,
            "newest_key_commitment": self.get("newest_key_commitment_7"),
            "table_hash": self.get("table_hash"),
        }
        self.put("IdentityLinkState", t.IdentityLinkState.write(self.state))
        keys = {"keys": self.live_keys(), "table": self.link_table}
        self.put("IdentityLinkWrapperKeys", t.IdentityLinkWrapperKeys.write(keys))

    def table_hash(self, encoded):
        return ref_hash("MIMI 1.0 IdentityLinkTable", encoded)

    def join_link(self):
        code, key = self.octets("join_link_code"), self.octets("join_link_key")

        def url(b):
            return base64.urlsafe_b64encode(b).rstrip(b"=").decode()

        self.out["join_link"] = f"{self.room}#c={url(code)}&k={url(key)}"
        code_hash = self.put("join_link_code_hash", hashlib.sha256(code).digest())
        plaintext = self.put("join_link_plaintext", t.Keys.write(self.live_keys()))
        aead, aad = self.bundle_key()
        nonce = self.octets("join_link_nonce")
        bundle = t.JoinBundle.write({"nonce": nonce, "ciphertext": self.s.seal(aead, nonce, aad, plaintext)})
        self.put("JoinBundle", bundle)
        registration = {
            "room_id": self.room, "code_hash": code_hash, "bundle": bundle,
            "not_after": self.number("join_code_not_after"), "uses": 3,
        }
        content = t.JoinCodeRegistrationTBS.write(registration)
        signature = self.s.sign_with_label(self.octets("leaf_private_key"), "JoinCodeRegistration", content)
        self.put("JoinCodeRegistration", content + vector(signature))

    def bundle_key(self):
        group = vector(self.group_id)
        key = expand_with_label(self.octets("join_link_key"), "JoinLink", group, self.s.nk)
        return key, group + vector(self.octets("join_link_code"))

    def metadata(self):
        for g in (0, 7):
            aead = self.put(f"room_metadata_aead_key_{g}", self.metadata_key(g))
            plaintext = self.put(f"Padded_metadata_{g}", pad(self.octets(f"room_metadata_{g}"), 1024))
            nonce = self.octets(f"room_metadata_nonce_{g}")
            ciphertext = self.s.seal(aead, nonce, scope(self.group_id, g), plaintext)
            metadata = {"wrapper_epoch": g, "nonce": nonce, "ciphertext": ciphertext}
            self.put(f"EncryptedRoomMetadata_{g}", t.EncryptedRoomMetadata.write(metadata))

    def metadata_key(self, g):
        return expand_with_label(self.ring[g], "RoomMetadata", b"", self.s.nk)

    # Section 6

    def policies(self):
        rooms = {name: (1, i, 1, 0, 1000) for i, name in enumerate(("all", "admins", "optional", "forbidden"))}
        rooms["connection"] = (1, 0, 0, 1, 2)
        for name, values in rooms.items():
            policy = dict(zip(t.MinimalMetadataPolicy.fields, values))
            self.put("MinimalMetadataPolicy_" + name, t.MinimalMetadataPolicy.write(policy))

    # Section 1

    def sibling(self):
        self.sibling_key = self.get("sibling_public_key")
        content = vector(self.group_id) + self.tbs_octets
        signature = self.s.sign_with_label(self.octets("sibling_private_key"), "MGP1 Sibling", content)
        self.put("SiblingProof", t.SiblingProof.write({"leaf_index": 3, "signature": signature}))

    # Section 5

    def queue(self):
        queue_id = {"queue_id": self.octets("queue_id"), "not_after": self.number("queue_not_after")}
        encoded = self.put("QueueId", t.QueueId.write(queue_id))
        self.put("QueueReference", t.QueueReference.write(self.queue_reference(encoded)))

    def encrypt(self, name, public, label, context, plaintext):
        ephemeral = self.octets(name + "_ephemeral_private_key")
        return self.s.encrypt_with_label(ephemeral, public, label, context, plaintext)

    def queue_reference(self, queue_id):
        sealed = self.encrypt("queue", self.get("queue_public_key"), "QueueID", self.tbs_octets, pad(queue_id, 64))
        return {"domain": "b.example", "key_id": self.number("queue_key_id"), "sealed_queue_id": sealed}

    def token(self):
        token = self.octets("connection_token")
        self.put("token_hash", hashlib.sha256(token).digest())
        content = {
            "connection_token": token, "nonce": self.octets("token_nonce"),
            "created_at_ms": self.number("token_created_at_ms"),
            "response_key": self.get("connection_response_public_key"),
        }
        plaintext = pad(self.put("ConnectionTokenContent", t.ConnectionTokenContent.write(content)), 256)
        public = self.get("keymaterial_public_key")
        self.token_context = vector(self.room.encode()) + self.tbs_octets
        sealed = {
            "domain": "b.example", "key_id": self.number("keymaterial_key_id"),
            "sealed": self.encrypt("token", public, "ConnectionToken", self.token_context, plaintext),
        }
        self.put("SealedConnectionToken", t.SealedConnectionToken.write(sealed))
        request = {
            "protocol": 1, "requestingUser": self.tbs["user_pseudonym"], "targetUser": "mimi://b.example/keymaterial",
            "roomId": self.room, "acceptableCiphersuites": [self.s.number],
            "requiredCapabilities": {"extensions": [6], "proposals": [8, 10], "credentials": [0xFD4D]},
            "requesterSignatureKey": self.get("leaf_public_key"), "requesterCredential": self.outer, "token": sealed,
        }
        content = t.AnonymousKeyMaterialRequestTBS.write(request)
        signature = self.s.sign_with_label(self.octets("leaf_private_key"), "KeyMaterialRequestTBS", content)
        encoded = self.put("AnonymousKeyMaterialRequest", content + vector(signature))
        self.put("AnonymousKeyMaterialRequest_hash", hashlib.sha256(encoded).digest())

    def upload(self):
        upload = {
            "version": 1, "cipher_suite": self.s.number, "token_hash": self.get("token_hash"),
            "sequence": self.number("upload_sequence"), "client_slots": [0, 3],
            "dropped_sets": [self.tbs["user_pseudonym"]], "key_packages": b"", "tokens": [],
            "upload_key": self.get("upload_public_key"),
        }
        content = t.KeyMaterialUploadTBS.write(upload)
        signature = self.s.sign_with_label(self.octets("upload_private_key"), "KeyMaterialUpload", content)
        self.put("KeyMaterialUpload", content + vector(signature))
        private, nonce = self.octets("issuer_private_key"), self.octets("upload_token_nonce")
        self.put("issuer_public_key", voprf.public(private))
        key_id = self.number("issuer_key_id")
        token = {"key_id": key_id, "nonce": nonce, "output": self.token_output(key_id, nonce)}
        self.put("UploadToken", t.UploadToken.write(token))

    def token_output(self, key_id, nonce):
        return voprf.evaluate(self.octets("issuer_private_key"), b"MGP1 UploadToken" + bytes([key_id]) + nonce)

    def answer(self):
        response = {"protocol": 1, "userStatus": 5, "userUri": b"", "clients": b""}
        plaintext = pad(self.put("KeyMaterialResponse", t.KeyMaterialResponse.write(response)), 4096)
        public, request = self.get("connection_response_public_key"), self.get("AnonymousKeyMaterialRequest_hash")
        sealed = self.encrypt("key_material_response", public, "KeyMaterialResponse", request, plaintext)
        self.put("SealedKeyMaterialResponse", t.HPKECiphertext.write(sealed))

    # Sections 2 and 3: where components stand

    def containers(self):
        def components(*names):
            return [{"component_id": i, "data": self.get(n)} for i, n in names]

        aad = (0x8D40, "AddAAD")
        self.put("SafeAAD", t.SafeAAD.write({"items": components(aad)}))
        others = (0x8D43, "EncryptedConnectionResponse"), (0x8D48, "SiblingProof")
        self.put("SafeAAD_external", t.SafeAAD.write({"items": components(aad, *others)}))
        mimi = [0x0022, 0x0023, 0x0025, 0x0026, 0x0027]
        own = [0x8D40, 0x8D41, 0x8D42, 0x8D43, 0x8D44, 0x8D46, 0x8D47, 0x8D48]
        negotiated = [
            {"component_id": 0x0001, "data": t.ComponentsList.write(mimi + own)},
            {"component_id": 0x0002, "data": t.ComponentsList.write([0x8D40, 0x8D43, 0x8D48])},
        ]
        state = (0x8D47, "IdentityLinkState")
        self.extension("leaf", negotiated + components((0x8D42, "QueueReference")))
        group = components((0x8D44, "MinimalMetadataPolicy_all"), (0x8D46, "EncryptedRoomMetadata_7"))
        self.extension("group", negotiated + group)
        self.extension("group_info", components(state))
        self.extension("welcome", components((0x8D41, "IdentityLinkWrapperKeys"), state))

    def extension(self, name, components):
        extension = {"extension_type": 0x0006, "extension_data": {"component_data": components}}
        self.put("Extension_" + name, t.Extension.write(extension))

    # Section 10

    def fanout(self):
        message = {
            "version": 1, "wire_format": 2, "group_id": self.group_id, "epoch": self.number("epoch"), "content_type": 1,
            "authenticated_data": b"", "encrypted_sender_data": self.octets("encrypted_sender_data"),
            "ciphertext": self.octets("message_ciphertext"),
        }
        fanout = {
            "message": {"timestamp": self.number("fanout_accepted_ms"), "message": message, "frank": None},
            "targets": [{"queue": t.QueueReference.decode(self.get("QueueReference")), "tbs": self.tbs}],
        }
        self.put("MinimalMetadataFanout", t.MinimalMetadataFanout.write(fanout))

    def group_info(self):
        context = {
            "version": 1, "cipher_suite": self.s.number, "group_id": self.group_id, "epoch": self.number("epoch"),
            "tree_hash": self.octets("tree_hash"),
            "confirmed_transcript_hash": self.octets("confirmed_transcript_hash"), "extensions": b"",
        }
        info = {
            "group_context": context, "extensions": [t.Extension.decode(self.get("Extension_group_info"))],
            "confirmation_tag": self.octets("confirmation_tag"), "signer": 3,
            "signature": self.octets("group_info_signature"),
        }
        shown = {
            "groupInfo": info, "ratchetTreeOption": 4, "pending_proposals": b"", "table": self.link_table,
            "link_bundle": self.get("JoinBundle"),
        }
        self.put("GroupInfoRatchetTreeTBE", t.GroupInfoRatchetTreeTBE.write(shown))

    def texts(self):
        self.put("JoinLink", self.out["join_link"].encode())
        key = base64.urlsafe_b64encode(self.get("keymaterial_public_key")).rstrip(b"=").decode()
        values = self.number("keymaterial_key_id"), self.s.number, key, self.number("keymaterial_not_after")
        keys = [dict(zip(("id", "suite", "key", "notAfter"), values))]
        self.put("KeymaterialKeys", json.dumps(keys, separators=(",", ":")).encode())

    # Section 4

    def package(self):
        tbs = {
            "version": 1, "cipher_suite": self.s.number, "user_uri": self.inputs["package_user_uri"],
            "establishment_public_key": self.get("establishment_public_key"),
            "not_before": self.number("package_not_before"), "not_after": self.number("package_not_after"),
            "last_resort": 0, "client_credential": t.x509(self.octets("bob_certificate")),
        }
        encoded = self.put("ConnectionEstablishmentPackageTBS", t.ConnectionEstablishmentPackageTBS.write(tbs))
        package = self.put("ConnectionEstablishmentPackage", self.signed_package(encoded))
        self.cep_ref = self.put("cep_ref", ref_hash("MIMI 1.0 ConnectionEstablishmentPackage", package))

    def signed_package(self, tbs):
        key = self.octets("bob_private_key")
        return tbs + vector(self.s.sign_with_label(key, "ConnectionEstablishmentPackageTBS", tbs))

    def request(self):
        request = {
            "requester_client_credential": t.x509(self.octets("alice_certificate")),
            "connection_room_id": self.room,
            "connection_room_identity_link_wrapper_key": self.ring[0],
            "requester_connection_key": self.octets("requester_connection_key"),
            "connection_response_key": self.get("connection_response_public_key"),
            "requester_connection_token": self.octets("requester_connection_token"),
            "join_secret": self.octets("join_secret"),
            "created_at_ms": self.number("request_created_at_ms"),
        }
        encoded = self.put("ConnectionRequest", t.ConnectionRequest.write(request))
        code = expand_with_label(request["join_secret"], "JoiningCode", self.room.encode(), 32)
        self.put("joining_code", code)
        recipient = self.inputs["package_user_uri"]
        context = {"recipient_user_uri": recipient, "cep_ref": self.cep_ref}
        self.request_context = self.put("ConnectionRequestContext", t.ConnectionRequestContext.write(context))
        self.put("ConnectionRequestTBS", t.ConnectionRequestTBS.write({"request": request, **context}))
        signed = self.put("SignedConnectionRequest", self.signed_request(encoded))
        self.request_ref = self.put("request_ref", ref_hash("MIMI 1.0 ConnectionRequest", signed))
        sealed = self.sealed_request(signed)
        self.put("EncryptedConnectionRequest", t.HPKECiphertext.write(sealed))
        envelope = {"target": recipient, "cep_ref": self.cep_ref, "request": sealed}
        self.put("ConnectionRequestEnvelope", t.ConnectionRequestEnvelope.write(envelope))

    def signed_request(self, request):
        content = request + self.request_context
        return request + vector(self.s.sign_with_label(self.octets("alice_private_key"), "ConnectionRequestTBS", content))

    def sealed_request(self, signed):
        public = self.get("establishment_public_key")
        return self.encrypt("connection_request", public, "ConnectionRequest", self.request_context, pad(signed, 4096))

    def response(self):
        response = {
            "responder_connection_key": self.octets("connection_key"),
            "responder_connection_token": self.octets("connection_token"),
        }
        context = {"connection_room_id": self.room, "request_ref": self.request_ref, "responder_tbs": self.tbs}
        self.response_context = self.put("ConnectionResponseContext", t.ConnectionResponseContext.write(context))
        plaintext = pad(self.put("ConnectionResponse", t.ConnectionResponse.write(response)), 256)
        public = self.get("connection_response_public_key")
        sealed = self.encrypt("connection_response", public, "ConnectionResponse", self.response_context, plaintext)
        self.put("EncryptedConnectionResponse", t.HPKECiphertext.write(sealed))
