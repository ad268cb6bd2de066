"""Client certificates and the identity CAs that issue them (section 2)."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtensionOID

import uris
from codec import Refused
from structs import require

MAX_SIZE = 942
TOLERANCE = 24 * 3600
KNOWN_EXTENSIONS = {ExtensionOID.KEY_USAGE, ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
                    ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
                    ExtensionOID.SUBJECT_KEY_IDENTIFIER}
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
          "key_agreement", "key_cert_sign", "crl_sign")


class ClientCertificate:
    """A certificate of the right form: its two names, its key and its time."""

    def __init__(self, suite, credential):
        certificates = credential.certificates
        require(len(certificates) == 1 and len(certificates[0]) <= MAX_SIZE, "ErrCertificate")
        try:
            self.parsed = x509.load_der_x509_certificate(certificates[0])
            self.extensions = self.parsed.extensions
            self.public_key = suite.signatures.encode(self.parsed.public_key())
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension,
                x509.UnsupportedGeneralNameType):
            raise Refused("ErrCertificate") from None
        require(self.parsed.version == x509.Version.v3, "ErrCertificate")
        require(self.public_key, "ErrCertificate")
        self._check_extensions()
        self._read_names()

    def _extension(self, kind):
        try:
            return self.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None

    def _check_extensions(self):
        """digitalSignature alone, no extendedKeyUsage, nothing critical that is not known."""
        usage = self._extension(x509.KeyUsage)
        used = [name for name in USAGES if usage and getattr(usage, name)]
        require(used == ["digital_signature"], "ErrCertificate")
        require(not self._extension(x509.ExtendedKeyUsage), "ErrCertificate")
        constraints = self._extension(x509.BasicConstraints)
        require(not (constraints and constraints.ca), "ErrCertificate")
        require(all(extension.oid in KNOWN_EXTENSIONS
                    for extension in self.extensions if extension.critical), "ErrCertificate")

    def _read_names(self):
        """Exactly two URIs: a user and a client, of one domain."""
        names = list(self._extension(x509.SubjectAlternativeName) or ())
        require(len(names) == 2 and all(
            isinstance(name, x509.UniformResourceIdentifier) for name in names), "ErrCertificate")
        try:
            found = {uris.parse(name.value.encode())[1]: name.value.encode() for name in names}
        except Refused:
            raise Refused("ErrCertificate") from None
        require(set(found) == {uris.USER, uris.CLIENT}, "ErrCertificate")
        self.user_uri = found[uris.USER]
        self.domain = uris.domain_of(self.user_uri)
        require(uris.domain_of(found[uris.CLIENT]) == self.domain, "ErrCertificate")

    def check_chain(self, domain, authority):
        """Of the domain, and issued directly by the identity CA within its lifetime."""
        issuer = x509.load_der_x509_certificate(authority)
        try:
            self.parsed.verify_directly_issued_by(issuer)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
            raise Refused("ErrIssuer") from None
        require(issuer.not_valid_before_utc <= self.parsed.not_valid_before_utc
                and self.parsed.not_valid_after_utc <= issuer.not_valid_after_utc, "ErrIssuer")
        require(self.domain == domain, "ErrDomain")

    def check_validity(self, now):
        """Valid now, give or take 24 hours."""
        require(self.parsed.not_valid_before_utc.timestamp() - TOLERANCE <= now
                <= self.parsed.not_valid_after_utc.timestamp() + TOLERANCE, "ErrValidity")
