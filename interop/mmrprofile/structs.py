"""The structures of the document, declared under its names.

Rules that hold for a structure wherever it stands are checked where it is read: those of one
field with the field, so that the errors come in the order of the fields (section 13), and those
of several fields after the last.
"""

import uris
from codec import (EmptyVector, Fixed, Opaque, Optional, Record, Refused, Rest, Struct, UInt,
                   Vector)
from suite import HASH_SIZE, NONCE_SIZE, P256_KEY_SIZE, TAG_SIZE, ref_hash

UINT8, UINT16, UINT32, UINT64 = UInt(1), UInt(2), UInt(4), UInt(8)

# Code points of section 10, of RFC 9420 and of the drafts.
PSEUDONYMOUS, X509 = 0xFD4D, 2
APP_DATA_DICTIONARY = 6
APP_DATA_UPDATE, SELF_REMOVE = 8, 10
APP_COMPONENTS, SAFE_AAD = 1, 2
IDENTITY_LINK, WRAPPER_KEYS, QUEUE_REFERENCE = 0x8D40, 0x8D41, 0x8D42
CONNECTION_RESPONSE, POLICY = 0x8D43, 0x8D44
ROOM_METADATA, LINK_STATE, SIBLING_PROOF = 0x8D46, 0x8D47, 0x8D48
MLS10, PRIVATE_MESSAGE, APPLICATION = 1, 2, 1
DISTRIBUTION_SERVICE = 4
SUCCESS, PARTIAL_SUCCESS, NO_COMPATIBLE_MATERIAL, NO_CONSENT, USER_DELETED = 0, 1, 3, 5, 7
STATIC, EPOCH_ROTATED = 0, 1
ALL, OPTIONAL, FORBIDDEN = 0, 2, 3

LEAF_COMPONENTS = [0x22, 0x23, 0x25, 0x26, 0x27, 0x8D40, 0x8D41, 0x8D42, 0x8D43, 0x8D44,
                   0x8D46, 0x8D47, 0x8D48]
LEAF_SAFE_AAD = [IDENTITY_LINK, CONNECTION_RESPONSE, SIBLING_PROOF]

SECRET_SIZE = 32
LINK_BLOCK, METADATA_BLOCK, REQUEST_BLOCK, RESPONSE_BLOCK = 1024, 1024, 4096, 256
QUEUE_BLOCK, TOKEN_BLOCK, ANSWER_BLOCK = 64, 256, 4096
DAY = 24 * 3600
LAST_TIME = 253402300799          # the end of the year 9999 (section 11, "Times")
LAST_TIME_MS = LAST_TIME * 1000 + 999


def named(name):
    """The declaration of the structure that an answer is named after (section 13)."""
    return globals()[name.partition("_")[0]]


def require(condition, error):
    """Refuse with the error unless the condition holds."""
    if not condition:
        raise Refused(error)


def sized(size, error):
    """`opaque x<V>` of a fixed size."""
    return Opaque(check=lambda octets: require(len(octets) == size, error))


def uri(kind, error):
    """A URI; the error is that of one of another kind."""
    return Opaque(check=lambda octets: uris.of_kind(octets, kind, error))


def exactly(size, number, error):
    """An unsigned integer that has one legal value."""
    return UInt(size, lambda value: require(value == number, error))


def some(error):
    """A check that a number is not zero, or a vector not empty."""
    return lambda value: require(value, error)


def at_most(size, number, error):
    return UInt(size, lambda value: require(value <= number, error))


def require_ascending(numbers, error):
    require(numbers == sorted(set(numbers)), error)


def pad(octets, block):
    """padN of the introduction."""
    encoded = Opaque().encode(octets)
    return encoded + bytes(-len(encoded) % block)


Padded = Struct(x=Opaque(), padding=Rest())


def unpad(octets, block):
    """Undo padN: refuse padding that is not all zeros, or longer than it has to be."""
    value = Padded.decode(octets)
    require(pad(value.x, block) == octets, "ErrPadding")
    return value.x


# Credentials and links (section 2)

def _check_pseudonymous(value):
    uris.check_pseudonyms(value.client_pseudonym, value.user_pseudonym)
    require(1 <= len(value.signature_public_key) <= P256_KEY_SIZE, "ErrSignatureKey")


def _check_tbe(value):
    require(len(value.client_credential.certificates) == 1, "ErrLinkFormat")


PseudonymousCredentialTBS = Struct(
    _check_pseudonymous,
    client_pseudonym=Opaque(), user_pseudonym=Opaque(), signature_public_key=Opaque())
IdentityLinkCiphertext = Struct(
    commitment=sized(HASH_SIZE, "ErrLinkFormat"), nonce=sized(NONCE_SIZE, "ErrLinkFormat"),
    ciphertext=sized(LINK_BLOCK + TAG_SIZE, "ErrLinkFormat"))
PseudonymousCredential = Struct(
    _check_pseudonymous,
    client_pseudonym=Opaque(), user_pseudonym=Opaque(), signature_public_key=Opaque(),
    identity_link_ciphertext=Opaque(IdentityLinkCiphertext))
Credential = Struct(
    type=exactly(2, PSEUDONYMOUS, "ErrCredentialType"),
    pseudonymous_credential=Opaque(PseudonymousCredential))
PseudonymousOuterCredential = Credential        # so it is called in the negative set
ClientCredential = Struct(
    type=exactly(2, X509, "ErrCredentialType"), certificates=Vector(Opaque()))
IdentityLinkTBE = Struct(
    _check_tbe, pseudonymous_credential_signature=Opaque(), client_credential=ClientCredential)


# Wrapping and distribution (section 3)

def _check_table(value):
    require_ascending([entry.leaf_index for entry in value.entries], "ErrTable")


def check_live_keys(keys):
    """Live keys ascend, and there is at least the newest."""
    require(keys, "ErrKeys")
    require_ascending([key.wrapper_epoch for key in keys], "ErrKeys")


EncryptedIdentityLinkKey = Struct(
    wrapper_epoch=UINT64, nonce=sized(NONCE_SIZE, "ErrLinkFormat"),
    ciphertext=sized(HASH_SIZE + TAG_SIZE, "ErrLinkFormat"))
AddAAD = Struct(encrypted_identity_link_keys=Vector(Optional(EncryptedIdentityLinkKey)))
IdentityLinkEntry = Struct(leaf_index=UINT32, key=Optional(EncryptedIdentityLinkKey))
IdentityLinkTable = Struct(
    _check_table, group_id=Opaque(), epoch=UINT64, entries=Vector(IdentityLinkEntry))
WrapperKey = Struct(wrapper_epoch=UINT64, key=sized(SECRET_SIZE, "ErrSecretSize"))
LiveKeys = Vector(WrapperKey, check_live_keys)
IdentityLinkWrapperKeys = Struct(keys=LiveKeys, table=IdentityLinkTable)
IdentityLinkState = Struct(
    newest_generation=UINT64, newest_key_commitment=sized(HASH_SIZE, "ErrLinkState"),
    table_hash=sized(HASH_SIZE, "ErrLinkState"))
JoinBundle = Struct(nonce=sized(NONCE_SIZE, "ErrJoinLink"), ciphertext=Opaque())
JoinLink = Rest()                               # a text
EncryptedRoomMetadata = Struct(
    wrapper_epoch=UINT64, nonce=sized(NONCE_SIZE, "ErrMetadata"), ciphertext=Opaque())
SiblingProof = Struct(leaf_index=UINT32, signature=Opaque())


def table_hash(table):
    """table_hash of the octets of an IdentityLinkTable."""
    return ref_hash("MIMI 1.0 IdentityLinkTable", table)


# MLS structures that carry components (draft-ietf-mls-extensions, RFC 9420)

def _check_components(items):
    require_ascending([item.component_id for item in items], "ErrComponentOrder")


Components = Vector(Struct(component_id=UINT16, data=Opaque()), _check_components)
SafeAAD = Struct(items=Components)
AppDataDictionary = Struct(component_data=Components)
Extension = Struct(extension_type=UINT16, extension_data=Opaque(AppDataDictionary))
ComponentsList = Struct(components=Vector(UINT16))
HPKECiphertext = Struct(kem_output=Opaque(), ciphertext=Opaque())
EncryptedConnectionRequest = EncryptedConnectionResponse = HPKECiphertext
SealedKeyMaterialResponse = HPKECiphertext


# Policy (section 6)

CONNECTION_ROOM = Record(version=1, requirement=ALL, mode=STATIC, connection_room=1, max_users=2)


def _check_policy(value):
    """A connection room is exactly one policy; every other room is epoch_rotated."""
    require(value == CONNECTION_ROOM
            or (value.mode, value.connection_room) == (EPOCH_ROTATED, 0), "ErrPolicy")


MinimalMetadataPolicy = Struct(
    _check_policy,
    version=exactly(1, 1, "ErrPolicy"), requirement=at_most(1, FORBIDDEN, "ErrPolicy"),
    mode=UINT8, connection_room=UINT8, max_users=UInt(4, some("ErrPolicy")))


# Connections (section 4)

def _check_package(value):
    require(value.not_before % DAY == value.not_after % DAY == 0, "ErrPackageFormat")
    require(value.not_before < value.not_after, "ErrPackageFormat")


ConnectionEstablishmentPackageTBS = Struct(
    _check_package,
    version=exactly(2, 1, "ErrPackageFormat"), cipher_suite=UINT16,
    user_uri=uri(uris.USER, "ErrPackageFormat"), establishment_public_key=Opaque(),
    not_before=UINT64, not_after=UINT64, last_resort=at_most(1, 1, "ErrPackageFormat"),
    client_credential=ClientCredential)
ConnectionEstablishmentPackage = Struct(
    tbs=ConnectionEstablishmentPackageTBS, signature=Opaque())
ConnectionRequest = Struct(
    requester_client_credential=ClientCredential,
    connection_room_id=uri(uris.ROOM, "ErrRequestFormat"),
    connection_room_identity_link_wrapper_key=sized(SECRET_SIZE, "ErrRequestFormat"),
    requester_connection_key=sized(SECRET_SIZE, "ErrSecretSize"),
    connection_response_key=Opaque(),
    requester_connection_token=sized(SECRET_SIZE, "ErrSecretSize"),
    join_secret=sized(SECRET_SIZE, "ErrRequestFormat"), created_at_ms=UINT64)
ConnectionRequestTBS = Struct(
    request=ConnectionRequest, recipient_user_uri=Opaque(), cep_ref=Opaque())
SignedConnectionRequest = Struct(request=ConnectionRequest, signature=Opaque())
ConnectionRequestContext = Struct(recipient_user_uri=Opaque(), cep_ref=Opaque())
ConnectionResponse = Struct(
    responder_connection_key=sized(SECRET_SIZE, "ErrSecretSize"),
    responder_connection_token=sized(SECRET_SIZE, "ErrSecretSize"))
ConnectionResponseContext = Struct(
    connection_room_id=Opaque(), request_ref=Opaque(), responder_tbs=PseudonymousCredentialTBS)
ConnectionRequestEnvelope = Struct(
    target=uri(uris.USER, "ErrMalformed"), cep_ref=sized(HASH_SIZE, "ErrMalformed"),
    request=HPKECiphertext)


# Key material, tokens and queues (section 5)

DOMAIN = Opaque(check=uris.check_domain)


def _check_queue_reference(value):
    require(len(value.sealed_queue_id.ciphertext) == QUEUE_BLOCK + TAG_SIZE, "ErrQueue")


def _check_slots(slots):
    require(len(slots) <= 16, "ErrUpload")
    require_ascending(slots, "ErrUpload")


def _check_upload(value):
    """With no clients left the token has ended, and nothing else is to be said."""
    require(len(value.dropped_sets) <= 256, "ErrUpload")
    require(value.client_slots or not value.dropped_sets, "ErrUpload")
    require(len(value.tokens) == len(value.key_packages), "ErrUpload")


def _check_key_material_request(value):
    require(value.targetUser == uris.key_material(value.token.domain), "ErrMalformed")


def _check_optional_user(octets):
    if octets:
        uris.of_kind(octets, uris.USER, "ErrMalformed")


def _check_key_material_response(value):
    """Clients are listed if there is key material, and may be if none fits (the draft)."""
    with_clients = value.userStatus in (SUCCESS, PARTIAL_SUCCESS)
    require(bool(value.clients) == with_clients
            or value.userStatus == NO_COMPATIBLE_MATERIAL, "ErrMalformed")


QueueReference = Struct(
    _check_queue_reference, domain=DOMAIN, key_id=UINT8, sealed_queue_id=HPKECiphertext)
QueueId = Struct(queue_id=Opaque(), not_after=UINT64)
UploadToken = Struct(key_id=UINT8, nonce=Fixed(32), output=Fixed(64))
KeyMaterialUpload = Struct(
    _check_upload,
    version=exactly(2, 1, "ErrUpload"), cipher_suite=UINT16,
    token_hash=sized(HASH_SIZE, "ErrUpload"), sequence=UINT64,
    client_slots=Vector(UINT32, _check_slots), dropped_sets=Vector(uri(uris.USER, "ErrUpload")),
    key_packages=EmptyVector(), tokens=Vector(UploadToken), upload_key=Opaque(),
    signature=Opaque())
SealedConnectionToken = Struct(domain=DOMAIN, key_id=UINT8, sealed=HPKECiphertext)
ConnectionTokenContent = Struct(
    connection_token=sized(SECRET_SIZE, "ErrSecretSize"), nonce=Fixed(16),
    created_at_ms=at_most(8, LAST_TIME_MS, "ErrMalformed"), response_key=Opaque())
RequiredCapabilities = Struct(
    extensions=Vector(UINT16), proposals=Vector(UINT16), credentials=Vector(UINT16))
AnonymousKeyMaterialRequest = Struct(
    _check_key_material_request,
    protocol=exactly(1, MLS10, "ErrMalformed"),
    requestingUser=uri(uris.USER, "ErrMalformed"), targetUser=Opaque(),
    roomId=uri(uris.ROOM, "ErrMalformed"),
    acceptableCiphersuites=Vector(UINT16, some("ErrMalformed")),
    requiredCapabilities=RequiredCapabilities, requesterSignatureKey=Opaque(),
    requesterCredential=Credential, token=SealedConnectionToken,
    key_material_request_signature=Opaque())
KeyMaterialResponse = Struct(
    _check_key_material_response,
    protocol=exactly(1, MLS10, "ErrMalformed"),
    userStatus=at_most(1, USER_DELETED, "ErrMalformed"),
    userUri=Opaque(check=_check_optional_user), clients=EmptyVector())


# On the wire (section 10)

def _check_target(value):
    require(value.queue.domain == uris.domain_of(value.tbs.client_pseudonym), "ErrMalformed")


JoinCodeRegistration = Struct(
    room_id=uri(uris.ROOM, "ErrMalformed"), code_hash=sized(HASH_SIZE, "ErrMalformed"),
    bundle=Opaque(), not_after=at_most(8, LAST_TIME, "ErrMalformed"), uses=UInt(4, some("ErrMalformed")),
    signature=Opaque())
MLSMessage = Struct(                            # a PrivateMessage with an application message
    version=exactly(2, MLS10, "ErrMalformed"),
    wire_format=exactly(2, PRIVATE_MESSAGE, "ErrMalformed"),
    group_id=Opaque(), epoch=UINT64, content_type=exactly(1, APPLICATION, "ErrMalformed"),
    authenticated_data=Opaque(), encrypted_sender_data=Opaque(), ciphertext=Opaque())
Frank = Struct(
    server_frank=Fixed(32), franking_signature_ciphersuite=UINT16,
    franking_integrity_signature=Opaque())
FanoutMessage = Struct(
    timestamp=at_most(8, LAST_TIME_MS, "ErrMalformed"), message=MLSMessage, frank=Optional(Frank))
Target = Struct(_check_target, queue=QueueReference, tbs=PseudonymousCredentialTBS)
MinimalMetadataFanout = Struct(message=FanoutMessage, targets=Vector(Target, some("ErrMalformed")))
GroupContext = Struct(
    version=UINT16, cipher_suite=UINT16, group_id=Opaque(), epoch=UINT64, tree_hash=Opaque(),
    confirmed_transcript_hash=Opaque(), extensions=Vector(Extension))
GroupInfo = Struct(
    group_context=GroupContext, extensions=Vector(Extension), confirmation_tag=Opaque(),
    signer=UINT32, signature=Opaque())
RatchetTreeOption = Struct(representation=exactly(1, DISTRIBUTION_SERVICE, "ErrMalformed"))
GroupInfoRatchetTreeTBE = Struct(
    groupInfo=GroupInfo, ratchetTreeOption=RatchetTreeOption, pending_proposals=EmptyVector(),
    table=Optional(IdentityLinkTable), link_bundle=Opaque(JoinBundle))
