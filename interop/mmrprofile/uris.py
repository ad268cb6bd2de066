"""URIs and pseudonyms (section 1)."""

import re

from codec import Refused

USER, CLIENT, ROOM, GROUP = "u", "d", "r", "g"

_DOMAIN = re.compile(rb"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_URI = re.compile(rb"mimi://([^/]*)/([udrg])/([^/]*)")
_NAME = re.compile(rb"([A-Za-z0-9._~-]|%[0-9A-F]{2})+")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")
_UUID4 = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MAX_DOMAIN, _MAX_NAME = 253, 128


def check_domain(domain):
    """Refuse what is no host name of lower-case letters, digits and hyphens."""
    if len(domain) > _MAX_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise Refused("ErrURI")


def parse(uri):
    """Return domain, kind and name of a URI, or refuse its form."""
    match = _URI.fullmatch(uri)
    if not match:
        raise Refused("ErrURI")
    domain, kind, name = match.groups()
    check_domain(domain)
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise Refused("ErrURI")
    if any(_UNRESERVED.fullmatch(bytes.fromhex(digits.decode()))
           for digits in _ESCAPE.findall(name)):
        raise Refused("ErrURI")
    return domain, kind.decode(), name


def domain_of(uri):
    return parse(uri)[0]


def of_kind(uri, kind, error="ErrURI"):
    """Return the domain of a URI that has to be of a kind."""
    domain, found, _ = parse(uri)
    if found != kind:
        raise Refused(error)
    return domain


def check_pseudonyms(client, user):
    """Both are well-formed, of their kinds, version 4 UUIDs, and of one domain."""
    domains = set()
    for uri, kind in ((client, CLIENT), (user, USER)):
        domain, found, name = parse(uri)
        if found != kind or not _UUID4.fullmatch(name):
            raise Refused("ErrPseudonym")
        domains.add(domain)
    if len(domains) > 1:
        raise Refused("ErrPseudonym")


def group_id(room_id):
    """The group_id of a room: its URI with `/r/` replaced by `/g/`."""
    domain, _, name = parse(room_id)
    return b"mimi://" + domain + b"/g/" + name


def key_material(domain):
    """The targetUser of a request for key material (section 5)."""
    return b"mimi://" + domain + b"/keymaterial"
