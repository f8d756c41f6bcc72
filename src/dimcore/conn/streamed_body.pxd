from libc.stdint cimport int64_t

from dimcore.conn.filter cimport Transform
from dimcore.http1.head_writer cimport Writer


cdef class Outflow:
    cdef object iterator             # pulled from when the peer reads; None: somebody pushes
    cdef object first                # pulled before the head was written
    cdef bint chunked
    cdef bint ended
    cdef bint claimed                # an answer has it
    cdef int64_t declared            # Content-Length the handler gave, or -1
    cdef readonly int64_t sent       # bytes of the body so far
    cdef Transform transform         # what they go through, or None
    cdef int64_t passed              # bytes that came out of it

    cdef int claim(self) except -1
    cdef int prime(self) except -1
    cdef object take(self)
    cdef int count(self, Py_ssize_t size) except -1
    cdef bytes change(self, bytes piece, bint last)
    cdef int64_t bytes_out(self) noexcept
    cdef int expect_end(self) except -1
    cdef int open_chunk(self, Writer writer, Py_ssize_t size) except -1
    cdef int close_chunk(self, Writer writer) except -1
    cdef int finish(self, Writer writer) except -1
    cdef void release(self) noexcept


cdef class Push(Outflow):
    cdef object on_drain
    cdef object on_close
    cdef object connection           # what sends it, while it does
    cdef bint corked                 # its first piece follows at once, in one send with the head

    cdef int drained(self) except -1


cdef class AsyncSource(Outflow):
    cdef object pieces               # the async iterable; a coroutine takes them and pushes them on


cdef bint is_source(object body) noexcept
