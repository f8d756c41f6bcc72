from dimcore.http.spool cimport Spool
from dimcore.http1.body cimport Body, BodyResult


cdef class BodyReader:
    cdef Body body
    cdef char *data
    cdef size_t size                 # bytes in memory
    cdef size_t room
    cdef Spool spool                 # where the rest goes, once there is too much for memory
    cdef object sink                 # who takes the rest instead: feed(bytes), end(error text)

    cdef BodyResult take(self, const char *data, size_t size, size_t *used) except *
    cdef BodyResult hand_on(self, const char *data, size_t size, size_t *used) except *
    cdef int keep(self, const char *piece, size_t size) except -1
    cdef int spill(self, Spool spool) except -1
    cdef int pour(self, object sink) except -1
    cdef int _emptied(self) noexcept
    cdef object whole(self)          # bytes, or the Spool
