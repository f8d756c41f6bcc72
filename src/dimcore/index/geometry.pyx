"""Geometric composition: identity vectors, their product, and placement by them.

``x`` is md5 of a text as a fraction, so it is spread evenly over 0 to 1.  ``z = x * y``
with ``y = 1 / (x + 0.001)`` is close to 1 for nearly every text: kept as a measure to
show, useless to place by (``int(z % 4)`` is 0 for all).  So `affinity` and
`rendezvous` go by ``x``.
"""
from libc.math cimport isfinite, log
from libc.stdint cimport uint32_t, uint64_t

from operator import index as whole_number

from dimcore.errors import UsageError


class PlacementError(UsageError, ValueError):
    """Nothing to place on, or a weight or key that cannot be used."""


cdef object md5 = None      # hashlib takes milliseconds to import, and most programs never get here


cdef uint32_t identity_of(str text) except? 0:
    global md5
    cdef bytes digest
    cdef const unsigned char *at
    if md5 is None:
        from hashlib import md5 as found
        md5 = found
    # surrogatepass: a path that is not UTF-8 has an identity too
    digest = md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    at = digest
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef double x_of(uint32_t identity) noexcept nogil:
    return identity / 4294967296.0


cdef double y_of(uint32_t identity) noexcept nogil:
    return 1.0 / (x_of(identity) + 0.001)


cdef uint32_t identity_in(object key) except? 0:
    """The identity of a text, or of anything with an `identity_vector`."""
    cdef double x
    if isinstance(key, str):
        return identity_of(key)
    try:
        x = key.identity_vector[0]
    except AttributeError:
        raise PlacementError(f"a key is a str or has an identity_vector, got {type(key).__name__}") from None
    if not 0.0 <= x < 1.0:
        raise PlacementError(f"x of an identity vector is at least 0 and below 1, got {x}")
    return <uint32_t>(x * 4294967296.0)


cdef double z_in(object operand) except? -1.0:
    if isinstance(operand, str):
        return z_value(operand)
    if isinstance(operand, (int, float)):
        return operand
    try:
        return operand.z_value
    except AttributeError:
        raise PlacementError(f"an operand is a str, a number or has a z_value, got {type(operand).__name__}") from None


def identity_vector(str text not None):
    """The pair (x, y) of a text: x = first four bytes of its md5 / 2**32, y = 1 / (x + 0.001).

    Args:
        text: any text, for a connection the address of its client.

    Thread-safety: pure.
    """
    cdef uint32_t identity = identity_of(text)
    return x_of(identity), y_of(identity)


def z_value(str text not None):
    """x * y of a text's identity vector.

    Thread-safety: pure.
    """
    cdef uint32_t identity = identity_of(text)
    return x_of(identity) * y_of(identity)


def compose(a, b):
    """z of one operand times z of the other.

    A likeness to look at.  It never proves that two things are equal: three
    quarters of all pairs come out above 0.99.

    Args:
        a: a text, a z (a number), or anything with a `z_value`, as every point has.
        b: likewise.

    Raises:
        PlacementError: an operand is none of these.

    Thread-safety: pure.
    """
    return z_in(a) * z_in(b)


def affinity(point, n):
    """One of `n` places for a point: the same one in every process, all equally likely.

    Args:
        point: a text, or anything with an `identity_vector`.
        n: number of places, 1 or more.

    Returns:
        0 to n - 1.  Another n moves about (1 - 1/n) of all points; where that hurts use `rendezvous`.

    Raises:
        PlacementError: `n` is not an int of 1 or more, or `point` has no identity.

    Thread-safety: pure.
    """
    try:
        n = whole_number(n)
    except TypeError:
        raise PlacementError(f"the number of places must be an int, got {type(n).__name__}") from None
    if n < 1:
        raise PlacementError(f"the number of places must be 1 or more, got {n}")
    cdef object identity = identity_in(point)
    return identity * n >> 32


cdef inline uint64_t mixed(uint64_t value) noexcept nogil:
    value = (value ^ value >> 30) * <uint64_t>0xBF58476D1CE4E5B9
    value = (value ^ value >> 27) * <uint64_t>0x94D049BB133111EB
    return value ^ value >> 31


cdef uint64_t name_hash(str name) except? 0:
    cdef bytes raw = name.encode("utf-8", "surrogatepass")
    cdef unsigned char byte
    cdef uint64_t value = <uint64_t>0xCBF29CE484222325
    for byte in raw:
        value = (value ^ byte) * <uint64_t>0x100000001B3
    return value


def rendezvous(point, servers):
    """The server a point belongs to, each server getting its weight's share of all points.

    Weighted rendezvous hashing: a server that joins or leaves moves only the
    points it wins or had.

    Args:
        point: a text, or anything with an `identity_vector`.
        servers: mapping of server name (str) to weight (a finite number above 0).

    Returns:
        A name of `servers`: the same for the same servers in any order, in every process.

    Raises:
        PlacementError: no servers, a name that is not a str, a bad weight, or a point without identity.

    Thread-safety: pure; O(servers).
    Source: highest of -w / ln(u), u a hash of point and server in (0, 1): Schindelhauer and
        Schomaker, "Weighted Distributed Hash Tables", 2005; hash steps of FNV-1a and splitmix64.
    """
    cdef uint64_t identity = identity_in(point)
    cdef str best = None
    cdef double best_score = 0.0
    cdef double weight, unit, score
    for name, given in servers.items():
        if not isinstance(name, str):
            raise PlacementError(f"a server's name must be a str, got {type(name).__name__}")
        if not isinstance(given, (int, float)):
            raise PlacementError(f"the weight of {name!r} must be a number, got {type(given).__name__}")
        try:
            weight = given
        except OverflowError:
            raise PlacementError(f"the weight of {name!r} is too large") from None
        if not isfinite(weight) or weight <= 0.0:
            raise PlacementError(f"the weight of {name!r} must be finite and above 0, got {given}")
        # the upper 53 bits and a half: never 0, never 1, so the logarithm is finite and below 0
        unit = ((mixed(mixed(name_hash(name)) + identity) >> 11) + 0.5) / 9007199254740992.0
        score = -weight / log(unit)
        if best is None or score > best_score or (score == best_score and name < best):
            best = name
            best_score = score
    if best is None:
        raise PlacementError("there are no servers to choose from")
    return best
