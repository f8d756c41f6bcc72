from libc.stdint cimport int64_t


cdef class Spool:
    cdef int fd
    cdef bint owned                  # not after a failed construction, when `fd` is 0: standard input
    cdef readonly int64_t size

    cdef int append(self, const char *data, size_t size) except -1
