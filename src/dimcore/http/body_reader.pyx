"""Where the pieces of a body go: memory, a temporary file, or a handler that runs already."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcpy

from dimcore.http.spool cimport Spool
from dimcore.http1.body cimport BODY_FAILED, BODY_PIECE, BodyResult, body_step
from dimcore.limits cimport KIB

cdef enum:
    FIRST_BYTES = 4 * KIB    # what a body is given at first
    GATHERED = 64            # pieces of a chunked body that are handed on together


cdef bytes joined(const char **pieces, const size_t *sizes, int count):
    cdef Py_ssize_t size = 0
    cdef bytes whole
    cdef char *out
    cdef int i
    for i in range(count):
        size += sizes[i]
    whole = PyBytes_FromStringAndSize(NULL, size)
    out = PyBytes_AS_STRING(whole)
    for i in range(count):
        memcpy(out, pieces[i], sizes[i])
        out += sizes[i]
    return whole


cdef class BodyReader:
    """Takes one body apart; memory grows with what arrives, never with what was announced."""

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef BodyResult take(self, const char *data, size_t size, size_t *used) except *:
        """Take more bytes: BODY_MORE, BODY_DONE or BODY_FAILED.

        Raises MemoryError, or OSError when the temporary file cannot be written.
        """
        cdef size_t at = 0, step = 0, piece_size = 0
        cdef const char *piece = NULL
        cdef BodyResult result
        if self.sink is not None:
            return self.hand_on(data, size, used)
        while True:
            result = body_step(&self.body, data + at, size - at, &step, &piece, &piece_size)
            if result == BODY_FAILED:
                return result
            at += step
            if result != BODY_PIECE:
                used[0] = at
                return result
            if self.spool is not None:
                self.spool.append(piece, piece_size)
            else:
                self.keep(piece, piece_size)

    cdef BodyResult hand_on(self, const char *data, size_t size, size_t *used) except *:
        """`take` for a sink: all that came goes to it at once, since each time wakes a thread."""
        cdef const char *pieces[GATHERED]
        cdef size_t sizes[GATHERED]
        cdef size_t at = 0, step = 0
        cdef BodyResult result
        cdef int count = 0
        while True:
            result = body_step(&self.body, data + at, size - at, &step, &pieces[count], &sizes[count])
            if result == BODY_PIECE:
                at += step
                count += 1
                if count < GATHERED:
                    continue
            if count:
                self.sink.feed(joined(pieces, sizes, count))
                count = 0
            if result == BODY_FAILED:
                return result
            if result != BODY_PIECE:
                used[0] = at + step
                return result

    cdef int keep(self, const char *piece, size_t size) except -1:
        cdef size_t room
        cdef char *grown
        if self.size + size > self.room:
            room = max(self.size + size, max(self.room * 2, <size_t> FIRST_BYTES))
            if not self.body.chunked:    # no more than there will be: the last doubling would waste half of it
                room = min(room, self.size + size + <size_t> self.body.remaining)
            grown = <char *> PyMem_Realloc(self.data, room)
            if grown == NULL:
                raise MemoryError
            self.data = grown
            self.room = room
        memcpy(self.data + self.size, piece, size)
        self.size += size
        return 0

    cdef int spill(self, Spool spool) except -1:
        """From now on to a file, what is in memory first."""
        spool.append(self.data, self.size)
        self.spool = spool
        return self._emptied()

    cdef int pour(self, object sink) except -1:
        """From now on to `sink`, what is in memory first."""
        if self.size:
            sink.feed(PyBytes_FromStringAndSize(self.data, self.size))
        self.sink = sink
        return self._emptied()

    cdef int _emptied(self) noexcept:
        PyMem_Free(self.data)
        self.data = NULL
        self.size = self.room = 0
        return 0

    cdef object whole(self):
        """The complete body: bytes, or the Spool it is in."""
        if self.spool is not None:
            return self.spool
        return PyBytes_FromStringAndSize(self.data, self.size)
