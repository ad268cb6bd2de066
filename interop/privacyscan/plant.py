"""Plants an identifier into copies of what was recorded, and looks for it."""

import base64
import hashlib
import pathlib
import random
import urllib.parse

import layers

# How much of a file is copied on each side of what is planted.
AROUND = 4096


def encodings(text: str) -> dict:
    """Ways to write a text, each by a function that may use chance."""
    octets = text.encode()

    def aligned(encode, offset):
        return lambda: encode(random.randbytes(offset) + octets + random.randbytes(random.randrange(4))).rstrip(b"=")

    out = {
        "raw": lambda: octets,
        "upper case": lambda: text.upper().encode(),
        "mixed case": lambda: "".join(random.choice((c.upper(), c.lower())) for c in text).encode(),
        "hexadecimal": lambda: octets.hex().encode(),
        "hexadecimal in upper case": lambda: octets.hex().upper().encode(),
        "percent": lambda: urllib.parse.quote(text, safe="").encode(),
        "percent, every octet": lambda: "".join(f"%{o:02x}" for o in octets).encode(),
        "percent, every octet in upper case": lambda: "".join(f"%{o:02X}" for o in octets).encode(),
        "UTF-16 (little-endian)": lambda: text.encode("utf-16-le"),
        "UTF-16 (big-endian)": lambda: text.encode("utf-16-be"),
        "JSON escapes": lambda: "".join(f"\\u{ord(c):04x}" for c in text).encode(),
        "JSON escapes in upper case": lambda: "".join(f"\\u{ord(c):04X}" for c in text).encode(),
    }
    for offset in range(3):
        out[f"base64 at alignment {offset}"] = aligned(base64.b64encode, offset)
        out[f"base64url at alignment {offset}"] = aligned(base64.urlsafe_b64encode, offset)
    for name in ("md5", "sha1", "sha256", "sha512"):
        digest = hashlib.new(name, octets).digest()
        out[name] = lambda d=digest: d
        out[name + " in hexadecimal"] = lambda d=digest: d.hex().encode()
        out[name + " in base64"] = lambda d=digest: base64.b64encode(d)
    return out


def run(folder: pathlib.Path, recording: dict, times: int) -> list[str]:
    """Plants each identifier by chance, that often in each encoding."""
    files = [(folder / name).read_bytes() for name in recording["all"]]
    files = [data for data in files if data]
    complaints = []
    kinds = list(encodings("any text"))
    for kind in kinds:
        found = 0
        for _ in range(times):
            needle, data, at = somewhere(files, recording["needles"])
            copy = data[:at] + encodings(needle["text"])[kind]() + data[at:]
            found += bool(layers.search(copy, [wanted(needle)]))
        if found != times:
            complaints.append(f"planted as {kind}: found {found} of {times}")
    if not complaints:
        print(f"privacyscan: planted in {len(kinds)} encodings at random offsets: {times} of {times} found in each")
    return complaints


def wanted(needle: dict) -> layers.Needle:
    return layers.Needle(needle["name"], needle["text"].encode())


def somewhere(files: list[bytes], needles: list[dict]) -> tuple[dict, bytes, int]:
    """An identifier, a copy of a piece of a file that does not have it, and a place there."""
    while True:
        needle, data = random.choice(needles), random.choice(files)
        at = random.randrange(len(data) + 1)
        # As much of the file as an encoding can reach into, and more.
        begin = max(0, at - AROUND)
        piece = data[begin : at + AROUND]
        if not layers.search(piece, [wanted(needle)]):
            return needle, piece, at - begin
