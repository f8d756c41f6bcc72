"""A body whose bytes come one after the other, and its framing (RFC 9112 7.1).

Two ways to make one.  *Pulled*: an iterator, asked for the next piece when the
peer has read the last ones.  *Pushed*: no iterator; whoever makes the bytes
writes them to the connection and is told when the peer lags (`Push`).

Framing is settled when the head is written: the Content-Length the handler
gave, else chunks, else (HTTP/1.0) the end of the connection.
"""

from cpython.bytes cimport PyBytes_GET_SIZE

from dimcore.errors import ResponseError


cdef bytes as_bytes(object piece):
    """A piece of a body as bytes; ResponseError for what is none."""
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
    """

    def __cinit__(self, source=None):
        self.iterator = None if source is None else iter(source)
        self.declared = -1

    def close(self):
        """Let the iterator end (a generator sees GeneratorExit)."""
        self.release()

    cdef void release(self) noexcept:
        iterator, self.iterator = self.iterator, None
        self.first = None
        self.ended = True
        close = getattr(iterator, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:
                import sys
                sys.unraisablehook(_Unraisable(error, iterator))

    cdef int prime(self) except -1:
        """Pull the first piece, so that a source that fails at once gets an error answer, not half a good one."""
        if self.iterator is not None:
            self.first = self.take()
            if self.first is None:
                self.ended = True
        return 0

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
            raise ResponseError(f"the body ended after {self.sent} of the {self.declared} bytes its Content-Length says")
        return writer.append(b"0\r\n\r\n", 5) if self.chunked else 0


class _Unraisable:
    # What sys.unraisablehook reads: a generator that fails while it is closed has nobody to tell.
    def __init__(self, error, source):
        self.exc_type = type(error)
        self.exc_value = error
        self.exc_traceback = error.__traceback__
        self.err_msg = "a response body failed while it was closed"
        self.object = source
