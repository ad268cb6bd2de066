"""The changes of the negative set: one field of a structure is made another one (section 13)."""

import structs
from codec import Reader, Rest, length_prefix, opaque

CONTENT = {
    "flip": lambda octets: octets[:-1] + bytes([octets[-1] ^ 1]),
    "cut": lambda octets: octets[:-1],
    "grow": lambda octets: octets + b"\0",
    "empty": lambda octets: b"",
}


def apply(scene, case):
    """Return the structure of a case before and after its change."""
    original = scene.answers[case["answer"]]
    verb, _, argument = case["change"].partition(" ")

    def change(kind, octets):
        if verb == "set":
            return bytes.fromhex(argument)
        if verb == "use":
            return scene.octets(argument)
        if verb == "long":
            content = Reader(octets).take_vector()
            return length_prefix(len(content), 4) + content
        if kind.is_vector:
            return opaque(CONTENT[verb](Reader(octets).take_vector()))
        return CONTENT[verb](octets)

    # Without a field the change concerns the octets themselves, whatever they hold.
    if not case["field"]:
        return original, change(Rest(), original)
    kind = structs.named(case["struct"])
    return original, kind.edit(original, case["field"].split("."), change)
