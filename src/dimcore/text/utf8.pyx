"""Incremental check that bytes are UTF-8 (RFC 3629): a fault is found at its first byte.

Only the first continuation byte has a range that depends on what leads it; that
is what keeps out overlong forms, surrogates and everything beyond U+10FFFF:

    lead      continuation bytes   first one
    C2..DF    1                    80..BF
    E0        2                    A0..BF     no overlong form
    ED        2                    80..9F     no surrogate
    E1..EF    2                    80..BF     the others
    F0        3                    90..BF     no overlong form
    F4        3                    80..8F     nothing beyond U+10FFFF
    F1..F3    3                    80..BF
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef uint64_t HIGH_BITS = 0x8080808080808080


cdef bint utf8_check(Utf8 *text, const char *data, size_t size) noexcept nogil:
    """Whether `data` can follow what was seen before; the text is whole where `missing` is 0 afterwards."""
    cdef size_t at = 0
    cdef uint64_t word
    cdef uint8_t c
    while at < size:
        if text.missing == 0:
            while size - at >= 8:
                memcpy(&word, data + at, 8)
                if word & HIGH_BITS:
                    break
                at += 8
            if at == size:
                return True
        c = <uint8_t> data[at]
        at += 1
        if text.missing:
            if not text.low <= c <= text.high:
                return False
            text.missing -= 1
            text.low = 0x80
            text.high = 0xBF
        elif c >= 0x80:
            if c < 0xC2 or c > 0xF4:
                return False
            text.low = 0x80
            text.high = 0xBF
            if c < 0xE0:
                text.missing = 1
            elif c < 0xF0:
                text.missing = 2
                if c == 0xE0:
                    text.low = 0xA0
                elif c == 0xED:
                    text.high = 0x9F
            else:
                text.missing = 3
                if c == 0xF0:
                    text.low = 0x90
                elif c == 0xF4:
                    text.high = 0x8F
    return True


def utf8_prefix(data, *, size_t step=0):
    """How the check judges `data`; for tests and for whoever wants the same rule.

    Args:
        data: bytes-like.
        step: look at so many bytes at a time; 0 is all at once.

    Returns:
        ``None`` where it is no UTF-8, else the number of bytes missing at its end: 0 for a whole text.
    """
    cdef bytes given = bytes(data)
    cdef const char *at = given
    cdef size_t left = len(given), size
    cdef Utf8 text
    text.missing = text.low = text.high = 0
    while left:
        size = min(left, step) if step else left
        if not utf8_check(&text, at, size):
            return None
        at += size
        left -= size
    return text.missing
