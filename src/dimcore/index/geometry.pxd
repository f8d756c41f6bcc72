from libc.stdint cimport uint32_t

# The first four bytes of md5(text), big-endian: x is this / 2**32.
cdef uint32_t identity_of(str text) except? 0
cdef double x_of(uint32_t identity) noexcept nogil
cdef double y_of(uint32_t identity) noexcept nogil
