"""The structures of docs/mmr-profile.md, with the rules that hold for each of
them alone."""

import re

import errors
from codec import Fixed, Inside, Number, Opaque, Optional, Rest, Struct, Text, Vector
from errors import need

U8, U16, U32, U64 = Number(1), Number(2), Number(4), Number(8)
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"{LABEL}(\.{LABEL})*")
NAME = re.compile(r"([A-Za-z0-9._~-]|%[0-9A-F]{2})+")
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
LAST_SECOND = 253402300799  # of the year 9999
DAY = 24 * 60 * 60


def split_uri(uri):
    """(domain, kind, name) of a URI in its one form."""
    need(uri.startswith("mimi://"), errors.ErrURI)
    domain, slash, path = uri.removeprefix("mimi://").partition("/")
    check_domain(domain)
    if not slash:
        return domain, "", ""
    kind, _, name = path.partition("/")
    need(kind in ("u", "d", "r", "g") and len(name) <= 128 and NAME.fullmatch(name), errors.ErrURI)
    # Percent encoding stands only where it is needed.
    for octet in re.findall("%(..)", name):
        need(not re.fullmatch(r"[A-Za-z0-9._~-]", chr(int(octet, 16))), errors.ErrURI)
    return domain, kind, name


def check_domain(domain):
    need(0 < len(domain) <= 253 and DOMAIN.fullmatch(domain), errors.ErrURI)


class URI(Opaque):
    """IdentifierUri; kind is the only one that is allowed."""

    def __init__(self, kind=None, error=errors.ErrMalformed):
        self.kind, self.error = kind, error

    def read(self, r):
        raw = r.take(r.length())
        try:
            uri = raw.decode("ascii")
        except UnicodeDecodeError as e:
            raise errors.ErrURI from e
        kind = split_uri(uri)[1]
        need(self.kind is None or kind == self.kind, self.error)
        return uri

    def write(self, value):
        return Text().write(value)


class Target(URI):
    """mimi://domain/keymaterial."""

    def read(self, r):
        uri = r.take(r.length()).decode("ascii")
        need(uri.startswith("mimi://") and uri.endswith("/keymaterial"), errors.ErrMalformed)
        with errors.instead(errors.ErrMalformed):
            check_domain(uri[len("mimi://") : -len("/keymaterial")])
        return uri


class Domain(Text):
    def read(self, r):
        value = super().read(r)
        check_domain(value)
        return value


def exactly(n, error):
    return Opaque(lambda b: need(len(b) == n, error))


HPKECiphertext = Struct(kem_output=Opaque(), ciphertext=Opaque())


def client_credential(v):
    need(v["type"] == 2 and len(v["certificates"]) == 1 and v["certificates"][0], errors.ErrCredentialType)


Credential = Struct(client_credential, type=U16, certificates=Vector(Opaque()))


def x509(certificate):
    return {"type": 2, "certificates": [certificate]}


def credential_tbs(v):
    client, user = split_uri(v["client_pseudonym"]), split_uri(v["user_pseudonym"])
    need(client[1] == "d" and user[1] == "u" and client[0] == user[0], errors.ErrPseudonym)
    need(UUID4.fullmatch(client[2]) and UUID4.fullmatch(user[2]), errors.ErrPseudonym)
    need(0 < len(v["signature_public_key"]) <= 65, errors.ErrSignatureKey)


TBS_FIELDS = {"client_pseudonym": URI(), "user_pseudonym": URI(), "signature_public_key": Opaque()}
PseudonymousCredentialTBS = Struct(credential_tbs, **TBS_FIELDS)

IdentityLinkCiphertext = Struct(
    lambda v: need([len(x) for x in v.values()] == [32, 12, 1040], errors.ErrLinkFormat),
    commitment=Opaque(), nonce=Opaque(), ciphertext=Opaque(),
)
PseudonymousCredential = Struct(credential_tbs, **TBS_FIELDS, identity_link_ciphertext=Inside(IdentityLinkCiphertext))
PseudonymousOuterCredential = Struct(
    lambda v: need(v["type"] == 0xFD4D, errors.ErrCredentialType),
    type=U16, pseudonymous_credential=Inside(PseudonymousCredential),
)
IdentityLinkTBE = Struct(pseudonymous_credential_signature=Opaque(), client_credential=Credential)
Padded = Struct(x=Opaque(), padding=Rest())

EncryptedIdentityLinkKey = Struct(
    lambda v: need(len(v["nonce"]) == 12 and len(v["ciphertext"]) == 48, errors.ErrLinkFormat),
    wrapper_epoch=U64, nonce=Opaque(), ciphertext=Opaque(),
)
AddAAD = Struct(encrypted_identity_link_keys=Vector(Optional(EncryptedIdentityLinkKey)))
IdentityLinkEntry = Struct(leaf_index=U32, key=Optional(EncryptedIdentityLinkKey))


def ascending(values):
    return all(a < b for a, b in zip(values, values[1:]))


IdentityLinkTable = Struct(
    lambda v: need(ascending([e["leaf_index"] for e in v["entries"]]), errors.ErrTable),
    group_id=Opaque(), epoch=U64, entries=Vector(IdentityLinkEntry),
)
WrapperKey = Struct(wrapper_epoch=U64, key=exactly(32, errors.ErrSecretSize))


class WrapperKeys(Vector):
    """WrapperKey keys<V>: live keys, at least one, ascending."""

    def read(self, r):
        keys = super().read(r)
        need(0 < len(keys) <= 1024 and ascending([k["wrapper_epoch"] for k in keys]), errors.ErrKeys)
        return keys


Keys = WrapperKeys(WrapperKey)
IdentityLinkWrapperKeys = Struct(keys=Keys, table=IdentityLinkTable)
IdentityLinkState = Struct(
    lambda v: need(len(v["newest_key_commitment"]) == len(v["table_hash"]) == 32, errors.ErrLinkState),
    newest_generation=U64, newest_key_commitment=Opaque(), table_hash=Opaque(),
)
JoinBundle = Struct(
    lambda v: need(len(v["nonce"]) == 12 and len(v["ciphertext"]) > 16, errors.ErrJoinLink),
    nonce=Opaque(), ciphertext=Opaque(),
)


def room_metadata(v):
    blocks, rest = divmod(len(v["ciphertext"]) - 16, 1024)
    need(len(v["nonce"]) == 12 and 1 <= blocks <= 64 and rest == 0, errors.ErrMetadata)


EncryptedRoomMetadata = Struct(room_metadata, wrapper_epoch=U64, nonce=Opaque(), ciphertext=Opaque())


def policy(v):
    version, requirement, mode, connection, users = v.values()
    need(version == 1 and requirement <= 3 and mode <= 1 and connection <= 1 and users > 0, errors.ErrPolicy)
    if connection:
        need((requirement, mode, users) == (0, 0, 2), errors.ErrPolicy)
    else:
        need(mode == 1, errors.ErrPolicy)


MinimalMetadataPolicy = Struct(policy, version=U8, requirement=U8, mode=U8, connection_room=U8, max_users=U32)
SiblingProof = Struct(leaf_index=U32, signature=Opaque())


def queue_reference(v):
    sealed = v["sealed_queue_id"]
    need(0 < len(sealed["kem_output"]) <= 65 and len(sealed["ciphertext"]) == 64 + 16, errors.ErrQueue)


QueueReference = Struct(queue_reference, domain=Domain(), key_id=U8, sealed_queue_id=HPKECiphertext)
QueueId = Struct(lambda v: need(0 < len(v["queue_id"]) <= 54, errors.ErrQueue), queue_id=Opaque(), not_after=U64)


def package_tbs(v):
    need(v["version"] == 1 and v["last_resort"] <= 1, errors.ErrPackageFormat)
    before, after = v["not_before"], v["not_after"]
    need(before % DAY == 0 and after % DAY == 0 and before < after, errors.ErrPackageFormat)


ConnectionEstablishmentPackageTBS = Struct(
    package_tbs,
    version=U16, cipher_suite=U16, user_uri=URI("u", errors.ErrPackageFormat), establishment_public_key=Opaque(),
    not_before=U64, not_after=U64, last_resort=U8, client_credential=Credential,
)
ConnectionEstablishmentPackage = Struct(tbs=ConnectionEstablishmentPackageTBS, signature=Opaque())

ConnectionRequest = Struct(
    requester_client_credential=Credential,
    connection_room_id=URI("r", errors.ErrRequestFormat),
    connection_room_identity_link_wrapper_key=exactly(32, errors.ErrRequestFormat),
    requester_connection_key=exactly(32, errors.ErrSecretSize),
    connection_response_key=Opaque(),
    requester_connection_token=exactly(32, errors.ErrSecretSize),
    join_secret=exactly(32, errors.ErrRequestFormat),
    created_at_ms=U64,
)
ConnectionRequestTBS = Struct(request=ConnectionRequest, recipient_user_uri=URI(), cep_ref=Opaque())
SignedConnectionRequest = Struct(request=ConnectionRequest, signature=Opaque())
ConnectionRequestContext = Struct(recipient_user_uri=URI(), cep_ref=Opaque())
ConnectionRequestEnvelope = Struct(
    target=URI("u"), cep_ref=Opaque(lambda b: need(len(b) > 0, errors.ErrMalformed)), request=HPKECiphertext
)
ConnectionResponse = Struct(
    responder_connection_key=exactly(32, errors.ErrSecretSize),
    responder_connection_token=exactly(32, errors.ErrSecretSize),
)
ConnectionResponseContext = Struct(
    connection_room_id=URI(), request_ref=Opaque(), responder_tbs=PseudonymousCredentialTBS
)
SealedConnectionToken = Struct(domain=Domain(), key_id=U8, sealed=HPKECiphertext)
ConnectionTokenContent = Struct(
    lambda v: need(v["created_at_ms"] <= LAST_SECOND * 1000, errors.ErrMalformed),
    connection_token=exactly(32, errors.ErrSecretSize), nonce=Fixed(16), created_at_ms=U64, response_key=Opaque(),
)
RequiredCapabilities = Struct(extensions=Vector(U16), proposals=Vector(U16), credentials=Vector(U16))


class Protocol(Number):
    def read(self, r):
        value = super().read(r)
        need(value == 1, errors.ErrMalformed)
        return value


class CipherSuites(Vector):
    def read(self, r):
        value = super().read(r)
        need(value, errors.ErrMalformed)
        return value


KEY_MATERIAL_TBS = {
    "protocol": Protocol(1), "requestingUser": URI("u"), "targetUser": Target(), "roomId": URI("r"),
    "acceptableCiphersuites": CipherSuites(U16), "requiredCapabilities": RequiredCapabilities,
    "requesterSignatureKey": Opaque(), "requesterCredential": PseudonymousOuterCredential,
    "token": SealedConnectionToken,
}
AnonymousKeyMaterialRequestTBS = Struct(**KEY_MATERIAL_TBS)
AnonymousKeyMaterialRequest = Struct(
    lambda v: need(v["targetUser"] == f"mimi://{v['token']['domain']}/keymaterial", errors.ErrMalformed),
    **KEY_MATERIAL_TBS, key_material_request_signature=Opaque(),
)


def join_code(v):
    need(len(v["bundle"]) <= 1 << 16 and v["not_after"] <= LAST_SECOND and v["uses"] > 0, errors.ErrMalformed)


JOIN_CODE_TBS = {
    "room_id": URI("r"), "code_hash": exactly(32, errors.ErrMalformed), "bundle": Opaque(), "not_after": U64, "uses": U32,
}
JoinCodeRegistrationTBS = Struct(**JOIN_CODE_TBS)
JoinCodeRegistration = Struct(join_code, **JOIN_CODE_TBS, signature=Opaque())


# Containers of components (draft-ietf-mls-extensions-09): the items of a SafeAAD and
# those of an app_data_dictionary have one form, and ascend.

SafeAADItem = Struct(component_id=U16, data=Opaque())


class Element(Vector):
    """A vector of which one element's fields have names (section 13)."""

    @property
    def inner(self):
        return self.element


class Components(Element):
    """struct { ComponentID component_id; opaque data<V>; } components<V>."""

    def read(self, r):
        components = super().read(r)
        need(ascending([c["component_id"] for c in components]), errors.ErrComponentOrder)
        return components


# There is one item where a single field of it is changed.
SafeAAD = Struct(items=Components(SafeAADItem))
AppDataDictionary = Struct(component_data=Components(SafeAADItem))
Extension = Struct(extension_type=U16, extension_data=Inside(AppDataDictionary))
ComponentsList = Vector(U16)

# Section 10

Frank = Optional(Struct())  # no room has a franking agent


def private_message(v):
    need(v["version"] == 1 and v["wire_format"] == 2 and v["content_type"] == 1, errors.ErrMalformed)


# An MLSMessage with a PrivateMessage in it (RFC 9420, sections 6 and 6.3).
MLSMessage = Struct(
    private_message, version=U16, wire_format=U16, group_id=Opaque(), epoch=U64, content_type=U8, authenticated_data=Opaque(),
    encrypted_sender_data=Opaque(), ciphertext=Opaque(),
)
FanoutMessage = Struct(
    lambda v: need(v["timestamp"] <= LAST_SECOND * 1000, errors.ErrMalformed),
    timestamp=U64, message=MLSMessage, frank=Frank,
)
FanoutTarget = Struct(
    lambda v: need(v["queue"]["domain"] == split_uri(v["tbs"]["user_pseudonym"])[0], errors.ErrMalformed),
    queue=QueueReference, tbs=PseudonymousCredentialTBS,
)


class Targets(Element):
    def read(self, r):
        targets = super().read(r)
        need(targets, errors.ErrMalformed)
        return targets


MinimalMetadataFanout = Struct(message=FanoutMessage, targets=Targets(FanoutTarget))

GroupContext = Struct(
    version=U16, cipher_suite=U16, group_id=Opaque(), epoch=U64, tree_hash=Opaque(), confirmed_transcript_hash=Opaque(),
    extensions=Opaque(),
)
GroupInfo = Struct(
    group_context=GroupContext, extensions=Element(Extension), confirmation_tag=Opaque(), signer=U32, signature=Opaque()
)


class Bundle(Opaque):
    """opaque<V> that holds a JoinBundle, or nothing."""

    inner = JoinBundle


GroupInfoRatchetTreeTBE = Struct(
    groupInfo=GroupInfo, ratchetTreeOption=U8, pending_proposals=Opaque(), table=Optional(IdentityLinkTable),
    link_bundle=Bundle(),
)


class NoUser(Opaque):
    """IdentifierUri, or nothing."""

    def read(self, r):
        uri = super().read(r)
        need(not uri or split_uri(uri.decode("ascii"))[1] == "u", errors.ErrMalformed)
        return uri


def key_material(v):
    # There are no KeyPackages in the answers: a success would need some.
    need(2 <= v["userStatus"] <= 7 and not v["clients"], errors.ErrMalformed)


KeyMaterialResponse = Struct(key_material, protocol=Protocol(1), userStatus=U8, userUri=NoUser(), clients=Opaque())
JoinLink = Struct(text=Rest())

UploadToken = Struct(key_id=U8, nonce=Fixed(32), output=Fixed(64))


class Slots(Vector):
    """uint32 client_slots<V>: ascending, at most 16."""

    def read(self, r):
        slots = super().read(r)
        need(len(slots) <= 16 and ascending(slots), errors.ErrUpload)
        return slots


UPLOAD_TBS = {
    "version": U16, "cipher_suite": U16, "token_hash": exactly(32, errors.ErrUpload), "sequence": U64,
    "client_slots": Slots(U32), "dropped_sets": Vector(URI("u", errors.ErrUpload)),
    "key_packages": Opaque(),  # there are none in the answers
    "tokens": Vector(UploadToken), "upload_key": Opaque(),
}


def upload(v):
    need(v["version"] == 1 and len(v["dropped_sets"]) <= 256, errors.ErrUpload)
    need(v["client_slots"] or not (v["dropped_sets"] or v["key_packages"]), errors.ErrUpload)
    need(not v["key_packages"] and not v["tokens"], errors.ErrUpload)


KeyMaterialUploadTBS = Struct(**UPLOAD_TBS)
KeyMaterialUpload = Struct(upload, **UPLOAD_TBS, signature=Opaque())
