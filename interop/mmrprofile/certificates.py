"""Client certificates: docs/mmr-profile.md, section 2."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

import errors
import structs
from errors import need

LONGEST = 942
TOLERANCE = 24 * 60 * 60
KNOWN = {ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.KEY_USAGE, ExtensionOID.BASIC_CONSTRAINTS}
OTHER_USES = (
    "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
)


class Verified:
    def __init__(self, user, client, public, not_before, not_after):
        self.user, self.client, self.public = user, client, public
        self.not_before, self.not_after = not_before, not_after

    def check_at(self, now):
        valid = self.not_before - TOLERANCE <= now <= self.not_after + TOLERANCE
        need(valid, errors.ErrValidity)


def verify(suite, domain, ca_der, der):
    """Everything but the time."""
    need(len(der) <= LONGEST, errors.ErrCertificate)
    try:
        cert = x509.load_der_x509_certificate(der)
        extensions = cert.extensions
    except ValueError as e:
        raise errors.ErrCertificate from e
    algorithm = SignatureAlgorithmOID.ECDSA_WITH_SHA256 if suite.number == 2 else SignatureAlgorithmOID.ED25519
    need(cert.version is x509.Version.v3 and cert.signature_algorithm_oid == algorithm, errors.ErrCertificate)
    public = suite.signature.encode(cert.public_key())
    need(public is not None, errors.ErrCertificate)
    check_usage(extensions)
    check_issuer(cert, x509.load_der_x509_certificate(ca_der))
    user, client = names(extensions)
    for uri in (user, client):
        need(structs.split_uri(uri)[0] == domain, errors.ErrDomain)
    start, end = cert.not_valid_before_utc.timestamp(), cert.not_valid_after_utc.timestamp()
    return Verified(user, client, public, start, end)


def check_usage(extensions):
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as e:
        raise errors.ErrCertificate from e
    alone = usage.digital_signature and not any(getattr(usage, name) for name in OTHER_USES)
    need(alone, errors.ErrCertificate)
    for e in extensions:
        need(e.oid != ExtensionOID.EXTENDED_KEY_USAGE, errors.ErrCertificate)
        need(not e.critical or e.oid in KNOWN, errors.ErrCertificate)
        if e.oid == ExtensionOID.BASIC_CONSTRAINTS:
            need(not e.value.ca, errors.ErrCertificate)


def check_issuer(cert, ca):
    need(cert.issuer.public_bytes() == ca.subject.public_bytes(), errors.ErrIssuer)
    key = ca.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(cert.signature, cert.tbs_certificate_bytes)
    except InvalidSignature as e:
        raise errors.ErrIssuer from e
    within = ca.not_valid_before_utc <= cert.not_valid_before_utc and cert.not_valid_after_utc <= ca.not_valid_after_utc
    need(within, errors.ErrIssuer)


def names(extensions):
    """The user's and the client's URI."""
    try:
        san = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound as e:
        raise errors.ErrCertificate from e
    need(len(san) == 2 and all(isinstance(n, x509.UniformResourceIdentifier) for n in san), errors.ErrCertificate)
    with errors.instead(errors.ErrCertificate):
        by_kind = {structs.split_uri(n.value)[1]: n.value for n in san}
    need(by_kind.keys() == {"u", "d"}, errors.ErrCertificate)
    return by_kind["u"], by_kind["d"]
