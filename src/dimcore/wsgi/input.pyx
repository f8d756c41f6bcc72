"""``wsgi.input``: the body of a request as a file to read from (PEP 3333), wherever it comes from.

One that lies in memory is read from there, one in a temporary file from that, and
one that still arrives as it comes: then the thread that reads waits.  Nothing is
copied or opened before the first read.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr

from dimcore.http.request cimport RequestPoint

cdef enum:
    ALL = -1


@cython.final
cdef class Input:
    """The body of one request as a binary file.

    It ends where the body ends, also for one in chunks (``wsgi.input_terminated``).
    Reading blocks until the bytes are there.

    Args:
        pieces: iterable of `bytes`; None for an empty body.

    Raises:
        IncompleteBody: while reading, when the peer leaves or breaks the framing; an OSError.

    Thread-safety: one thread at a time, as a file.
    """

    def __init__(self, pieces=None):
        self.pieces = None if pieces is None else iter(pieces)

    cdef int open(self) except -1:
        cdef RequestPoint request = self.request
        self.request = None
        if request._body is None and request._source is not None:
            self.pieces = iter(request._source)
        else:
            self.piece = request.body
        return 0

    cdef bint more(self) except -1:
        """Have something at hand; False at the end."""
        if self.request is not None:
            self.open()
        while self.piece is None or self.at == PyBytes_GET_SIZE(self.piece):
            self.piece = None
            self.at = 0
            if self.pieces is None:
                return False
            try:
                self.piece = <bytes?> next(self.pieces)
            except StopIteration:
                self.pieces = None
                return False
        return True

    cdef bytes take(self, Py_ssize_t size):
        """Up to `size` bytes of what is at hand, without a copy where that is all of it."""
        cdef Py_ssize_t left = PyBytes_GET_SIZE(self.piece) - self.at
        cdef bytes taken
        if size >= left and self.at == 0:
            taken, self.piece = self.piece, None
            return taken
        size = min(size, left)
        taken = PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.piece) + self.at, size)
        self.at += size
        return taken

    cdef bytes line(self, Py_ssize_t size):
        """The next line, `size` bytes of it at most."""
        cdef list parts = []
        cdef bytes part
        cdef const char *start
        cdef const char *end
        cdef Py_ssize_t left
        while size and self.more():
            start = PyBytes_AS_STRING(self.piece) + self.at
            left = PyBytes_GET_SIZE(self.piece) - self.at
            if size > 0:
                left = min(left, size)
            end = <const char *> memchr(start, c"\n", left)
            part = self.take(left if end == NULL else end - start + 1)
            parts.append(part)
            if end != NULL:
                break
            if size > 0:
                size -= left
        return _joined(parts)

    def read(self, size=-1):
        """Up to `size` bytes, fewer only at the end; all that is left without a size."""
        cdef list parts = []
        cdef bytes part
        cdef Py_ssize_t wanted = _size(size)
        while wanted and self.more():
            part = self.take(wanted if wanted > 0 else PyBytes_GET_SIZE(self.piece))
            parts.append(part)
            if wanted > 0:
                wanted -= PyBytes_GET_SIZE(part)
        return _joined(parts)

    def read1(self, size=-1):
        """Up to `size` bytes of what is there, waiting only for the first of them; ``b""`` at the end."""
        cdef Py_ssize_t wanted = _size(size)
        if wanted == 0 or not self.more():
            return b""
        return self.take(wanted if wanted > 0 else PyBytes_GET_SIZE(self.piece))

    def readinto(self, buffer):
        """Fill a writable buffer, as far as the body goes; how many bytes it was."""
        cdef Py_ssize_t size = memoryview(buffer).nbytes
        cdef bytes found
        if size == 0:
            return 0
        found = self.read(size)
        memoryview(buffer).cast("B")[:PyBytes_GET_SIZE(found)] = found
        return PyBytes_GET_SIZE(found)

    def readline(self, size=-1):
        """The next line with its end, cut after `size` bytes; ``b""`` at the end."""
        return self.line(_size(size))

    def readlines(self, hint=-1):
        """The lines that are left; with a hint, no more once they have that many bytes."""
        cdef list lines = []
        cdef Py_ssize_t most = _size(hint), have = 0
        while line := self.line(ALL):
            lines.append(line)
            have += PyBytes_GET_SIZE(line)
            if 0 < most <= have:
                break
        return lines

    def __iter__(self):
        return self

    def __next__(self):
        cdef bytes line = self.line(ALL)
        if PyBytes_GET_SIZE(line) == 0:
            raise StopIteration
        return line

    # What `io.TextIOWrapper` and `io.BufferedReader` ask of what they are put around.

    def readable(self):
        """True."""
        return True

    def writable(self):
        """False."""
        return False

    def seekable(self):
        """False."""
        return False

    @property
    def closed(self):
        """False."""
        return False

    def flush(self):
        """Nothing."""

    def close(self):
        """Nothing; the server ends it."""


cdef Py_ssize_t _size(object size) except? -2:
    return ALL if size is None else max(<Py_ssize_t> size, <Py_ssize_t> ALL)


cdef bytes _joined(list parts):
    return <bytes> parts[0] if len(parts) == 1 else b"".join(parts)


cdef Input input_of(RequestPoint request):
    cdef Input made = Input.__new__(Input)
    made.request = request
    return made
