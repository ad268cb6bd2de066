"""The algorithms of the cipher suites 1, 2 and 3: RFC 9420, sections 5 and 8,
and HPKE in base mode (RFC 9180)."""

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import errors
from codec import vector

NH, NN = 32, 12


def extract(salt, ikm):
    return hmac.digest(salt or bytes(NH), ikm, "sha256")


def expand(prk, info, n):
    out, block = b"", b""
    for i in range(1, -(-n // NH) + 1):
        block = hmac.digest(prk, block + info + bytes([i]), "sha256")
        out += block
    return out[:n]


def expand_with_label(secret, label, context, n):
    return expand(secret, n.to_bytes(2, "big") + vector(b"MLS 1.0 " + label.encode()) + vector(context), n)


def ref_hash(label, value):
    return hashlib.sha256(vector(label.encode()) + vector(value)).digest()


def exporter(secret, label, context, n):
    """MLS-Exporter of an exporter_secret."""
    derived = expand_with_label(secret, label, b"", NH)
    return expand_with_label(derived, "exported", hashlib.sha256(context).digest(), n)


def sign_content(label, content):
    return vector(b"MLS 1.0 " + label.encode()) + vector(content)


class Ed25519:
    def public(self, private):
        key = ed25519.Ed25519PrivateKey.from_private_bytes(private).public_key()
        return key.public_bytes_raw()

    def sign(self, private, message):
        return ed25519.Ed25519PrivateKey.from_private_bytes(private).sign(message)

    def parse(self, public):
        try:
            return ed25519.Ed25519PublicKey.from_public_bytes(public)
        except ValueError as e:
            raise errors.ErrKey from e

    def encode(self, key):
        return key.public_bytes_raw() if isinstance(key, ed25519.Ed25519PublicKey) else None

    def verify(self, public, message, signature):
        try:
            self.parse(public).verify(signature, message)
        except InvalidSignature as e:
            raise errors.ErrSignature from e


class P256:
    def private(self, private):
        return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())

    def public(self, private):
        return self.encode(self.private(private).public_key())

    def sign(self, private, message):
        """In DER, deterministic (RFC 6979)."""
        return self.private(private).sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def parse(self, public):
        try:
            if public[:1] != b"\x04":
                raise ValueError("not an uncompressed point")
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        except ValueError as e:
            raise errors.ErrKey from e

    def encode(self, key):
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return None

    def verify(self, public, message, signature):
        try:
            self.parse(public).verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as e:
            raise errors.ErrSignature from e


class DHKEMX25519:
    id, enc = 0x0020, 32

    def public(self, private):
        return x25519.X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def dh(self, private, public):
        try:
            key = x25519.X25519PublicKey.from_public_bytes(public)
            return x25519.X25519PrivateKey.from_private_bytes(private).exchange(key)
        except ValueError as e:
            raise errors.ErrKey from e


class DHKEMP256:
    id, enc = 0x0010, 65
    public = P256().public

    def dh(self, private, public):
        return P256().private(private).exchange(ec.ECDH(), P256().parse(public))


class Suite:
    def __init__(self, number):
        self.number = number
        self.signature = P256() if number == 2 else Ed25519()
        self.kem = DHKEMP256() if number == 2 else DHKEMX25519()
        self.aead, self.aead_id, self.nk = (ChaCha20Poly1305, 0x0003, 32) if number == 3 else (AESGCM, 0x0001, 16)

    def seal(self, key, nonce, aad, plaintext):
        return self.aead(key).encrypt(nonce, plaintext, aad)

    def open(self, key, nonce, aad, ciphertext):
        try:
            return self.aead(key).decrypt(nonce, ciphertext, aad)
        except InvalidTag as e:
            raise errors.ErrDecrypt from e

    def sign_with_label(self, private, label, content):
        return self.signature.sign(private, sign_content(label, content))

    def verify_with_label(self, public, label, content, signature):
        self.signature.verify(public, sign_content(label, content), signature)

    # HPKE, RFC 9180. Sections 4.1 (DHKEM), 5.1 (key schedule), mode_base.

    def _shared_secret(self, dh, enc, public):
        suite_id = b"KEM" + self.kem.id.to_bytes(2, "big")
        prk = labeled_extract(suite_id, b"", b"eae_prk", dh)
        return labeled_expand(suite_id, prk, b"shared_secret", enc + public, NH)

    def _key_schedule(self, shared, info):
        ids = (self.kem.id, 0x0001, self.aead_id)
        suite_id = b"HPKE" + b"".join(i.to_bytes(2, "big") for i in ids)
        psk_id_hash = labeled_extract(suite_id, b"", b"psk_id_hash", b"")
        info_hash = labeled_extract(suite_id, b"", b"info_hash", info)
        context = b"\0" + psk_id_hash + info_hash
        secret = labeled_extract(suite_id, shared, b"secret", b"")
        key = labeled_expand(suite_id, secret, b"key", context, self.nk)
        return key, labeled_expand(suite_id, secret, b"base_nonce", context, NN)

    def encrypt_with_label(self, ephemeral, public, label, context, plaintext):
        enc = self.kem.public(ephemeral)
        shared = self._shared_secret(self.kem.dh(ephemeral, public), enc, public)
        key, nonce = self._key_schedule(shared, sign_content(label, context))
        return {"kem_output": enc, "ciphertext": self.seal(key, nonce, b"", plaintext)}

    def decrypt_with_label(self, private, label, context, sealed):
        with errors.instead(errors.ErrDecrypt):
            enc = sealed["kem_output"]
            errors.need(len(enc) == self.kem.enc, errors.ErrDecrypt)
            shared = self._shared_secret(self.kem.dh(private, enc), enc, self.kem.public(private))
            key, nonce = self._key_schedule(shared, sign_content(label, context))
            return self.open(key, nonce, b"", sealed["ciphertext"])

    def check_hpke_key(self, public):
        """A public key to which something can be encrypted."""
        errors.need(len(public) == self.kem.enc, errors.ErrKey)
        self.kem.dh(b"\1" * 32, public)


def labeled_extract(suite_id, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite_id + label + ikm)


def labeled_expand(suite_id, prk, label, info, n):
    return expand(prk, n.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info, n)
