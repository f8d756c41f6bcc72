from libc.stdint cimport uint8_t


# 3 bytes: where a text stands after the bytes seen so far; all zero at its start.
cdef struct Utf8:
    uint8_t missing              # continuation bytes still to come
    uint8_t low                  # the next one is in low .. high
    uint8_t high


cdef bint utf8_check(Utf8 *text, const char *data, size_t size) noexcept nogil
