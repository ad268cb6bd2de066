"""TLS presentation language with the vectors of RFC 9420, section 2.1.2.

A structure is declared as a value of one of the classes here. A declaration encodes, decodes
strictly, and finds a field by its path so that its octets can be replaced. The document asks
for exactly one encoding of everything ("Notation" of the introduction), so a decoder refuses
octets left over, lengths that are not minimal, and fields that end early.
"""


class Refused(Exception):
    """A check of the document has failed. The name is that of the table of section 13."""

    def __init__(self, name):
        super().__init__(name)
        self.name = name


class Record(dict):
    """The value of a structure: its fields, which can be read as attributes as well."""

    __getattr__ = dict.__getitem__


def length_prefix(length, size=None):
    """Return the variable-length prefix of a vector; size asks for a longer one than needed."""
    size = size or (1 if length < 1 << 6 else 2 if length < 1 << 14 else 4)
    return (length | {1: 0, 2: 1, 4: 2}[size] << (8 * size - 2)).to_bytes(size, "big")


def opaque(octets):
    """Encode octets as `opaque x<V>`."""
    return length_prefix(len(octets)) + octets


class Reader:
    """Takes octets from the front and refuses to go beyond the end."""

    def __init__(self, octets):
        self.octets = octets
        self.position = 0

    def take(self, count):
        start = self.position
        if count > len(self.octets) - start:
            raise Refused("ErrTruncated")
        self.position += count
        return self.octets[start:self.position]

    def rest(self):
        return self.take(len(self.octets) - self.position)

    def at_end(self):
        return self.position == len(self.octets)

    def take_vector(self):
        """Take a vector and return its content."""
        first = self.take(1)
        size = 1 << (first[0] >> 6)
        if size == 8:
            raise Refused("ErrLength")
        prefix = first + self.take(size - 1)
        length = int.from_bytes(prefix, "big") & (1 << (8 * size - 2)) - 1
        if length_prefix(length) != prefix:
            raise Refused("ErrLength")
        return self.take(length)


class Type:
    """What all declarations have in common. A subclass has encode and take.

    The check, if there is one, is asked about each value that was read, before what follows is
    read: so a rule of the document holds wherever the value stands.
    """

    is_vector = False

    def __init__(self, check=None):
        self.check = check

    def read(self, reader):
        """Take a value, and refuse it if it breaks its rule."""
        value = self.take(reader)
        if self.check:
            self.check(value)
        return value

    def decode(self, octets):
        """Decode octets that hold one value and nothing else."""
        reader = Reader(octets)
        value = self.read(reader)
        if not reader.at_end():
            raise Refused("ErrTrailing")
        return value

    def edit(self, octets, path, change):
        """Return octets with the field at the path replaced by what change(type, octets) says."""
        if not path:
            return change(self, octets)
        return self.edit_inside(octets, path, change)


class UInt(Type):
    """An unsigned integer of a fixed number of octets."""

    def __init__(self, size, check=None):
        super().__init__(check)
        self.size = size

    def encode(self, value):
        return value.to_bytes(self.size, "big")

    def take(self, reader):
        return int.from_bytes(reader.take(self.size), "big")


class Fixed(Type):
    """`opaque x[n]`."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def encode(self, value):
        return value

    def take(self, reader):
        return reader.take(self.size)


class Rest(Type):
    """Everything up to the end, as the zeros of padN."""

    def encode(self, value):
        return value

    def take(self, reader):
        return reader.rest()


class Opaque(Type):
    """`opaque x<V>`. Inside, if given, is what the octets hold; they are decoded separately, by
    whoever has a use for them."""

    is_vector = True

    def __init__(self, inside=None, check=None):
        super().__init__(check)
        self.inside = inside

    def encode(self, value):
        return opaque(value)

    def take(self, reader):
        return reader.take_vector()

    def edit_inside(self, octets, path, change):
        return opaque(self.inside.edit(Reader(octets).take_vector(), path, change))


class Vector(Type):
    """`T x<V>` of elements of one type."""

    is_vector = True

    def __init__(self, element, check=None):
        super().__init__(check)
        self.element = element

    def encode(self, values):
        return opaque(b"".join(map(self.element.encode, values)))

    def take(self, reader):
        inner = Reader(reader.take_vector())
        values = []
        while not inner.at_end():
            values.append(self.element.read(inner))
        return values

    def edit_inside(self, octets, path, change):
        """A path passes over a vector of one element (section 13)."""
        return opaque(self.element.edit(Reader(octets).take_vector(), path, change))


class EmptyVector(Type):
    """A vector of elements that other documents define. No known answer has one that is not
    empty, so none is read (the end of section 13)."""

    is_vector = True

    def encode(self, values):
        return opaque(b"".join(values))

    def take(self, reader):
        if reader.take_vector():
            raise Refused("ErrMalformed")
        return []


class Optional(Type):
    """`optional<T>`; None where nothing is present."""

    def __init__(self, element):
        super().__init__()
        self.element = element

    def encode(self, value):
        return b"\0" if value is None else b"\1" + self.element.encode(value)

    def take(self, reader):
        present = reader.take(1)[0]
        if present > 1:
            raise Refused("ErrMalformed")
        return self.element.read(reader) if present else None

    def edit_inside(self, octets, path, change):
        return octets[:1] + self.element.edit(octets[1:], path, change)


class Struct(Type):
    """A structure of named fields."""

    def __init__(self, check=None, /, **fields):
        super().__init__(check)
        self.fields = fields

    def encode(self, value):
        return b"".join(kind.encode(value[name]) for name, kind in self.fields.items())

    def encode_before_last(self, value):
        """Encode all fields but the last one: what a signature at the end covers."""
        *names, _ = self.fields
        return b"".join(self.fields[name].encode(value[name]) for name in names)

    def take(self, reader):
        return Record((name, kind.read(reader)) for name, kind in self.fields.items())

    def edit_inside(self, octets, path, change):
        reader = Reader(octets)
        for name, kind in self.fields.items():
            start = reader.position
            kind.read(reader)
            if name == path[0]:
                field = kind.edit(octets[start:reader.position], path[1:], change)
                return octets[:start] + field + octets[reader.position:]
        raise KeyError(path[0])
