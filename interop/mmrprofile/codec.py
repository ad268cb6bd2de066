"""The presentation language of TLS with the vectors of RFC 9420, section 2.1.2.

A type reads a value out of a Reader, writes one, and says where an encoding
ends. Structures are dictionaries.
"""

import errors
from errors import need


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        need(self.at + n <= len(self.data), errors.ErrTruncated)
        self.at += n
        return self.data[self.at - n : self.at]

    def length(self):
        first = self.take(1)[0]
        size = 1 << (first >> 6)
        need(size < 8, errors.ErrLength)
        value = int.from_bytes(bytes([first & 0x3F]) + self.take(size - 1), "big")
        need(size == 1 or value >= 1 << (4 * size - 2), errors.ErrLength)
        return value

    def done(self):
        return self.at == len(self.data)


def length(n):
    if n < 1 << 6:
        return bytes([n])
    if n < 1 << 14:
        return (0x4000 | n).to_bytes(2, "big")
    return (0x80000000 | n).to_bytes(4, "big")


def vector(content):
    return length(len(content)) + content


class Type:
    def decode(self, data):
        """The value of a complete encoding."""
        r = Reader(data)
        value = self.read(r)
        need(r.done(), errors.ErrTrailing)
        return value

    def end(self, data, at):
        """Where the encoding that begins at at ends, whatever its value."""
        r = Reader(data)
        r.at = at
        self.skip(r)
        return r.at


class Number(Type):
    def __init__(self, octets):
        self.octets = octets

    def read(self, r):
        return int.from_bytes(r.take(self.octets), "big")

    def skip(self, r):
        r.take(self.octets)

    def write(self, value):
        return value.to_bytes(self.octets, "big")


class Fixed(Type):
    def __init__(self, octets):
        self.octets = octets

    def read(self, r):
        return r.take(self.octets)

    skip = read

    def write(self, value):
        assert len(value) == self.octets
        return value


class Opaque(Type):
    """opaque<V>, with a rule for its content."""

    def __init__(self, rule=None):
        self.rule = rule

    def read(self, r):
        value = r.take(r.length())
        if self.rule:
            self.rule(value)
        return value

    def skip(self, r):
        r.take(r.length())

    def write(self, value):
        return vector(value)


class Text(Opaque):
    """opaque<V> with text in it."""

    def read(self, r):
        return super().read(r).decode("ascii")

    def write(self, value):
        return vector(value.encode("ascii"))


class Vector(Type):
    def __init__(self, element):
        self.element = element

    def read(self, r):
        inner, out = Reader(r.take(r.length())), []
        while not inner.done():
            out.append(self.element.read(inner))
        return out

    def skip(self, r):
        r.take(r.length())

    def write(self, values):
        return vector(b"".join(self.element.write(v) for v in values))


class Inside(Type):
    """opaque<V> that holds one value of another type."""

    def __init__(self, inner):
        self.inner = inner

    def read(self, r):
        return self.inner.decode(r.take(r.length()))

    def skip(self, r):
        r.take(r.length())

    def write(self, value):
        return vector(self.inner.write(value))


class Optional(Type):
    def __init__(self, inner):
        self.inner = inner

    def read(self, r):
        present = r.take(1)[0]
        need(present <= 1, errors.ErrPresence)
        return self.inner.read(r) if present else None

    def skip(self, r):
        if r.take(1)[0]:
            self.inner.skip(r)

    def write(self, value):
        return b"\0" if value is None else b"\1" + self.inner.write(value)


class Rest(Type):
    def read(self, r):
        return r.take(len(r.data) - r.at)

    skip = read

    def write(self, value):
        return value


class Struct(Type):
    """Fields in order, and a rule for all of them."""

    def __init__(self, rule=None, **fields):
        self.fields, self.rule = fields, rule

    def read(self, r):
        value = {name: kind.read(r) for name, kind in self.fields.items()}
        if self.rule:
            self.rule(value)
        return value

    def skip(self, r):
        for kind in self.fields.values():
            kind.skip(r)

    def write(self, value):
        assert value.keys() == self.fields.keys(), (value.keys(), self.fields.keys())
        return b"".join(kind.write(value[name]) for name, kind in self.fields.items())


def pad(content, n):
    """padN of the profile."""
    out = vector(content)
    return out + bytes(-len(out) % n)


def unpad(data, n):
    with errors.instead(errors.ErrPadding):
        r = Reader(data)
        content = r.take(r.length())
        rest = data[r.at :]
        need(len(data) % n == 0 and len(rest) < n and not any(rest), errors.ErrPadding)
        return content


def change(kind, data, path, how, inputs):
    """The structure data with the field at path changed (section 13)."""
    if not path:
        return change_field(Rest(), data, how, inputs)
    name, _, below = path.partition(".")
    at = 0
    for field, inner in kind.fields.items():
        end = inner.end(data, at)
        if field == name:
            old = data[at:end]
            if not below:
                new = change_field(inner, old, how, inputs)
            elif hasattr(inner, "inner") and not isinstance(inner, Optional):
                new = vector(change(inner.inner, content_of(old), below, how, inputs))
            elif isinstance(inner, Optional):
                new = old[:1] + change(inner.inner, old[1:], below, how, inputs)
            else:
                new = change(inner, old, below, how, inputs)
            return data[:at] + new + data[end:]
        at = end
    raise KeyError(path)


def content_of(field):
    r = Reader(field)
    return r.take(r.length())


def change_field(kind, field, how, inputs):
    how, _, value = how.partition(" ")
    is_vector = isinstance(kind, (Opaque, Vector, Inside))
    content = content_of(field) if is_vector else field
    wrap = vector if is_vector else bytes
    match how:
        case "flip":
            return wrap(content[:-1] + bytes([content[-1] ^ 1]))
        case "cut":
            return wrap(content[:-1])
        case "grow":
            return wrap(content + b"\0")
        case "empty":
            return wrap(b"")
        case "long":
            return (0x80000000 | len(content)).to_bytes(4, "big") + content
        case "set":
            return bytes.fromhex(value)
        case "use":
            return bytes.fromhex(inputs[value])
    raise KeyError(how)
