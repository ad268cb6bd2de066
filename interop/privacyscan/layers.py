"""The layers of some octets: what they are when encodings are undone."""

import base64
import binascii
import hashlib
import re

BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{7,}")
HEXADECIMAL = re.compile(rb"(?:[0-9A-Fa-f]{2}){5,}[0-9A-Fa-f]?")
PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
ESCAPED = re.compile(rb"(?:\\u[0-9A-Fa-f]{4})+")

# What stands between pieces that do not belong together.
BREAK = b"\x00\x00\x00"


class Needle:
    """Something to look for: text, in whatever case, or octets as they are."""

    def __init__(self, name: str, octets: bytes):
        self.name = name
        self.text = octets.lower() if octets.isascii() else b""
        self.octets = octets
        self.digests = [hashlib.new(h, octets).digest() for h in ("md5", "sha1", "sha256", "sha512")]


def needles(recording: dict) -> list[Needle]:
    """Those of a recording."""
    out = [Needle(n["name"], n["text"].encode()) for n in recording["needles"]]
    return out + [Needle(n["name"], base64.b64decode(n["text"])) for n in recording["secrets"]]


def search(data: bytes, wanted: list[Needle]) -> set[str]:
    """Names those that are in data, in any encoding."""
    plain = decoded(data)
    texts = [layer.lower() for layer in [data, *plain, *halves(data)]]
    raw = [data, *plain]
    found = set()
    for n in wanted:
        if (
            (n.text and any(n.text in layer for layer in texts))
            or any(n.octets in layer for layer in raw)
            or any(d in layer for d in n.digests for layer in raw)
        ):
            found.add(n.name)
    return found


def decoded(data: bytes) -> list[bytes]:
    """What is left when one encoding is undone, wherever there may be one."""
    out = [unhex(data), unbase64(data)]
    if b"%" in data:
        plain = PERCENT.sub(lambda m: bytes([int(m[1], 16)]), data)
        out += [plain, plain.replace(b"+", b" ")]
    if b"\\" in data:
        out.append(unescape(data))
    return [layer for layer in out if layer]


def halves(data: bytes) -> list[bytes]:
    """Text in UTF-16 is every second octet of it, as long as it is Latin."""
    return [data[0::2], data[1::2]]


def unhex(data: bytes) -> bytes:
    """Every row of hexadecimal digits, from its first and from its second one."""
    out = []
    for run in HEXADECIMAL.findall(data):
        for at in (0, 1):
            piece = run[at:]
            out.append(binascii.unhexlify(piece[: len(piece) // 2 * 2]))
    return BREAK.join(out)


def unbase64(data: bytes) -> bytes:
    """Every row of letters of base64, of either alphabet, from its first four ones."""
    out = []
    for run in BASE64.findall(data):
        run = run.replace(b"-", b"+").replace(b"_", b"/")
        for at in range(4):
            piece = run[at:]
            if len(piece) % 4 == 1:
                piece = piece[:-1]  # no octet has only six bits
            out.append(base64.b64decode(piece + b"=" * (-len(piece) % 4)))
    return BREAK.join(out)


def unescape(data: bytes) -> bytes:
    """JSON's escapes: of UTF-16, and of single characters."""

    def units(m: re.Match) -> bytes:
        raw = binascii.unhexlify(m[0].replace(b"\\u", b""))
        return raw.decode("utf-16-be", errors="replace").encode()

    plain = ESCAPED.sub(units, data)
    for escape, character in ((b'\\"', b'"'), (b"\\/", b"/"), (b"\\\\", b"\\")):
        plain = plain.replace(escape, character)
    return plain
