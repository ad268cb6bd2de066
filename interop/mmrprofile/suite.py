"""The cipher suites: primitives, the labelled functions of RFC 9420 and HPKE (RFC 9180)."""

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from codec import Refused, opaque

HASH_SIZE = 32
NONCE_SIZE = 12
TAG_SIZE = 16
P256_KEY_SIZE = 65


def sha256(octets):
    return hashlib.sha256(octets).digest()


def _hmac(key, octets):
    return hmac.digest(key, octets, "sha256")


def _expand(secret, info, length):
    """HKDF-Expand of RFC 5869."""
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = _hmac(secret, block + info + bytes([counter]))
        output += block
        counter += 1
    return output[:length]


def ref_hash(label, value):
    """RefHash of RFC 9420, section 5.2; the label is used as it stands."""
    return sha256(opaque(label.encode()) + opaque(value))


def _mls_label(label):
    return opaque(b"MLS 1.0 " + label.encode())


def expand_with_label(secret, label, context, length):
    """ExpandWithLabel of RFC 9420, section 8."""
    return _expand(secret, length.to_bytes(2, "big") + _mls_label(label) + opaque(context), length)


def mls_exporter(exporter_secret, label, context, length):
    """MLS-Exporter of RFC 9420, section 8.5."""
    derived = expand_with_label(exporter_secret, label, b"", HASH_SIZE)
    return expand_with_label(derived, "exported", sha256(context), length)


def _uncompressed(public):
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _p256_private(octets):
    return ec.derive_private_key(int.from_bytes(octets, "big"), ec.SECP256R1())


def _p256_public(octets):
    """Read a point that is not compressed; another form is no key."""
    if len(octets) != P256_KEY_SIZE:
        raise ValueError("a compressed point")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), octets)


class Ed25519:
    """Signatures of suites 0x0001 and 0x0003."""

    @staticmethod
    def public(private):
        return ed25519.Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    @staticmethod
    def sign(private, octets):
        return ed25519.Ed25519PrivateKey.from_private_bytes(private).sign(octets)

    @staticmethod
    def verify(public, octets, signature):
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, octets)

    @staticmethod
    def encode(public):
        """The octets of a certificate's key, or None if it is one of another scheme."""
        return public.public_bytes_raw() if isinstance(public, ed25519.Ed25519PublicKey) else None


class P256:
    """Signatures of suite 0x0002: ECDSA in DER, deterministic (RFC 6979)."""

    @staticmethod
    def public(private):
        return _uncompressed(_p256_private(private).public_key())

    @staticmethod
    def sign(private, octets):
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        return _p256_private(private).sign(octets, algorithm)

    @staticmethod
    def verify(public, octets, signature):
        _p256_public(public).verify(signature, octets, ec.ECDSA(hashes.SHA256()))

    @staticmethod
    def encode(public):
        """The octets of a certificate's key, or None if it is one of another scheme."""
        is_p256 = (isinstance(public, ec.EllipticCurvePublicKey)
                   and isinstance(public.curve, ec.SECP256R1))
        return _uncompressed(public) if is_p256 else None


class KemX25519:
    """DHKEM(X25519, HKDF-SHA256)."""

    kem_id = 0x0020
    public_size = 32

    @staticmethod
    def public(private):
        return x25519.X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    @staticmethod
    def exchange(private, public):
        key = x25519.X25519PublicKey.from_public_bytes(public)
        return x25519.X25519PrivateKey.from_private_bytes(private).exchange(key)


class KemP256:
    """DHKEM(P-256, HKDF-SHA256)."""

    kem_id = 0x0010
    public_size = P256_KEY_SIZE

    public = staticmethod(P256.public)

    @staticmethod
    def exchange(private, public):
        return _p256_private(private).exchange(ec.ECDH(), _p256_public(public))


class Suite:
    """One cipher suite. Nh and Nn are the same in all three; Nk is key_size."""

    def __init__(self, number, kem, aead, aead_id, key_size, signatures):
        self.number = number
        self.kem = kem
        self.aead = aead
        self.aead_id = aead_id
        self.key_size = key_size
        self.signatures = signatures

    def aead_key(self, secret, label, context=b""):
        """Expand a secret to a key of the suite's AEAD."""
        return expand_with_label(secret, label, context, self.key_size)

    def seal(self, key, nonce, aad, plaintext):
        return self.aead(key).encrypt(nonce, plaintext, aad)

    def open(self, key, nonce, aad, ciphertext, error):
        """Open a ciphertext, or refuse with the error of the structure it stands in."""
        try:
            return self.aead(key).decrypt(nonce, ciphertext, aad)
        except (InvalidTag, ValueError):
            raise Refused(error) from None

    def sign(self, private, label, content):
        """SignWithLabel of RFC 9420, section 5.1.2."""
        return self.signatures.sign(private, _mls_label(label) + opaque(content))

    def verify(self, public, label, content, signature, error="ErrSignature"):
        """VerifyWithLabel of RFC 9420, section 5.1.2."""
        try:
            self.signatures.verify(public, _mls_label(label) + opaque(content), signature)
        except (InvalidSignature, ValueError):
            raise Refused(error) from None

    def encrypt(self, public, ephemeral, label, context, plaintext):
        """EncryptWithLabel of RFC 9420, section 5.1.3, with a given ephemeral key."""
        kem_output = self.kem.public(ephemeral)
        shared = self._shared_secret(self.kem.exchange(ephemeral, public), kem_output + public)
        key, nonce = self._key_schedule(shared, _mls_label(label) + opaque(context))
        return kem_output, self.seal(key, nonce, b"", plaintext)

    def decrypt(self, private, label, context, message, error="ErrDecrypt"):
        """DecryptWithLabel of RFC 9420, section 5.1.3."""
        kem_output = message.kem_output
        try:
            shared = self.kem.exchange(private, kem_output)
        except ValueError:
            raise Refused(error) from None
        shared = self._shared_secret(shared, kem_output + self.kem.public(private))
        key, nonce = self._key_schedule(shared, _mls_label(label) + opaque(context))
        return self.open(key, nonce, b"", message.ciphertext, error)

    def _shared_secret(self, exchanged, kem_context):
        """ExtractAndExpand of RFC 9180, section 4.1."""
        suite_id = b"KEM" + self.kem.kem_id.to_bytes(2, "big")
        prk = _labeled_extract(suite_id, b"", b"eae_prk", exchanged)
        return _labeled_expand(suite_id, prk, b"shared_secret", kem_context, HASH_SIZE)

    def _key_schedule(self, shared, info):
        """Key and first nonce of the base mode (RFC 9180, section 5.1)."""
        suite_id = b"HPKE" + b"".join(
            number.to_bytes(2, "big") for number in (self.kem.kem_id, 1, self.aead_id))
        context = b"\0" + _labeled_extract(suite_id, b"", b"psk_id_hash", b"")
        context += _labeled_extract(suite_id, b"", b"info_hash", info)
        secret = _labeled_extract(suite_id, shared, b"secret", b"")
        return (_labeled_expand(suite_id, secret, b"key", context, self.key_size),
                _labeled_expand(suite_id, secret, b"base_nonce", context, NONCE_SIZE))


def _labeled_extract(suite_id, salt, label, octets):
    return _hmac(salt or bytes(HASH_SIZE), b"HPKE-v1" + suite_id + label + octets)


def _labeled_expand(suite_id, prk, label, info, length):
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info
    return _expand(prk, labeled, length)


SUITES = {
    "0x0001": Suite(1, KemX25519, AESGCM, 1, 16, Ed25519),
    "0x0002": Suite(2, KemP256, AESGCM, 1, 16, P256),
    "0x0003": Suite(3, KemX25519, ChaCha20Poly1305, 3, 32, Ed25519),
}
