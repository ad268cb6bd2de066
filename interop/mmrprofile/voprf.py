"""Upload tokens: the VOPRF of RFC 9497 in the suite ristretto255-SHA512 (section 5).

Only what the issuer does to a known input is needed here. The group is that of RFC 9496, with
points of the Edwards curve in extended coordinates.
"""

import hashlib

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"
IDENTITY = (0, 1, 1, 0)


def _absolute(x):
    """Choose the non-negative one of a number and its opposite: the even one."""
    return P - x if x & 1 else x


def _sqrt_ratio(u, v):
    """Whether u/v is a square, and the root of u/v or of i*u/v (RFC 9496, section 4.2)."""
    root = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * root * root % P
    if check in (-u % P, -u * SQRT_M1 % P):
        root = root * SQRT_M1 % P
    return check in (u % P, -u % P), _absolute(root)


SQRT_AD_MINUS_ONE = P - _sqrt_ratio(-D - 1, 1)[1]
INVSQRT_A_MINUS_D = _sqrt_ratio(1, -1 - D)[1]


def _add(p, q):
    x1, y1, z1, t1 = p
    x2, y2, z2, t2 = q
    a, b = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    c, d = 2 * D * t1 * t2, 2 * z1 * z2
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(scalar, point):
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _encode(point):
    """Encode of RFC 9496, section 4.3.2."""
    x, y, z, t = point
    u1, u2 = (z + y) * (z - y) % P, x * y % P
    _, inverse = _sqrt_ratio(1, u1 * u2 * u2 % P)
    d1, d2 = inverse * u1 % P, inverse * u2 % P
    z_inverse = d1 * d2 * t % P
    if t * z_inverse % P & 1:
        x, y, d2 = y * SQRT_M1 % P, x * SQRT_M1 % P, d1 * INVSQRT_A_MINUS_D % P
    if x * z_inverse % P & 1:
        y = -y % P
    return _absolute(d2 * (z - y) % P).to_bytes(32, "little")


def _map(octets):
    """MAP of RFC 9496, section 4.3.4."""
    number = int.from_bytes(octets, "little") % 2**255
    r = SQRT_M1 * number * number % P
    u, v = (r + 1) * (1 - D * D) % P, (-1 - r * D) * (r + D) % P
    square, s = _sqrt_ratio(u, v)
    c = -1
    if not square:
        s, c = P - _absolute(s * number % P), r
    n = (c * (r - 1) * (D - 1) ** 2 - v) % P
    w0, w1 = 2 * s * v % P, n * SQRT_AD_MINUS_ONE % P
    w2, w3 = (1 - s * s) % P, (1 + s * s) % P
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def _hash_to_group(octets):
    """HashToGroup of RFC 9497, section 4.1: expand_message_xmd with SHA-512 to 64 octets."""
    dst = b"HashToGroup-" + CONTEXT
    dst += bytes([len(dst)])
    first = hashlib.sha512(bytes(128) + octets + b"\x00\x40\x00" + dst).digest()
    uniform = hashlib.sha512(first + b"\x01" + dst).digest()
    return _add(_map(uniform[:32]), _map(uniform[32:]))


def _base_point():
    y = 4 * pow(5, -1, P) % P
    x = _sqrt_ratio(y * y - 1, D * y * y + 1)[1]
    return x, y, 1, x * y % P


def public_key(private):
    return _encode(_multiply(int.from_bytes(private, "little"), _base_point()))


def evaluate(private, octets):
    """The output of the VOPRF (Evaluate of RFC 9497, section 3.3.1)."""
    element = _multiply(int.from_bytes(private, "little"), _hash_to_group(octets))
    hashed = b"".join(len(part).to_bytes(2, "big") + part for part in (octets, _encode(element)))
    return hashlib.sha512(hashed + b"Finalize").digest()


def upload_token_output(private, key_id, nonce):
    """The output that an UploadToken has (section 5)."""
    return evaluate(private, b"MGP1 UploadToken" + bytes([key_id]) + nonce)
