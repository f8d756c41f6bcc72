"""What a handler returned, brought into one form.

A handler may return ``(status, headers, body)``, ``bytes``, ``str``, a ``dict``
or ``list`` (JSON), or an object with `status`, `headers` and `body`.
"""

from dimcore.stream cimport Composite, FileBody

from dimcore.errors import ResponseError

cdef object _dumps = None


cdef bytes _json(object value):
    global _dumps
    if _dumps is None:
        # Imported on first use: a server without JSON answers starts faster without it.
        from json import JSONEncoder
        _dumps = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    return (<str?> _dumps(value)).encode()


cdef class Answer:
    """Scratch of one worker: the last answer, unpacked."""

    cdef void clear(self) noexcept:
        self.headers = None
        self.body = None

    cdef int take(self, object result) except -1:
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
        self.status = status if 0 <= status <= 999 else 0
        if type(body) is bytes:
            self.body = body
        elif type(body) is str:
            self.body = (<str> body).encode()
            if self.content_type == NULL:
                self.content_type = b"text/plain; charset=utf-8"
        elif isinstance(body, (FileBody, Composite)):
            self.body = body
        elif body is None:
            self.body = b""
        elif isinstance(body, (bytes, bytearray, memoryview)):
            self.body = bytes(body)
        elif isinstance(body, (dict, list)):
            self.body = _json(body)
            self.content_type = b"application/json"
        else:
            raise ResponseError(
                "a body must be bytes, str, dict, list, FileBody, Composite or None, "
                f"not {type(body).__name__}"
            )
        return 0

    cdef int _take_object(self, object result) except -1:
        if isinstance(result, (bytearray, memoryview)):
            return self.take(bytes(result))
        if isinstance(result, str):
            return self.take(str(result))
        try:
            parts = (result.status, result.headers, result.body)
        except AttributeError:
            raise ResponseError(
                "a handler must return (status, headers, body), a Response, bytes, str, dict or list, "
                f"not {type(result).__name__}"
            ) from None
        return self.take(parts)
