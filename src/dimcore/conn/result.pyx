"""What a handler returned, brought into one form.

A handler may return ``(status, headers, body)``, ``bytes`` and the like, ``str``,
a ``dict`` or ``list`` (JSON), an object with `status`, `headers` and `body`, or an
iterator of pieces, sync or async, as a generator function does.  A body may be an
iterable too.
"""

cimport cython
from dimcore.aio.task_runner cimport is_async_iterable
from dimcore.conn.streamed_body cimport AsyncSource, Outflow, is_source
from dimcore.net.socket_io cimport Composite, FileBody, discard_body

from dimcore.errors import ResponseError

cdef extern from "Python.h":
    bytes PyBytes_FromObject(object data)    # bytes() would ask a subclass, and take what it says

cdef enum:
    FILE_PIECE = 65536

cdef object _dumps = None
cdef object _dumps_ascii = None


cdef bytes _json(object value):
    """RFC 8259 text in UTF-8: NaN and infinities, which it has no form for, are errors."""
    global _dumps, _dumps_ascii
    if _dumps is None:
        # Imported on first use: a server without JSON answers starts faster without it.
        from json import JSONEncoder
        _dumps = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
        _dumps_ascii = JSONEncoder(allow_nan=False, separators=(",", ":")).encode
    try:
        return (<str?> _dumps(value)).encode()
    except UnicodeEncodeError:           # a lone surrogate, as of an undecodable file name: it has to be escaped
        return (<str?> _dumps_ascii(value)).encode()


@cython.final
@cython.auto_pickle(False)      # which would read through a pointer that may be NULL
cdef class Result:
    """Scratch of one worker: the last answer, unpacked."""

    cdef int take_any(self, object result) except -1:
        """Unpack `result`.

        Raises:
            ResponseError: it is none of the forms above.
        """
        cdef object body
        if type(result) is tuple and len(<tuple> result) == 3:
            status, self.headers, body = <tuple> result
            self.content_type = NULL
        elif type(result) is bytes:
            status = 200
            self.headers = None
            body = result
            self.content_type = b"application/octet-stream"
        elif type(result) is str:
            status = 200
            self.headers = None
            body = result
            self.content_type = NULL
        elif isinstance(result, (dict, list)):
            status = 200
            self.headers = None
            body = _json(result)
            self.content_type = b"application/json"
        else:
            return self._take_object(result)
        if type(status) is not int:
            if not isinstance(status, int) or isinstance(status, bool):
                raise ResponseError(f"a status must be an int, not {status!r:.60}")
            status = int(status)
        if not 0 <= status <= 999:       # the writer knows which of the rest may be sent
            raise ResponseError(f"status {status} is not between 200 and 599")
        self.status = status
        if type(body) is bytes:
            self.body = body
        elif type(body) is str:
            self.body = (<str> body).encode()
            if self.content_type == NULL:
                self.content_type = b"text/plain; charset=utf-8"
        elif isinstance(body, (FileBody, Composite, Outflow)):
            self.body = body
        elif body is None:
            self.body = b""
        elif isinstance(body, (bytes, bytearray, memoryview)):
            self.body = PyBytes_FromObject(body)
        elif isinstance(body, str):
            self.body = str.encode(body)
            if self.content_type == NULL:
                self.content_type = b"text/plain; charset=utf-8"
        elif isinstance(body, (dict, list)):
            self.body = _json(body)
            self.content_type = b"application/json"
        elif is_source(body):
            self.body = Outflow(body)
        elif is_async_iterable(body):
            self.body = AsyncSource(body)
        else:
            raise ResponseError(
                "a body must be bytes, str, dict, list, an iterable or async iterable of bytes or str, FileBody, "
                f"Composite or None, not {type(body).__name__}"
            )
        return 0

    cdef int _take_object(self, object result) except -1:
        if isinstance(result, (bytes, bytearray, memoryview)):
            return self.take_any(PyBytes_FromObject(result))
        if isinstance(result, str):
            return self.take_any(str(result))
        if hasattr(result, "__next__") or is_async_iterable(result):     # the handler is a generator
            return self.take_any((200, None, result))
        try:
            parts = (result.status, result.headers, result.body)
        except AttributeError:
            raise ResponseError(
                "a handler must return (status, headers, body), a Response, bytes, str, dict, list or an iterator, "
                f"not {type(result).__name__}"
            ) from None
        return self.take_any(parts)


# --- a body is good for one answer --------------------------------------------------------------

cdef int claim(object body) except -1:
    """Take a body that is good for one answer only; raises ResponseError where it is another's."""
    if type(body) is bytes:
        return 0
    if isinstance(body, Outflow):
        return (<Outflow> body).claim()
    if isinstance(body, FileBody):
        (<FileBody> body).claim()
    else:
        (<Composite?> body).claim()
    return 0


cdef void discard_unsent(object result) noexcept:
    """Give up the body of a handler's result that nobody waits for, unless it is another answer's."""
    if type(result) is not tuple or len(<tuple> result) != 3:
        return
    body = (<tuple> result)[2]
    try:
        if isinstance(body, (Outflow, FileBody, Composite)):
            claim(body)
            discard(body)
    except ResponseError:
        pass


cdef void discard(object body) noexcept:
    """Give up a body that is not sent: close its files, or end its source."""
    if isinstance(body, Outflow):
        (<Outflow> body).release()
    else:
        discard_body(body)


def pieces_of(body):
    """The bytes of a FileBody or Composite that was claimed, for who cannot leave them to the kernel.

    Raises:
        ResponseError: a file is shorter than it was; what was promised cannot be kept.
    """
    cdef FileBody file
    cdef bytes piece
    try:
        for part in (body.parts if type(body) is Composite else (body,)):
            if type(part) is bytes:
                yield part
                continue
            file = <FileBody?> part
            while file.length:
                piece = file.read(FILE_PIECE)
                if not piece:
                    raise ResponseError("the file is shorter than it was when the answer began")
                yield piece
    finally:
        discard_body(body)
