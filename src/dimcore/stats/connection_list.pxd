from libc.stdint cimport int64_t

from dimcore.index.connection_point cimport ConnectionPoint

# 16 bytes: | entered | cell |
cdef struct Place:
    int64_t entered_ns           # when the point entered its cell
    int64_t cell                 # spiral << 3 | layer


cdef class Roll:
    cdef list points             # all that are to be described, in order
    cdef Place *places           # of each, where it stood when the roll was made
    cdef Py_ssize_t at           # the next one
    cdef dict pools              # spiral -> its name in JSON
    cdef tuple names
    cdef int worker
    cdef int64_t slice_ns

    cdef bytes pool_text(self, int spiral)
    cdef bytes row(self, ConnectionPoint point, const Place *place, int64_t now_ns)
