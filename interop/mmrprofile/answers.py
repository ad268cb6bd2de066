"""The known answers of section 13, made from the inputs alone.

Each function makes those of one part of the document, and takes what it needs from those made
before it. All take the Scene, which has the suite, the inputs and the answers so far. What the
document does not fix, and the file has chosen, stands at the top.
"""

import base64
import json

import structs as s
import uris
import voprf
from codec import opaque
from suite import HASH_SIZE, SUITES, expand_with_label, mls_exporter, ref_hash, sha256

GENERATIONS = (0, 1, 7)
NEWEST = 7
TABLE_LEAVES = ((0, 0), (2, None), (3, 1), (260, 7))    # leaf index, generation of its entry
ENTRY_LEAF, ABSENT_LEAF = 260, 2
UPLOAD_SLOTS = [0, 3]
EXPORTER_LABEL = "MIMI identity link wrapper"


class Scene:
    """The people, rooms and keys of one suite: its inputs, and the answers made from them."""

    def __init__(self, suite_name, inputs):
        self.suite = SUITES[suite_name]
        self.inputs = inputs
        self.answers = {}

    def octets(self, name):
        """An input in hex."""
        return bytes.fromhex(self.inputs[name])

    def number(self, name):
        return int(self.inputs[name])

    def uri(self, name):
        return self.inputs[name].encode()

    def add(self, name, **fields):
        """Encode the structure that an answer is named after; keep and return the octets."""
        self.answers[name] = s.named(name).encode(fields)
        return self.answers[name]

    def add_signed(self, name, key, label, **fields):
        """The same for a structure that ends in a signature over all fields before it."""
        signed = s.named(name).encode_before_last(fields)
        self.answers[name] = signed + opaque(self.sign(key, label, signed))
        return self.answers[name]

    def value(self, name):
        """The structure that an answer holds."""
        return s.named(name).decode(self.answers[name])

    def sign(self, key, label, content):
        """SignWithLabel with a private key of the inputs."""
        return self.suite.sign(self.octets(key + "_private_key"), label, content)

    def encrypt(self, public, ephemeral, label, context, plaintext):
        """EncryptWithLabel to a public key of the answers with an ephemeral key of the inputs."""
        kem_output, ciphertext = self.suite.encrypt(
            self.answers[public + "_public_key"],
            self.octets(ephemeral + "_ephemeral_private_key"), label, context, plaintext)
        return {"kem_output": kem_output, "ciphertext": ciphertext}


def make(suite_name, inputs):
    """Return the Scene of a suite with all of its answers."""
    scene = Scene(suite_name, inputs)
    for part in (_public_keys, _credentials, _link, _wrapper_keys, _wrapping, _table,
                 _room_metadata, _join_link, _policies, _package, _request, _response,
                 _queue, _token, _upload, _key_material, _sibling_proof, _safe_aad, _extensions,
                 _join_code, _fanout, _group_info):
        part(scene)
    return scene


def uint64(number):
    return s.UINT64.encode(number)


def group_vector(scene):
    """group_id<V>."""
    return opaque(scene.answers["group_id"])


def _public_keys(scene):
    signatures, kem = scene.suite.signatures, scene.suite.kem
    for names, public in (
            (("alice", "bob", "ca_a.example", "ca_b.example", "leaf", "sibling", "upload"),
             signatures.public),
            (("connection_response", "establishment", "keymaterial", "queue"), kem.public),
            (("issuer",), voprf.public_key)):
        for name in names:
            scene.answers[name + "_public_key"] = public(scene.octets(name + "_private_key"))


# Credentials and links (section 2)

def x509_credential(scene, person):
    """The Credential of a client: one certificate."""
    return {"type": s.X509, "certificates": [scene.octets(person + "_certificate")]}


def _credentials(scene):
    a = scene.answers
    a["group_id"] = uris.group_id(scene.uri("room_id"))
    for person in ("alice", "bob"):
        a[person + "_client_credential"] = s.ClientCredential.encode(
            x509_credential(scene, person))
    tbs = scene.add("PseudonymousCredentialTBS", client_pseudonym=scene.uri("client_pseudonym"),
                    user_pseudonym=scene.uri("user_pseudonym"),
                    signature_public_key=a["leaf_public_key"])
    a["pseudonymous_credential_signature"] = scene.sign("bob", "PseudonymousCredentialTBS", tbs)


def seal_link(scene, plaintext):
    """Seal the padded octets of an IdentityLinkTBE."""
    a = scene.answers
    commitment, nonce = a["identity_link_commitment"], scene.octets("identity_link_nonce")
    aad = a["PseudonymousCredentialTBS"] + opaque(commitment)
    sealed = scene.suite.seal(a["identity_link_aead_key"], nonce, aad, plaintext)
    return {"commitment": commitment, "nonce": nonce, "ciphertext": sealed}


def link_key(scene, tbs):
    """The identity_link_key of a leaf from a KeyPackage, for the contact."""
    return expand_with_label(scene.octets("connection_key"), "IdentityLinkKey", tbs, HASH_SIZE)


def link_commitment(key):
    return expand_with_label(key, "commit", b"", HASH_SIZE)


def _link(scene):
    a = scene.answers
    tbe = scene.add("IdentityLinkTBE",
                    pseudonymous_credential_signature=a["pseudonymous_credential_signature"],
                    client_credential=x509_credential(scene, "bob"))
    key = a["identity_link_key"] = link_key(scene, a["PseudonymousCredentialTBS"])
    a["identity_link_aead_key"] = scene.suite.aead_key(key, "key")
    a["identity_link_commitment"] = link_commitment(key)
    a["Padded_link"] = s.pad(tbe, s.LINK_BLOCK)
    link = scene.add("IdentityLinkCiphertext", **seal_link(scene, a["Padded_link"]))
    credential = scene.add("PseudonymousCredential", **scene.value("PseudonymousCredentialTBS"),
                           identity_link_ciphertext=link)
    scene.add("Credential", type=s.PSEUDONYMOUS, pseudonymous_credential=credential)


# Wrapping and distribution (section 3)

def key_commitment(scene, key, generation):
    """newest_key_commitment of a wrapper key."""
    context = group_vector(scene) + uint64(generation)
    return expand_with_label(key, "WrapperCommit", context, HASH_SIZE)


def join_psk(scene, key, generation):
    context = group_vector(scene) + uint64(generation)
    return expand_with_label(key, "ExternalJoinPSK", context, HASH_SIZE)


def _wrapper_keys(scene):
    """Generation 0 is an input, the others are exported."""
    a = scene.answers
    for generation in GENERATIONS:
        if generation == 0:
            key = scene.octets("wrapper_key_0")
        else:
            secret = scene.octets(f"exporter_secret_{generation}")
            key = mls_exporter(secret, EXPORTER_LABEL, b"", HASH_SIZE)
        scene.add(f"WrapperKey_{generation}", wrapper_epoch=generation, key=key)
        a[f"newest_key_commitment_{generation}"] = key_commitment(scene, key, generation)
        a[f"external_join_psk_id_{generation}"] = b"MGP1 join" + uint64(generation)
        a[f"external_join_psk_{generation}"] = join_psk(scene, key, generation)


def wrapper_key(scene, generation):
    return scene.value(f"WrapperKey_{generation}").key


def live_keys(scene):
    return [scene.value(f"WrapperKey_{generation}") for generation in GENERATIONS]


def wrap_aad(scene, generation):
    return group_vector(scene) + uint64(generation) + scene.answers["PseudonymousCredentialTBS"]


def _wrapping(scene):
    a = scene.answers
    for generation in GENERATIONS:
        key = scene.suite.aead_key(wrapper_key(scene, generation), "IdentityLinkWrap")
        nonce = scene.octets(f"wrap_nonce_{generation}")
        sealed = scene.suite.seal(key, nonce, wrap_aad(scene, generation), a["identity_link_key"])
        a[f"wrap_aead_key_{generation}"] = key
        scene.add(f"EncryptedIdentityLinkKey_{generation}", wrapper_epoch=generation,
                  nonce=nonce, ciphertext=sealed)


def wrapped(scene, generation):
    """The wrapped key of a generation as the value of an optional field."""
    if generation is None:
        return None
    return scene.value(f"EncryptedIdentityLinkKey_{generation}")


def _table(scene):
    a = scene.answers
    entries = {leaf: {"leaf_index": leaf, "key": wrapped(scene, generation)}
               for leaf, generation in TABLE_LEAVES}
    scene.add("IdentityLinkEntry", **entries[ENTRY_LEAF])
    scene.add("IdentityLinkEntry_absent", **entries[ABSENT_LEAF])
    table = scene.add("IdentityLinkTable", group_id=a["group_id"], epoch=scene.number("epoch"),
                      entries=list(entries.values()))
    a["table_hash"] = s.table_hash(table)
    scene.add("IdentityLinkWrapperKeys", keys=live_keys(scene),
              table=scene.value("IdentityLinkTable"))
    scene.add("IdentityLinkState", newest_generation=NEWEST,
              newest_key_commitment=a[f"newest_key_commitment_{NEWEST}"],
              table_hash=a["table_hash"])
    scene.add("AddAAD", encrypted_identity_link_keys=[None, wrapped(scene, NEWEST)])
    scene.add("AddAAD_external", encrypted_identity_link_keys=[wrapped(scene, 0)])


def seal_metadata(scene, generation, plaintext):
    """Seal the padded octets of a RoomMetaData."""
    key = scene.answers[f"room_metadata_aead_key_{generation}"]
    nonce = scene.octets(f"room_metadata_nonce_{generation}")
    sealed = scene.suite.seal(key, nonce, group_vector(scene) + uint64(generation), plaintext)
    return {"wrapper_epoch": generation, "nonce": nonce, "ciphertext": sealed}


def _room_metadata(scene):
    a = scene.answers
    for generation in (0, NEWEST):
        a[f"room_metadata_aead_key_{generation}"] = scene.suite.aead_key(
            wrapper_key(scene, generation), "RoomMetadata")
        padded = s.pad(scene.octets(f"room_metadata_{generation}"), s.METADATA_BLOCK)
        a[f"Padded_metadata_{generation}"] = padded
        scene.add(f"EncryptedRoomMetadata_{generation}",
                  **seal_metadata(scene, generation, padded))


def base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def bundle_key(scene):
    return scene.suite.aead_key(scene.octets("join_link_key"), "JoinLink", group_vector(scene))


def bundle_aad(scene):
    return group_vector(scene) + opaque(scene.octets("join_link_code"))


def _join_link(scene):
    a = scene.answers
    code, nonce = scene.octets("join_link_code"), scene.octets("join_link_nonce")
    a["JoinLink"] = (scene.uri("room_id") + b"#c=" + base64url(code)
                     + b"&k=" + base64url(scene.octets("join_link_key")))
    a["join_link_code_hash"] = sha256(code)
    a["join_link_plaintext"] = s.LiveKeys.encode(live_keys(scene))
    sealed = scene.suite.seal(bundle_key(scene), nonce, bundle_aad(scene),
                              a["join_link_plaintext"])
    scene.add("JoinBundle", nonce=nonce, ciphertext=sealed)


# Policy (section 6)

def _policies(scene):
    scene.add("MinimalMetadataPolicy_connection", **s.CONNECTION_ROOM)
    for requirement, name in enumerate(("all", "admins", "optional", "forbidden")):
        scene.add("MinimalMetadataPolicy_" + name, version=1, requirement=requirement,
                  mode=s.EPOCH_ROTATED, connection_room=0, max_users=scene.number("max_users"))


# Connections (section 4)

def sign_package(scene, tbs):
    """ConnectionEstablishmentPackage of its signed part."""
    return tbs + opaque(scene.sign("bob", "ConnectionEstablishmentPackageTBS", tbs))


def _package(scene):
    a = scene.answers
    tbs = scene.add("ConnectionEstablishmentPackageTBS",
                    version=1, cipher_suite=scene.suite.number,
                    user_uri=scene.uri("package_user_uri"),
                    establishment_public_key=a["establishment_public_key"],
                    not_before=scene.number("package_not_before"),
                    not_after=scene.number("package_not_after"), last_resort=0,
                    client_credential=x509_credential(scene, "bob"))
    package = a["ConnectionEstablishmentPackage"] = sign_package(scene, tbs)
    a["cep_ref"] = ref_hash("MIMI 1.0 ConnectionEstablishmentPackage", package)


def sign_request(scene, request):
    """SignedConnectionRequest of a ConnectionRequest."""
    tbs = request + scene.answers["ConnectionRequestContext"]
    return request + opaque(scene.sign("alice", "ConnectionRequestTBS", tbs))


def seal_request(scene, signed):
    """EncryptedConnectionRequest of a SignedConnectionRequest."""
    return scene.encrypt("establishment", "connection_request", "ConnectionRequest",
                         scene.answers["ConnectionRequestContext"],
                         s.pad(signed, s.REQUEST_BLOCK))


def _request(scene):
    a = scene.answers
    context = scene.add("ConnectionRequestContext", cep_ref=a["cep_ref"],
                        recipient_user_uri=scene.uri("package_user_uri"))
    request = scene.add("ConnectionRequest",
                        requester_client_credential=x509_credential(scene, "alice"),
                        connection_room_id=scene.uri("room_id"),
                        connection_room_identity_link_wrapper_key=wrapper_key(scene, 0),
                        requester_connection_key=scene.octets("requester_connection_key"),
                        connection_response_key=a["connection_response_public_key"],
                        requester_connection_token=scene.octets("requester_connection_token"),
                        join_secret=scene.octets("join_secret"),
                        created_at_ms=scene.number("request_created_at_ms"))
    a["ConnectionRequestTBS"] = request + context
    signed = a["SignedConnectionRequest"] = sign_request(scene, request)
    sealed = seal_request(scene, signed)
    scene.add("EncryptedConnectionRequest", **sealed)
    scene.add("ConnectionRequestEnvelope", target=scene.uri("package_user_uri"),
              cep_ref=a["cep_ref"], request=sealed)
    a["request_ref"] = ref_hash("MIMI 1.0 ConnectionRequest", signed)
    a["joining_code"] = expand_with_label(scene.octets("join_secret"), "JoiningCode",
                                          scene.uri("room_id"), 32)


def _response(scene):
    response = scene.add("ConnectionResponse",
                         responder_connection_key=scene.octets("connection_key"),
                         responder_connection_token=scene.octets("connection_token"))
    context = scene.add("ConnectionResponseContext", connection_room_id=scene.uri("room_id"),
                        request_ref=scene.answers["request_ref"],
                        responder_tbs=scene.value("PseudonymousCredentialTBS"))
    scene.add("EncryptedConnectionResponse", **scene.encrypt(
        "connection_response", "connection_response", "ConnectionResponse", context,
        s.pad(response, s.RESPONSE_BLOCK)))


# Queues, tokens and key material (section 5)

def leaf_domain(scene):
    return uris.domain_of(scene.uri("client_pseudonym"))


def seal_queue(scene, queue_id):
    """QueueReference of the octets of a QueueId."""
    sealed = scene.encrypt("queue", "queue", "QueueID",
                           scene.answers["PseudonymousCredentialTBS"],
                           s.pad(queue_id, s.QUEUE_BLOCK))
    return {"domain": leaf_domain(scene), "key_id": scene.number("queue_key_id"),
            "sealed_queue_id": sealed}


def _queue(scene):
    queue_id = scene.add("QueueId", queue_id=scene.octets("queue_id"),
                         not_after=scene.number("queue_not_after"))
    scene.add("QueueReference", **seal_queue(scene, queue_id))


def token_context(scene):
    return opaque(scene.uri("room_id")) + scene.answers["PseudonymousCredentialTBS"]


def _token(scene):
    a = scene.answers
    token = scene.octets("connection_token")
    a["token_hash"] = sha256(token)
    content = scene.add("ConnectionTokenContent",
                        connection_token=token, nonce=scene.octets("token_nonce"),
                        created_at_ms=scene.number("token_created_at_ms"),
                        response_key=a["connection_response_public_key"])
    sealed = scene.encrypt("keymaterial", "token", "ConnectionToken", token_context(scene),
                           s.pad(content, s.TOKEN_BLOCK))
    scene.add("SealedConnectionToken", domain=leaf_domain(scene),
              key_id=scene.number("keymaterial_key_id"), sealed=sealed)


def _upload(scene):
    a = scene.answers
    key_id, nonce = scene.number("issuer_key_id"), scene.octets("upload_token_nonce")
    scene.add("UploadToken", key_id=key_id, nonce=nonce,
              output=voprf.upload_token_output(scene.octets("issuer_private_key"), key_id, nonce))
    scene.add_signed("KeyMaterialUpload", "upload", "KeyMaterialUpload",
                     version=1, cipher_suite=scene.suite.number, token_hash=a["token_hash"],
                     sequence=scene.number("upload_sequence"), client_slots=UPLOAD_SLOTS,
                     dropped_sets=[scene.uri("user_pseudonym")], key_packages=[], tokens=[],
                     upload_key=a["upload_public_key"])


def _key_material(scene):
    a = scene.answers
    token = scene.value("SealedConnectionToken")
    request = scene.add_signed(
        "AnonymousKeyMaterialRequest", "leaf", "KeyMaterialRequestTBS",
        protocol=s.MLS10, requestingUser=scene.uri("user_pseudonym"),
        targetUser=uris.key_material(token.domain), roomId=scene.uri("room_id"),
        acceptableCiphersuites=[scene.suite.number],
        requiredCapabilities={"extensions": [s.APP_DATA_DICTIONARY],
                              "proposals": [s.APP_DATA_UPDATE, s.SELF_REMOVE],
                              "credentials": [s.PSEUDONYMOUS]},
        requesterSignatureKey=a["leaf_public_key"],
        requesterCredential=scene.value("Credential"), token=token)
    a["AnonymousKeyMaterialRequest_hash"] = sha256(request)
    answer = scene.add("KeyMaterialResponse", protocol=s.MLS10, userStatus=s.NO_CONSENT,
                       userUri=b"", clients=[])
    scene.add("SealedKeyMaterialResponse", **scene.encrypt(
        "connection_response", "key_material_response", "KeyMaterialResponse",
        sha256(request), s.pad(answer, s.ANSWER_BLOCK)))
    keys = [{"id": scene.number("keymaterial_key_id"), "suite": scene.suite.number,
             "key": base64url(a["keymaterial_public_key"]).decode(),
             "notAfter": scene.number("keymaterial_not_after")}]
    a["KeymaterialKeys"] = json.dumps(keys, separators=(",", ":")).encode()


# Components (sections 1 to 3)

def _sibling_proof(scene):
    content = group_vector(scene) + scene.answers["PseudonymousCredentialTBS"]
    scene.add("SiblingProof", leaf_index=scene.number("sibling_leaf_index"),
              signature=scene.sign("sibling", "MGP1 Sibling", content))


def components(pairs):
    return [{"component_id": number, "data": data} for number, data in pairs]


def _safe_aad(scene):
    a = scene.answers
    scene.add("SafeAAD", items=components([(s.IDENTITY_LINK, a["AddAAD"])]))
    scene.add("SafeAAD_external", items=components([
        (s.IDENTITY_LINK, a["AddAAD_external"]), (s.CONNECTION_RESPONSE, a["EncryptedConnectionResponse"]),
        (s.SIBLING_PROOF, a["SiblingProof"])]))


def _extensions(scene):
    """app_data_dictionary of each place (section 2, "Leaf" and "GroupContext")."""
    a = scene.answers
    lists = [(s.APP_COMPONENTS, s.ComponentsList.encode({"components": s.LEAF_COMPONENTS})),
             (s.SAFE_AAD, s.ComponentsList.encode({"components": s.LEAF_SAFE_AAD}))]
    state = (s.LINK_STATE, a["IdentityLinkState"])
    for place, pairs in (
            ("leaf", lists + [(s.QUEUE_REFERENCE, a["QueueReference"])]),
            ("group", lists + [(s.POLICY, a["MinimalMetadataPolicy_all"]),
                               (s.ROOM_METADATA, a[f"EncryptedRoomMetadata_{NEWEST}"])]),
            ("group_info", [state]),
            ("welcome", [(s.WRAPPER_KEYS, a["IdentityLinkWrapperKeys"]), state])):
        data = s.AppDataDictionary.encode({"component_data": components(pairs)})
        scene.add("Extension_" + place, extension_type=s.APP_DATA_DICTIONARY, extension_data=data)


# On the wire (section 10)

def _join_code(scene):
    a = scene.answers
    scene.add_signed("JoinCodeRegistration", "leaf", "JoinCodeRegistration",
                     room_id=scene.uri("room_id"), code_hash=a["join_link_code_hash"],
                     bundle=a["JoinBundle"], not_after=scene.number("join_code_not_after"),
                     uses=scene.number("join_code_uses"))


def _fanout(scene):
    message = {"version": s.MLS10, "wire_format": s.PRIVATE_MESSAGE,
               "group_id": scene.answers["group_id"], "epoch": scene.number("epoch"),
               "content_type": s.APPLICATION, "authenticated_data": s.SafeAAD.encode({"items": []}),
               "encrypted_sender_data": scene.octets("encrypted_sender_data"),
               "ciphertext": scene.octets("message_ciphertext")}
    target = {"queue": scene.value("QueueReference"),
              "tbs": scene.value("PseudonymousCredentialTBS")}
    scene.add("MinimalMetadataFanout", targets=[target], message={
        "timestamp": scene.number("fanout_accepted_ms"), "message": message, "frank": None})


def _group_info(scene):
    a = scene.answers
    context = {"version": s.MLS10, "cipher_suite": scene.suite.number, "group_id": a["group_id"],
               "epoch": scene.number("epoch"), "tree_hash": scene.octets("tree_hash"),
               "confirmed_transcript_hash": scene.octets("confirmed_transcript_hash"),
               "extensions": []}
    info = {"group_context": context, "extensions": [scene.value("Extension_group_info")],
            "confirmation_tag": scene.octets("confirmation_tag"), "signer": scene.number("group_info_signer"),
            "signature": scene.octets("group_info_signature")}
    scene.add("GroupInfoRatchetTreeTBE", groupInfo=info,
              ratchetTreeOption={"representation": s.DISTRIBUTION_SERVICE}, pending_proposals=[],
              table=scene.value("IdentityLinkTable"), link_bundle=a["JoinBundle"])
