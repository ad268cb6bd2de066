"""The VOPRF of upload tokens: RFC 9497, ristretto255-SHA512 (RFC 9496), as far as
the issuer computes it."""

import hashlib

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
INVSQRT_A_MINUS_D = 54469307008909316920995813868745141605393597292927456921205312896311721017578
ONE_MINUS_D_SQ = (1 - D * D) % P
D_MINUS_ONE_SQ = (D - 1) ** 2 % P
BASE_Y = 4 * pow(5, -1, P) % P

# The constants that are not computed are the roots that RFC 9496 chooses.
assert SQRT_AD_MINUS_ONE**2 % P == (-D - 1) % P
assert INVSQRT_A_MINUS_D**2 * (-1 - D) % P == 1


def positive(x):
    return x % P if x % P % 2 == 0 else -x % P


def sqrt_ratio(u, v):
    """(was_square, r) of SQRT_RATIO_M1."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    if check in (-u % P, -u * SQRT_M1 % P):
        r = r * SQRT_M1 % P
    return check in (u % P, -u % P), positive(r)


def add(p, q):
    """Points of edwards25519 in extended coordinates."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = p, q
    a, b = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    c, d = 2 * t1 * t2 * D, 2 * z1 * z2
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(point, scalar):
    out = (0, 1, 1, 0)
    for bit in bin(scalar)[2:]:
        out = add(out, out)
        if bit == "1":
            out = add(out, point)
    return out


def base():
    x = positive(sqrt_ratio(BASE_Y**2 - 1, D * BASE_Y**2 + 1)[1])
    return x, BASE_Y, 1, x * BASE_Y % P


def encode(point):
    x, y, z, t = point
    u1, u2 = (z + y) * (z - y), x * y
    _, inverse = sqrt_ratio(1, u1 * u2 * u2)
    den1, den2 = inverse * u1, inverse * u2
    z_inverse = den1 * den2 * t
    den = den2
    if t * z_inverse % P % 2:
        x, y, den = y * SQRT_M1, x * SQRT_M1, den1 * INVSQRT_A_MINUS_D
    if x * z_inverse % P % 2:
        y = -y
    return positive(den * (z - y)).to_bytes(32, "little")


def elligator(t):
    r = SQRT_M1 * t * t % P
    u, v = (r + 1) * ONE_MINUS_D_SQ, (-1 - r * D) * (r + D)
    square, s = sqrt_ratio(u, v)
    c = -1
    if not square:
        s, c = -positive(s * t), r
    n = c * (r - 1) * D_MINUS_ONE_SQ - v
    w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def expand_message(message, dst):
    """expand_message_xmd with SHA-512 to 64 octets (RFC 9380, section 5.3.1)."""
    dst += bytes([len(dst)])
    first = hashlib.sha512(bytes(128) + message + (64).to_bytes(2, "big") + b"\0" + dst).digest()
    return hashlib.sha512(first + b"\1" + dst).digest()


def hash_to_group(message):
    uniform = expand_message(message, b"HashToGroup-OPRFV1-\x01-ristretto255-SHA512")
    halves = (int.from_bytes(h, "little") % 2**255 for h in (uniform[:32], uniform[32:]))
    return add(*(elligator(t) for t in halves))


def public(private):
    return encode(multiply(base(), int.from_bytes(private, "little")))


def evaluate(private, message):
    """The output that the issuer's key gives for an input."""
    element = encode(multiply(hash_to_group(message), int.from_bytes(private, "little")))
    parts = (message, element)
    return hashlib.sha512(b"".join(len(x).to_bytes(2, "big") + x for x in parts) + b"Finalize").digest()
