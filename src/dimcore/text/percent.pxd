"""Percent-decoding (RFC 3986 2.1), once, from C."""

cdef inline int hex_digit(char c) noexcept nogil:
    """The value of a hexadecimal digit, or -1."""
    cdef unsigned char d = <unsigned char>c
    if 48 <= d <= 57:            # 0-9
        return d - 48
    d |= 0x20
    if 97 <= d <= 102:           # a-f
        return d - 87
    return -1


cdef inline Py_ssize_t percent_decode(const char *text, Py_ssize_t length, char *out, char slash) noexcept nogil:
    """Decode into `out` (room for `length` bytes; may be `text` itself), an encoded '/' as `slash`; returns the size.

    A '%' that begins no sequence stands for itself: browsers and clients send it (``/100%``), and whoever reads a path
    reads it the same way, wherever that is.
    """
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size = 0
    cdef int high, low
    cdef char c
    while at < length:
        c = text[at]
        if c == c'%' and at + 2 < length:
            high = hex_digit(text[at + 1])
            low = hex_digit(text[at + 2])
            if high >= 0 and low >= 0:
                c = <char>(high << 4 | low)
                if c == c'/':
                    c = slash
                at += 2
        out[size] = c
        size += 1
        at += 1
    return size
