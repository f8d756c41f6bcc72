cimport cython
from libc.stdint cimport int64_t, uint32_t

from dimcore.http.body_reader cimport BodyReader
from dimcore.http.headers cimport HeadPoint
from dimcore.http.router cimport Route
from dimcore.http1.head cimport Head


# Outside the collector: nothing it refers to refers back for longer than the request lives.
@cython.no_gc
cdef class RequestPoint(HeadPoint):
    cdef const char *body_at     # body in the receive buffer, or NULL
    cdef Py_ssize_t body_size    # bytes of the body that came, wherever they are
    cdef int64_t body_missing    # bytes of the body that never came; 0 once it is whole
    cdef int64_t started_ns      # head complete
    cdef int64_t routed_ns       # handler begun; 0 where none was
    cdef int64_t finished_ns     # 0 until answered
    cdef int64_t marked_bytes    # what had moved when its peer was looked at last, or its time began
    cdef int64_t credit_ns       # how long its peer may move nothing, counted from then
    cdef int64_t body_sent       # bytes of the answer's body, for the log
    cdef int status              # of the answer
    cdef uint32_t head_us        # its head took to arrive, microseconds; 0 where it came at once
    cdef readonly object connection   # ConnectionPoint or None
    cdef Route route             # None until routed
    # Decoded on first use.
    cdef str _id
    cdef object _method
    cdef object _path
    cdef object _headers
    cdef object _body
    cdef object coroutine        # the CoroutineRun of its handler or body, the context if none waits; or None
    # None, or called without arguments, once, when the peer of this request in flight sends no more or is gone.
    cdef public object on_peer_done
    cdef BodyReader reader       # while the body is arriving, or None
    cdef object _source          # where a body comes from that is not in memory: a Spool, or a live stream; or None
    cdef object _params
    cdef object _query
    cdef object _cookies
    cdef tuple _origin           # what trusted proxies say: client address, scheme, host, request id

    cdef void adopt(self, Head *head, const char *base) noexcept
    cdef int own(self) except -1
    cdef void take_body(self, object body) noexcept
    cdef void forget(self) noexcept
    cdef tuple origin(self)
    cdef const char *path_bytes(self, Py_ssize_t *size) noexcept


cdef bint is_http_method(int spiral) noexcept


cdef tuple host_and_port(str host, object scheme)      # as text; the scheme's port where none is named
