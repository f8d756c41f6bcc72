"""The request-head parser as an object, for programs that do their own input and output.

The server does not use it: its connections call ``parser.head_parse`` directly.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from dimcore.http1.head cimport (
    ASTERISK_FORM, CHUNKED, EXPECT_CONTINUE, EXPECT_OTHER, HAS_LENGTH, HEAD_FAILED, HEAD_PARTIAL, KEEP_ALIVE, UPGRADE,
    Field, Head, HeadLimits, fault_status, fault_text, head_parse, head_reset,
)
from dimcore.limits cimport KIB, MAX_FIELDS, MAX_HEAD_BYTES

from dimcore.errors import BadRequest, UsageError


@cython.final
cdef class HeadParser:
    """Resumable parser of one request head, for use without the server.

    Args:
        request_line, head, field: limits in bytes; a head has at most 65,535.
        fields: most header fields, at most 100.

    Raises:
        UsageError: a limit out of range.

    Attributes:
        complete: whether the head has ended; the attributes below exist only then.
        failed: whether it was refused.
        method, target, path, query: as sent, bytes; `path` is ``b"/"`` where an absolute target has none.
        host: the authority that counts (RFC 9112 3.3), ``b""`` for an HTTP/1.0 request without one.
        minor: 1 for HTTP/1.1, 0 for HTTP/1.0.
        fields: list of ``(name, value)`` as sent, optional white space around values removed.
        content_length: int, or None without the field.
        chunked, keep_alive, upgrade, expects_continue, expects_other: what framing and routing need.

    Not safe for use from two threads at once.
    Source: RFC 9112 2-3 and 5.
    """

    cdef Head state
    cdef HeadLimits limits
    cdef readonly bint complete
    cdef readonly bint failed
    cdef bytes owner             # what was given, when the whole head lay in it
    cdef const char *base        # start of the head, once complete
    cdef char *kept              # a head that came in pieces
    cdef size_t size
    cdef size_t room

    def __cinit__(self, *, request_line=8 * KIB, head=32 * KIB, field=8 * KIB, fields=MAX_FIELDS):
        for name, value, most in (
            ("request_line", request_line, MAX_HEAD_BYTES), ("head", head, MAX_HEAD_BYTES),
            ("field", field, MAX_HEAD_BYTES), ("fields", fields, MAX_FIELDS),
        ):
            if not 0 < value <= most:
                raise UsageError(f"{name} must be 1 to {most}, not {value!r}")
        self.limits.request_line = request_line
        self.limits.head = head
        self.limits.field = field
        self.limits.fields = fields
        head_reset(&self.state)

    def __dealloc__(self):
        PyMem_Free(self.kept)

    def feed(self, data, /):
        """Take more bytes.

        Args:
            data: bytes-like; only bytes not given before.

        Returns:
            None while the head is incomplete, then the number of bytes of `data`
            that belong to it.

        Raises:
            BadRequest: with `.status`; so does every later call.
            UsageError: the head is complete already; `reset` makes room for the next.

        Lifetime: the parser keeps what it needs.
        """
        cdef bytes given = data if type(data) is bytes else memoryview(data).tobytes()
        cdef const char *text = PyBytes_AS_STRING(given)
        cdef size_t size = PyBytes_GET_SIZE(given), before = self.size
        cdef int length
        if self.failed:
            self._refuse()
        if self.complete:
            raise UsageError("the head is complete; call reset() before the next one")
        if before == 0:
            length = head_parse(&self.state, text, size, &self.limits)
            if length == HEAD_PARTIAL:
                self._keep(text, size)
        else:
            self._keep(text, min(size, self.limits.head - before))
            length = head_parse(&self.state, self.kept, self.size, &self.limits)
        if length == HEAD_PARTIAL:
            return None
        if length == HEAD_FAILED:
            self.failed = True
            self._refuse()
        self.complete = True
        if before == 0:
            self.owner = given
            self.base = text
        else:
            self.base = self.kept
        return length - before

    def reset(self):
        """Forget everything: the next byte given is the first of a head."""
        head_reset(&self.state)
        self.complete = False
        self.failed = False
        self.owner = None
        self.base = NULL
        self.size = 0

    cdef int _keep(self, const char *text, size_t size) except -1:
        cdef size_t room
        cdef char *grown
        if size == 0:
            return 0
        if self.size + size > self.room:
            room = max(self.size + size, self.room * 2)
            grown = <char *> PyMem_Realloc(self.kept, room)
            if grown == NULL:
                raise MemoryError
            self.kept = grown
            self.room = room
        memcpy(self.kept + self.size, text, size)
        self.size += size
        return 0

    cdef int _refuse(self) except -1:
        raise BadRequest(fault_text(self.state.fault).decode(), fault_status(self.state.fault))

    cdef bytes _span(self, Py_ssize_t at, Py_ssize_t size):
        if not self.complete:
            raise UsageError("the head is not complete")
        return PyBytes_FromStringAndSize(self.base + at, size)

    cdef bint _said(self, uint32_t flag) except? True:
        if not self.complete:
            raise UsageError("the head is not complete")
        return self.state.info.flags & flag != 0

    @property
    def method(self):
        return self._span(self.state.info.method_at, self.state.info.method_length)

    @property
    def target(self):
        return self._span(self.state.info.target_at, self.state.info.target_length)

    @property
    def path(self):
        return self._span(self.state.info.path_at, self.state.info.path_length) or (
            b"*" if self.state.info.flags & ASTERISK_FORM else b"/")

    @property
    def query(self):
        return self._span(self.state.info.query_at, self.state.info.query_length)

    @property
    def host(self):
        return self._span(self.state.info.host_at, self.state.info.host_length)

    @property
    def minor(self):
        self._said(0)
        return self.state.info.minor

    @property
    def fields(self):
        cdef Py_ssize_t i
        cdef Field *field
        self._said(0)
        pairs = []
        for i in range(self.state.info.n_fields):
            field = &self.state.fields[i]
            pairs.append((
                self._span(field.name_at, field.name_length), self._span(field.value_at, field.value_length),
            ))
        return pairs

    @property
    def content_length(self):
        return self.state.info.content_length if self._said(HAS_LENGTH) else None

    @property
    def chunked(self):
        return self._said(CHUNKED)

    @property
    def keep_alive(self):
        return self._said(KEEP_ALIVE)

    @property
    def upgrade(self):
        return self._said(UPGRADE)

    @property
    def expects_continue(self):
        return self._said(EXPECT_CONTINUE)

    @property
    def expects_other(self):
        return self._said(EXPECT_OTHER)
