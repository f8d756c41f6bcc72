"""A body whose bytes come one after the other, and its framing (RFC 9112 7.1).

Two ways to make one.  *Pulled*: an iterator, asked for the next piece when the
peer has read the last ones.  *Pushed*: no iterator; whoever makes the bytes
writes them to the connection and is told when the peer lags (`Push`).

Framing is settled when the head is written: the Content-Length the handler
gave, else chunks, else (HTTP/1.0) the end of the connection.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from dimcore.errors import ResponseError


cpdef bytes as_bytes(object piece):
    """A piece of a body as `bytes`.

    Raises:
        ResponseError: it is neither bytes-like nor `str`.
    """
    if type(piece) is bytes:
        return piece
    if isinstance(piece, str):
        return (<str> piece).encode()
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    raise ResponseError(f"a piece of a body must be bytes or str, not {type(piece).__name__}")


cdef class Outflow:
    """A body that is made while it is sent.

    Args:
        source: iterator or iterable of `bytes` or `str`; None for a body that is pushed.

    Its iterator is closed when the body ends, fails or nobody wants it any more.
    Good for one answer: another that is given the same object becomes a 500.
    """

    def __cinit__(self):
        self.declared = -1

    def __init__(self, source=None):
        self.iterator = None if source is None else iter(source)

    def close(self):
        """Let the iterator end (a generator sees GeneratorExit)."""
        self.release()

    cdef void release(self) noexcept:
        iterator, self.iterator = self.iterator, None
        self.first = None
        self.transform = None
        self.ended = True
        close = getattr(iterator, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:
                import sys
                sys.unraisablehook(_Unraisable(error, iterator))

    cdef int claim(self) except -1:
        """Take it for the one answer that may send it."""
        if self.claimed:
            raise ResponseError(f"this {type(self).__name__} is the body of another answer already: make one for each")
        self.claimed = True
        return 0

    cdef int prime(self) except -1:
        """Pull the first piece, so that a source that fails at once gets an error answer, not half a good one.

        Returns whether there is a body.
        """
        if self.iterator is not None and self.first is None:
            self.first = self.take()
            return self.first is not None
        return True

    cdef object take(self):
        """The next piece that is not empty, or None at the end."""
        cdef bytes piece
        if self.first is not None:
            piece, self.first = self.first, None
            return piece
        if self.ended or self.iterator is None:
            return None
        while True:
            try:
                piece = as_bytes(next(self.iterator))
            except StopIteration:
                self.ended = True
                return None
            if PyBytes_GET_SIZE(piece):      # an empty chunk would end the body
                return piece

    cdef int count(self, Py_ssize_t size) except -1:
        """Take note of `size` bytes about to be sent; more than were declared are an error."""
        if self.declared >= 0 and self.sent + size > self.declared:
            raise ResponseError(f"the body has more bytes than the {self.declared} its Content-Length says")
        self.sent += size
        return 0

    cdef bytes change(self, bytes piece, bint last):
        """What its transform makes of a piece, and of the end behind the last one."""
        piece = self.transform.feed(piece) if piece else b""
        if last:
            piece += self.transform.end()
        self.passed += PyBytes_GET_SIZE(piece)
        return piece

    cdef int64_t bytes_out(self) noexcept:
        """Bytes of the body that went out so far."""
        return self.sent if self.transform is None else self.passed

    cdef int expect_end(self) except -1:
        """All that was declared is there: the source has to agree."""
        cdef object more = self.take()
        return 0 if more is None else self.count(PyBytes_GET_SIZE(more))

    cdef int open_chunk(self, Writer writer, Py_ssize_t size) except -1:
        cdef char line[20]
        cdef int at = 20
        if not self.chunked:
            return 0
        at -= 2
        line[at] = c"\r"
        line[at + 1] = c"\n"
        while size:
            at -= 1
            line[at] = b"0123456789abcdef"[size & 15]
            size >>= 4
        return writer.append(line + at, 20 - at)

    cdef int close_chunk(self, Writer writer) except -1:
        return writer.append(b"\r\n", 2) if self.chunked else 0

    cdef int finish(self, Writer writer) except -1:
        """Write the end; raises where bytes that were declared are missing."""
        if self.declared >= 0 and self.sent < self.declared:
            raise ResponseError(f"the body ended after {self.sent} of {self.declared} bytes its Content-Length says")
        return writer.append(b"0\r\n\r\n", 5) if self.chunked else 0


cdef class Push(Outflow):
    """A body whose bytes somebody writes as they come.

    Args:
        on_drain: called without arguments when the peer has caught up after `write` said False.
        on_close: called without arguments when the answer ended before `end`: nobody wants the rest.

    To be given as the body of one answer; it can be written once the head was sent.

    Thread-safety: the loop's thread only.
    """

    def __init__(self, on_drain=None, on_close=None):
        self.on_drain = on_drain
        self.on_close = on_close

    def write(self, data):
        """Send a piece; `on_drain` may.

        Returns:
            False when the peer lags: wait for `on_drain`.  True too when the answer is over and `data` was dropped.

        Raises:
            ResponseError: no `bytes` or `str`.
            UsageError: called from a handler of another connection, or from another thread.
        """
        if self.connection is None:
            return True
        return self.connection.push(self, as_bytes(data))

    def end(self, error=None):
        """The body is complete; with `error` it is cut off, so that the peer can tell.  `on_drain` may.

        Raises:
            UsageError: as `write`.
        """
        if self.connection is not None:
            self.connection.end_push(self, error)

    cdef int drained(self) except -1:
        """The peer has caught up."""
        if self.on_drain is not None:
            self.on_drain()
        return 0

    cdef void release(self) noexcept:
        cdef object on_close = self.on_close
        self.connection = None
        self.on_drain = self.on_close = None
        if not self.ended and on_close is not None:
            self.ended = True
            try:
                on_close()
            except BaseException as error:
                import sys
                sys.unraisablehook(_Unraisable(error, on_close))


@cython.final
cdef class AsyncSource(Outflow):
    """A body an async iterable makes: it stands for the `Push` that follows once there is a first piece."""

    def __init__(self, pieces):
        self.pieces = pieces


def stream_source(result):
    """The iterable that makes the body of a handler's result, or None when the body is there already.

    Args:
        result: what a handler returned.
    """
    cdef object body
    if type(result) is tuple:
        body = (<tuple> result)[2] if len(<tuple> result) == 3 else None
    elif isinstance(result, (bytes, str, dict, list, bytearray, memoryview)):
        return None
    elif hasattr(result, "__next__"):
        return result
    else:
        body = getattr(result, "body", None)
    return body if is_source(body) else None


cdef bint is_source(object body) noexcept:
    """Whether a body is an iterable of pieces and not a piece itself."""
    if type(body) is bytes or isinstance(body, (bytes, str, dict, list, bytearray, memoryview, Outflow)):
        return False
    return hasattr(body, "__next__") or hasattr(body, "__iter__")


class _Unraisable:
    # What sys.unraisablehook reads: a generator that fails while it is closed has nobody to tell.
    def __init__(self, error, source):
        self.exc_type = type(error)
        self.exc_value = error
        self.exc_traceback = error.__traceback__
        self.err_msg = "a response body failed while it was closed"
        self.object = source
