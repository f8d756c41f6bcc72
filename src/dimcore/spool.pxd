from libc.stdint cimport int64_t


cdef class Spool:
    cdef int fd
    cdef readonly int64_t size

    cdef int append(self, const char *data, size_t size) except -1
