"""The refusals that docs/mmr-profile.md, section 13, names."""


class Refusal(Exception):
    """Something that is refused."""


NAMES = """
ErrTruncated ErrTrailing ErrLength ErrDecrypt ErrSignature ErrURI ErrPseudonym ErrSignatureKey
ErrCredentialType ErrLinkFormat ErrCommitment ErrLinkDecrypt ErrLinkSignature ErrPadding
ErrCertificate ErrIssuer ErrDomain ErrValidity ErrGeneration ErrUnwrap ErrTable ErrSecretSize
ErrLinkState ErrKeys ErrJoinLink ErrMetadata ErrPolicy ErrPolicyChange ErrSibling ErrQueue
ErrProviderKey ErrPackageFormat ErrPackageSuite ErrPackageSignature ErrPackageUser
ErrPackageValidity ErrRequestFormat ErrUnknownPackage ErrRequestDecrypt ErrRequestSignature
ErrRecipient ErrRequestAge ErrResponse ErrMalformed ErrKey ErrPresence
ErrUpload ErrUploadSignature ErrUploadToken ErrAddAAD ErrGroupID ErrComponentOrder ErrLeakedKeys
""".split()

for _name in NAMES:
    globals()[_name] = type(_name, (Refusal,), {})


class instead:
    """Turns every refusal inside of a block into one of the given class."""

    def __init__(self, error):
        self.error = error

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is not None and issubclass(kind, Refusal) and kind is not self.error:
            raise self.error(str(value)) from value
        return False


def need(condition, error, text=""):
    if not condition:
        raise error(text)
