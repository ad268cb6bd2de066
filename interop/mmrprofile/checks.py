"""The checks of the negative set (section 13), each as the party makes it that receives the
structure.

A check is given the Scene, the octets of the structure, and the octets as they are without a
change. It raises Refused, or returns and has found nothing wrong.
"""

import base64
import hmac
import re

import answers as make
import structs as s
import uris
import voprf
from certificates import ClientCertificate
from codec import Record, Refused, opaque
from suite import SUITES, TAG_SIZE

CHECKS = {}
THIRTY_DAYS_MS = 30 * s.DAY * 1000
MAX_METADATA_BLOCKS = 64


def check(name):
    """Register a function as the check of a name."""
    def register(function):
        CHECKS[name] = function
        return function
    return register


def run(scene, name, octets, original):
    """Return the name of the error with which a check refuses, or "nothing"."""
    try:
        if name.startswith("decode "):
            s.named(name.removeprefix("decode ")).decode(octets)
        else:
            CHECKS[name](scene, octets, original)
    except Refused as refused:
        return refused.name
    return "nothing"


def decode_as(error, decode, *arguments):
    """Decode something of which the document names one error, whatever is wrong with it."""
    try:
        return decode(*arguments)
    except Refused:
        raise Refused(error) from None


def decode_padded(kind, octets, block):
    return kind.decode(s.unpad(octets, block))


def check_chain(scene, certificate, domain):
    """Check a certificate against the pinned identity CA of a domain."""
    certificate.check_chain(domain, scene.octets(f"ca_{domain.decode()}_certificate"))


# Links (section 2)

def open_link(scene, credential, link_key):
    """Open the link of a leaf, in the order of section 2."""
    suite = scene.suite
    s.require(credential.signature_public_key == scene.answers["leaf_public_key"],
              "ErrSignatureKey")
    link = s.IdentityLinkCiphertext.decode(credential.identity_link_ciphertext)
    tbs = s.PseudonymousCredentialTBS.encode(credential)
    s.require(hmac.compare_digest(make.link_commitment(link_key), link.commitment),
              "ErrCommitment")
    plaintext = suite.open(suite.aead_key(link_key, "key"), link.nonce,
                           tbs + opaque(link.commitment), link.ciphertext, "ErrLinkDecrypt")
    content = s.unpad(plaintext, s.LINK_BLOCK)
    opened = decode_as("ErrLinkFormat", s.IdentityLinkTBE.decode, content)
    certificate = ClientCertificate(suite, opened.client_credential)
    check_chain(scene, certificate, uris.domain_of(credential.client_pseudonym))
    suite.verify(certificate.public_key, "PseudonymousCredentialTBS", tbs,
                 opened.pseudonymous_credential_signature, "ErrLinkSignature")
    certificate.check_validity(scene.number("now"))


@check("open link")
def open_link_of_member(scene, octets, _):
    """A member has the link key from the table."""
    open_link(scene, s.PseudonymousCredential.decode(octets), scene.answers["identity_link_key"])


@check("open link of a contact")
def open_link_of_contact(scene, octets, _):
    """A contact derives the link key from the connection key."""
    credential = s.PseudonymousCredential.decode(octets)
    tbs = s.PseudonymousCredentialTBS.encode(credential)
    open_link(scene, credential, make.link_key(scene, tbs))


@check("seal padded and open link")
def seal_padded_and_open_link(scene, octets, _):
    link = s.IdentityLinkCiphertext.encode(make.seal_link(scene, octets))
    credential = scene.value("PseudonymousCredential")
    credential["identity_link_ciphertext"] = link
    open_link(scene, credential, scene.answers["identity_link_key"])


@check("seal and open link")
def seal_and_open_link(scene, octets, original):
    seal_padded_and_open_link(scene, s.pad(octets, s.LINK_BLOCK), original)


@check("read credential of leaf")
def read_credential(scene, octets, _):
    credential = s.Credential.decode(octets)
    s.PseudonymousCredential.decode(credential.pseudonymous_credential)


# Wrapping and distribution (section 3)

@check("unwrap")
def unwrap(scene, octets, _):
    wrapped = s.EncryptedIdentityLinkKey.decode(octets)
    generation = wrapped.wrapper_epoch
    s.require(generation in make.GENERATIONS, "ErrGeneration")
    key = scene.suite.aead_key(make.wrapper_key(scene, generation), "IdentityLinkWrap")
    scene.suite.open(key, wrapped.nonce, make.wrap_aad(scene, generation), wrapped.ciphertext,
                     "ErrUnwrap")


def check_table(scene, table):
    """The table is that of the group, the epoch and the leaves."""
    s.require(table.group_id == scene.answers["group_id"]
              and table.epoch == scene.number("epoch")
              and [entry.leaf_index for entry in table.entries]
              == [leaf for leaf, _ in make.TABLE_LEAVES], "ErrTable")


def check_hash(table, state):
    s.require(s.table_hash(s.IdentityLinkTable.encode(table)) == state.table_hash,
              "ErrLinkState")


def check_newest(scene, newest, state):
    """Generation and key commitment of 0x8D47."""
    s.require(newest.wrapper_epoch == state.newest_generation, "ErrLinkState")
    commitment = make.key_commitment(scene, newest.key, newest.wrapper_epoch)
    s.require(commitment == state.newest_key_commitment, "ErrLinkState")


def check_generations(table, keys):
    """Every generation that the table names is live."""
    live = {key.wrapper_epoch for key in keys}
    s.require(all(entry.key is None or entry.key.wrapper_epoch in live
                  for entry in table.entries), "ErrKeys")


def join(scene, table=None, state=None, keys=None):
    """Check what a joiner has of a room: that of the Scene, except for what is given."""
    table = table or scene.value("IdentityLinkTable")
    state = state or scene.value("IdentityLinkState")
    keys = keys or make.live_keys(scene)
    check_table(scene, table)
    check_hash(table, state)
    check_newest(scene, keys[-1], state)
    check_generations(table, keys)


@check("join with table")
def join_with_table(scene, octets, _):
    join(scene, table=s.IdentityLinkTable.decode(octets))


@check("join with state")
def join_with_state(scene, octets, _):
    join(scene, state=s.IdentityLinkState.decode(octets))


@check("join with key")
def join_with_key(scene, octets, _):
    """The key takes the place of the newest one."""
    join(scene, keys=make.live_keys(scene)[:-1] + [s.WrapperKey.decode(octets)])


@check("join with keys")
def join_with_keys(scene, octets, _):
    value = s.IdentityLinkWrapperKeys.decode(octets)
    join(scene, table=value.table, keys=value["keys"])


def read_bundle(scene, octets):
    """Open the bundle of a join link and return the live keys."""
    bundle = s.JoinBundle.decode(octets)
    plaintext = scene.suite.open(make.bundle_key(scene), bundle.nonce, make.bundle_aad(scene),
                                 bundle.ciphertext, "ErrJoinLink")
    return s.LiveKeys.decode(plaintext)


@check("open bundle")
def open_bundle(scene, octets, _):
    read_bundle(scene, octets)


LINK = re.compile(rb"([^#]*)#c=([A-Za-z0-9_-]{22})&k=([A-Za-z0-9_-]{43})")


@check("read join link")
def read_join_link(scene, octets, _):
    match = LINK.fullmatch(octets)
    s.require(match, "ErrJoinLink")
    room, *secrets = match.groups()
    decode_as("ErrJoinLink", uris.of_kind, room, uris.ROOM, "ErrJoinLink")
    for text in secrets:
        decoded = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
        s.require(make.base64url(decoded) == text, "ErrJoinLink")


def read_metadata(scene, metadata):
    """Open 0x8D46."""
    blocks, rest = divmod(len(metadata.ciphertext) - TAG_SIZE, s.METADATA_BLOCK)
    s.require(1 <= blocks <= MAX_METADATA_BLOCKS and rest == 0, "ErrMetadata")
    generation = metadata.wrapper_epoch
    s.require(generation in make.GENERATIONS, "ErrGeneration")
    key = scene.suite.aead_key(make.wrapper_key(scene, generation), "RoomMetadata")
    aad = make.group_vector(scene) + make.uint64(generation)
    plaintext = scene.suite.open(key, metadata.nonce, aad, metadata.ciphertext, "ErrMetadata")
    s.unpad(plaintext, s.METADATA_BLOCK)


@check("open metadata")
def open_metadata(scene, octets, _):
    read_metadata(scene, s.EncryptedRoomMetadata.decode(octets))


@check("seal padded and open metadata")
def seal_padded_and_open_metadata(scene, octets, _):
    """The structure is that of generation 0."""
    read_metadata(scene, Record(make.seal_metadata(scene, 0, octets)))


# Siblings and policy (sections 1 and 6)

def check_sibling(scene, proof, newcomer):
    """A proof, for a new leaf, of the one other leaf of the user that the group has."""
    s.require(proof.leaf_index == scene.number("sibling_leaf_index")
              and newcomer.user_pseudonym == scene.uri("user_pseudonym"), "ErrSibling")
    content = make.group_vector(scene) + s.PseudonymousCredentialTBS.encode(newcomer)
    scene.suite.verify(scene.answers["sibling_public_key"], "MGP1 Sibling", content,
                       proof.signature, "ErrSibling")


@check("verify sibling")
def verify_sibling(scene, octets, _):
    check_sibling(scene, s.SiblingProof.decode(octets), scene.value("PseudonymousCredentialTBS"))


@check("verify newcomer")
def verify_newcomer(scene, octets, _):
    check_sibling(scene, scene.value("SiblingProof"), s.PseudonymousCredentialTBS.decode(octets))


@check("policy after")
def policy_after(scene, octets, original):
    """What a policy may become: the requirement moves only from all to admins to optional."""
    old = s.MinimalMetadataPolicy.decode(original)
    new = s.MinimalMetadataPolicy.decode(octets)
    for name in ("version", "mode", "connection_room"):
        s.require(new[name] == old[name], "ErrPolicyChange")
    s.require(not old.connection_room or new == old, "ErrPolicyChange")
    s.require(new.requirement == old.requirement
              or old.requirement < new.requirement <= s.OPTIONAL, "ErrPolicyChange")


# Establishment packages (section 4)

@check("verify package")
def verify_package(scene, octets, _):
    """What the requester checks, in its order."""
    suite, now = scene.suite, scene.number("now")
    package = decode_as("ErrPackageFormat", s.ConnectionEstablishmentPackage.decode, octets)
    tbs, asked = package.tbs, scene.uri("package_user_uri")
    s.require(tbs.cipher_suite == suite.number, "ErrPackageSuite")
    certificate = ClientCertificate(suite, tbs.client_credential)
    check_chain(scene, certificate, uris.domain_of(asked))
    suite.verify(certificate.public_key, "ConnectionEstablishmentPackageTBS",
                 s.ConnectionEstablishmentPackageTBS.encode(tbs), package.signature,
                 "ErrPackageSignature")
    s.require(certificate.user_uri == tbs.user_uri == asked, "ErrPackageUser")
    s.require(len(tbs.establishment_public_key) == suite.kem.public_size, "ErrPackageFormat")
    s.require(tbs.not_before <= now <= tbs.not_after, "ErrPackageValidity")
    certificate.check_validity(now)


@check("sign and verify package")
def sign_and_verify_package(scene, octets, original):
    verify_package(scene, make.sign_package(scene, octets), original)


# Requests (section 4)

def receive(scene, envelope):
    """The responder's checks 1 to 6. The context is made from what the responder knows of its
    package, and not from the envelope."""
    suite = scene.suite
    s.require(envelope.cep_ref == scene.answers["cep_ref"], "ErrUnknownPackage")
    package = scene.value("ConnectionEstablishmentPackage").tbs
    context = scene.answers["ConnectionRequestContext"]
    plaintext = suite.decrypt(scene.octets("establishment_private_key"), "ConnectionRequest",
                              context, envelope.request, "ErrRequestDecrypt")
    signed = decode_as("ErrRequestFormat", decode_padded, s.SignedConnectionRequest, plaintext,
                       s.REQUEST_BLOCK)
    request = signed.request
    s.require(len(request.connection_response_key) == suite.kem.public_size, "ErrRequestFormat")
    certificate = ClientCertificate(suite, request.requester_client_credential)
    check_chain(scene, certificate, uris.domain_of(request.connection_room_id))
    certificate.check_validity(scene.number("now"))
    suite.verify(certificate.public_key, "ConnectionRequestTBS",
                 s.ConnectionRequest.encode(request) + context, signed.signature,
                 "ErrRequestSignature")
    s.require(envelope.target == package.user_uri, "ErrRecipient")
    check_age(scene, request.created_at_ms, package)


def check_age(scene, created_at_ms, package):
    """Created in the lifetime of the package, and at most 30 days old."""
    s.require(package.not_before * 1000 <= created_at_ms <= package.not_after * 1000,
              "ErrRequestAge")
    s.require(created_at_ms >= scene.number("now") * 1000 - THIRTY_DAYS_MS, "ErrRequestAge")


@check("seal and receive request")
def seal_and_receive(scene, octets, _):
    receive(scene, Record(target=scene.uri("package_user_uri"), cep_ref=scene.answers["cep_ref"],
                          request=Record(make.seal_request(scene, octets))))


@check("sign and receive request")
def sign_and_receive(scene, octets, original):
    seal_and_receive(scene, make.sign_request(scene, octets), original)


@check("sign TBS and receive request")
def sign_tbs_and_receive(scene, octets, original):
    """The signature is over the changed structure, and the request that is sent the real one."""
    signature = scene.sign("alice", "ConnectionRequestTBS", octets)
    seal_and_receive(scene, scene.answers["ConnectionRequest"] + opaque(signature), original)


@check("receive envelope")
def receive_envelope(scene, octets, _):
    receive(scene, s.ConnectionRequestEnvelope.decode(octets))


@check("open request in context")
def open_request_in_context(scene, octets, _):
    scene.suite.decrypt(scene.octets("establishment_private_key"), "ConnectionRequest", octets,
                        scene.value("EncryptedConnectionRequest"))


# Responses (section 4)

def read_response(scene, message, context):
    plaintext = scene.suite.decrypt(scene.octets("connection_response_private_key"),
                                    "ConnectionResponse", context, message)
    decode_padded(s.ConnectionResponse, plaintext, s.RESPONSE_BLOCK)


@check("open response")
def open_response(scene, octets, _):
    message = decode_as("ErrResponse", s.EncryptedConnectionResponse.decode, octets)
    context = scene.answers["ConnectionResponseContext"]
    decode_as("ErrResponse", read_response, scene, message, context)


@check("open response in context")
def open_response_in_context(scene, octets, _):
    message = scene.value("EncryptedConnectionResponse")
    decode_as("ErrResponse", read_response, scene, message, octets)


# Queues, tokens and key material (section 5)

@check("open queue")
def open_queue(scene, octets, _):
    reference = s.QueueReference.decode(octets)
    s.require(reference.domain == make.leaf_domain(scene), "ErrDomain")
    s.require(reference.key_id == scene.number("queue_key_id"), "ErrProviderKey")
    plaintext = scene.suite.decrypt(
        scene.octets("queue_private_key"), "QueueID", scene.answers["PseudonymousCredentialTBS"],
        reference.sealed_queue_id, "ErrQueue")
    queue = decode_as("ErrQueue", decode_padded, s.QueueId, plaintext, s.QUEUE_BLOCK)
    s.require(queue.queue_id, "ErrQueue")
    s.require(scene.number("now") <= queue.not_after <= s.LAST_TIME, "ErrValidity")


@check("seal and open queue")
def seal_and_open_queue(scene, octets, original):
    open_queue(scene, s.QueueReference.encode(make.seal_queue(scene, octets)), original)


@check("open token")
def open_token(scene, octets, _):
    token = s.SealedConnectionToken.decode(octets)
    s.require(token.domain == make.leaf_domain(scene), "ErrDomain")
    s.require(token.key_id == scene.number("keymaterial_key_id"), "ErrProviderKey")
    plaintext = scene.suite.decrypt(scene.octets("keymaterial_private_key"), "ConnectionToken",
                                    make.token_context(scene), token.sealed)
    decode_padded(s.ConnectionTokenContent, plaintext, s.TOKEN_BLOCK)


@check("verify key material request")
def verify_key_material_request(scene, octets, _):
    """The form and the signature, which is one of the leaf that asks or none."""
    request = s.AnonymousKeyMaterialRequest.decode(octets)
    leaf = s.PseudonymousCredential.decode(request.requesterCredential.pseudonymous_credential)
    s.require(request.requestingUser == leaf.user_pseudonym, "ErrSignature")
    s.require(request.requesterSignatureKey == leaf.signature_public_key, "ErrSignature")
    signed = s.AnonymousKeyMaterialRequest.encode_before_last(request)
    scene.suite.verify(request.requesterSignatureKey, "KeyMaterialRequestTBS", signed,
                       request.key_material_request_signature)


def read_answer(scene, message, request_hash):
    """Open the answer to a request for key material."""
    plaintext = scene.suite.decrypt(scene.octets("connection_response_private_key"),
                                    "KeyMaterialResponse", request_hash, message)
    decode_padded(s.KeyMaterialResponse, plaintext, s.ANSWER_BLOCK)


@check("open answer")
def open_answer(scene, octets, _):
    read_answer(scene, s.SealedKeyMaterialResponse.decode(octets),
                scene.answers["AnonymousKeyMaterialRequest_hash"])


@check("open answer to request")
def open_answer_to_request(scene, octets, _):
    read_answer(scene, scene.value("SealedKeyMaterialResponse"), octets)


@check("verify upload")
def verify_upload(scene, octets, _):
    """The suite is that of the upload key; no key of an unknown one verifies."""
    upload = s.KeyMaterialUpload.decode(octets)
    suite = SUITES.get(f"0x{upload.cipher_suite:04x}")
    s.require(suite, "ErrUploadSignature")
    suite.verify(upload.upload_key, "KeyMaterialUpload",
                 s.KeyMaterialUpload.encode_before_last(upload), upload.signature,
                 "ErrUploadSignature")


@check("redeem token")
def redeem_token(scene, octets, _):
    token = s.UploadToken.decode(octets)
    s.require(token.key_id == scene.number("issuer_key_id"), "ErrUploadToken")
    output = voprf.upload_token_output(scene.octets("issuer_private_key"), token.key_id,
                                       token.nonce)
    s.require(hmac.compare_digest(output, token.output), "ErrUploadToken")


# Components and messages (sections 3 and 10)

def component(items, number, error):
    """The data of a component, or refuse because there is none."""
    for item in items:
        if item.component_id == number:
            return item.data
    raise Refused(error)


def dictionary(extension, error):
    """The components of an app_data_dictionary."""
    s.require(extension.extension_type == s.APP_DATA_DICTIONARY, error)
    return s.AppDataDictionary.decode(extension.extension_data).component_data


@check("find AddAAD")
def find_add_aad(scene, octets, _):
    items = s.SafeAAD.decode(octets)["items"]
    s.AddAAD.decode(component(items, s.IDENTITY_LINK, "ErrAddAAD"))


@check("find queue")
def find_queue(scene, octets, _):
    items = dictionary(s.Extension.decode(octets), "ErrQueue")
    s.QueueReference.decode(component(items, s.QUEUE_REFERENCE, "ErrQueue"))


def public_state(extension):
    """0x8D47 of a public GroupInfo, which must not have 0x8D41."""
    items = dictionary(extension, "ErrLinkState")
    s.require(all(item.component_id != s.WRAPPER_KEYS for item in items), "ErrLeakedKeys")
    return s.IdentityLinkState.decode(component(items, s.LINK_STATE, "ErrLinkState"))


@check("read public GroupInfo")
def read_public_group_info(scene, octets, _):
    public_state(s.Extension.decode(octets))


@check("read GroupInfo of Welcome")
def read_welcome_group_info(scene, octets, _):
    items = dictionary(s.Extension.decode(octets), "ErrLinkState")
    s.IdentityLinkState.decode(component(items, s.LINK_STATE, "ErrLinkState"))
    s.IdentityLinkWrapperKeys.decode(component(items, s.WRAPPER_KEYS, "ErrKeys"))


@check("join with GroupInfo")
def join_with_group_info(scene, octets, _):
    """An external join by a link: first what everyone sees of a public GroupInfo (the row
    GroupInfo of section 8), then with the keys of the bundle as every joiner."""
    value = s.GroupInfoRatchetTreeTBE.decode(octets)
    info = value.groupInfo
    s.require(info.group_context.group_id == uris.group_id(scene.uri("room_id")), "ErrGroupID")
    s.require(len(info.extensions) == 1, "ErrLinkState")
    state = public_state(info.extensions[0])
    s.require(value.table, "ErrTable")
    check_hash(value.table, state)
    join(scene, table=value.table, state=state, keys=read_bundle(scene, value.link_bundle))


@check("verify join code")
def verify_join_code(scene, octets, _):
    code = s.JoinCodeRegistration.decode(octets)
    scene.suite.verify(scene.answers["leaf_public_key"], "JoinCodeRegistration",
                       s.JoinCodeRegistration.encode_before_last(code), code.signature)
