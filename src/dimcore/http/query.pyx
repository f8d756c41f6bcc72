"""Decoding of what a request carries beside its head: percent-escapes, form-encoded pairs, cookies."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t
from libc.string cimport memchr

from dimcore.text.scan cimport scan_hex, scan_setup

scan_setup()


cdef str percent_decoded(const char *text, Py_ssize_t size, bint plus):
    """Percent-decode once, then UTF-8 with U+FFFD for what is not; a broken escape stays as it is."""
    cdef char *out = <char *> PyMem_Malloc(size + 1)
    cdef Py_ssize_t at = 0, length = 0
    if out == NULL:
        raise MemoryError
    try:
        while at < size:
            if (
                text[at] == c"%" and at + 2 < size
                and scan_hex[<uint8_t> text[at + 1]] >= 0 and scan_hex[<uint8_t> text[at + 2]] >= 0
            ):
                out[length] = <char> (scan_hex[<uint8_t> text[at + 1]] * 16 + scan_hex[<uint8_t> text[at + 2]])
                at += 3
            else:
                out[length] = c" " if plus and text[at] == c"+" else text[at]
                at += 1
            length += 1
        return PyUnicode_DecodeUTF8(out, length, "replace")
    finally:
        PyMem_Free(out)


cdef class QueryParams(dict):
    """The query as a dict of first values; `pairs` has every ``(name, value)`` in order."""

    def getall(self, str name not None):
        """Every value of `name`, in order; an empty list when there is none."""
        return [value for key, value in self.pairs if key == name]


cdef QueryParams parse_query(const char *text, Py_ssize_t size):
    # application/x-www-form-urlencoded, WHATWG URL 5.1; '&' alone separates.
    cdef QueryParams params = QueryParams()
    cdef Py_ssize_t at = 0, end, split
    cdef const char *found
    cdef str name, value
    params.pairs = []
    while at < size:
        found = <const char *> memchr(text + at, c"&", size - at)
        end = found - text if found != NULL else size
        if end > at:
            found = <const char *> memchr(text + at, c"=", end - at)
            split = found - text if found != NULL else end
            name = percent_decoded(text + at, split - at, True)
            value = percent_decoded(text + split + 1, end - split - 1, True) if split < end else ""
            params.pairs.append((name, value))
            params.setdefault(name, value)
        at = end + 1
    return params


cdef dict parse_cookies(list lines):
    """Cookie fields (RFC 6265 4.2) as a dict: quotes around a value removed, of a repeated name the first."""
    cdef dict jar = {}
    for line in lines:
        for part in line.split(";"):
            name, separator, value = part.partition("=")
            # Not all that str takes for blank: in Latin-1 text that includes the second byte of UTF-8's "à" and "Å".
            name = name.strip(" \t")
            value = value.strip(" \t")
            if not separator or not name:
                continue
            if len(value) > 1 and value.startswith('"') and value.endswith('"'):
                value = value[1:len(value) - 1]
            jar.setdefault(name, value)
    return jar
