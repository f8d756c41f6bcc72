cimport cython
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from dimcore.http.body_reader cimport BodyReader
from dimcore.http.headers cimport HeadPoint
from dimcore.http.router cimport Route
from dimcore.http1.head cimport ASTERISK_FORM, Head, HeadInfo
from dimcore.limits cimport OTHER


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

    cdef int own(self) except -1
    cdef void take_body(self, object body) noexcept
    cdef tuple origin(self)

    # What every request does, inline.

    @cython.final
    cdef inline void adopt(self, Head *head, const char *base) noexcept:
        """Take over a parsed head whose bytes start at `base` (not copied)."""
        self.info = head.info
        self.base = base
        self.fields = head.fields
        if self.index == NULL:           # in an index, its cell goes by the spiral: that one moves it
            self.spiral = head.info.method
        self.finished_ns = 0
        self.body_missing = 0

    @cython.final
    cdef inline void forget(self) noexcept:
        """Make the object fit for the next request; only its one owner may call this."""
        self.connection = None
        self.route = None
        # Looked at first: most are empty still, and an assignment costs two reference counts.
        if self.owner is not None:
            self.owner = None
        if self.given_headers is not None:
            self.given_headers = None
        if self._id is not None:
            self._id = None
        if self._method is not None:
            self._method = None
        if self._path is not None:
            self._path = None
        if self._headers is not None:
            self._headers = None
        if self._body is not None:
            self._body = None
        if self._source is not None:
            self._source = None
        if self.coroutine is not None:
            self.coroutine = None
        if self.on_peer_done is not None:
            self.on_peer_done = None
        if self._params is not None:
            self._params = None
        if self._query is not None:
            self._query = None
        if self._cookies is not None:
            self._cookies = None
        if self._origin is not None:
            self._origin = None
        self.base = NULL
        self.fields = NULL
        self.body_at = NULL
        self.body_size = 0
        self.body_missing = 0
        # All of it: the object may be looked at again before the next head is complete.
        memset(&self.info, 0, sizeof(HeadInfo))
        self.info.content_length = -1
        self.info.method = OTHER

    @cython.final
    cdef inline const char *path_bytes(self, Py_ssize_t *size) noexcept:
        """The raw path; "/" where an absolute target has none, and "*" for OPTIONS."""
        if self.info.path_length == 0:
            size[0] = 1
            return b"*" if self.info.flags & ASTERISK_FORM else b"/"
        size[0] = self.info.path_length
        return self.base + self.info.path_at


cdef bint is_http_method(int spiral) noexcept


cdef tuple host_and_port(str host, object scheme)      # as text; the scheme's port where none is named
