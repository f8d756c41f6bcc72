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
    """Decode into `out` (room for `length` bytes; may be `text` itself), an encoded '/' as `slash`.

    Returns the size, or -1 for a broken sequence or an encoded NUL: no name of
    anything holds a NUL, and C interfaces further on would be cut short by it.
    """
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size = 0
    cdef int high, low
    cdef char c
    while at < length:
        c = text[at]
        if c == c'%':
            if at + 2 >= length:
                return -1
            high = hex_digit(text[at + 1])
            low = hex_digit(text[at + 2])
            if high < 0 or low < 0 or high + low == 0:
                return -1
            c = <char>(high << 4 | low)
            if c == c'/':
                c = slash
            at += 2
        out[size] = c
        size += 1
        at += 1
    return size
