from libc.stdint cimport int64_t

from dimcore.asgi.wait cimport Awaited
from dimcore.conn.exchange cimport Exchange
from dimcore.conn.streamed_body cimport Push


cdef class AsgiFlow(Push):
    cdef Awaited owner
    cdef bytes trailers              # the fields, or None
    cdef list held                   # pieces that were gathered, or None
    cdef Py_ssize_t held_bytes
    cdef int64_t sent_ns             # when the last of it was sent; 0 before
    cdef bint due                    # the loop will call `turn_over`

    cdef bint gather(self, bytes piece, int64_t now) except -1
    cdef int put(self, Exchange at, bytes piece, bint last) except -1
