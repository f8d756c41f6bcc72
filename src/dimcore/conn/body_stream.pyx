"""A request body as it arrives, for a response driver: chunks in order, with the consumer's pace as the sender's.

The connection feeds, the response driver takes; between them lie `HIGH_WATER` bytes
and one receive at most.  While nobody takes, the socket is not read, so a sender is
held back by TCP and memory stays flat whatever the size of the body.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from dimcore.limits cimport KIB

from dimcore.errors import UsageError

cdef enum:
    HIGH_WATER = 256 * KIB
    LOW_WATER = 64 * KIB
    SMALL = 4 * KIB          # chunks below this are joined: each message costs the program more than that


cdef class BodyConsumer:
    """What takes a body; not for use by itself."""

    cdef int fed(self) except -1:
        return 0


@cython.final
cdef class ArrivingBody:
    """The chunks of one body that were not taken yet.

    Attributes:
        ended: whether no more comes.
        error: why, where the body is not complete; else empty.

    Thread-safety: the loop's thread only.
    """

    def __init__(self):
        raise UsageError("a response driver makes these")

    def feed(self, bytes chunk not None):
        """Bytes of the body have arrived."""
        self.expected = False
        if self.turned:
            self.chunks.reverse()
            self.turned = False
        self.chunks.append(chunk)
        self.waiting += PyBytes_GET_SIZE(chunk)
        if self.waiting >= HIGH_WATER and not self.paused:
            self.paused = True
            self.connection.pause_body()
        self.wake()

    def end(self, str error not None=""):
        """The body is complete, or `error` says why it will never be."""
        self.expected = False
        self.ended = True
        self.error = error
        self.connection = None
        self.wake()

    def read(self):
        """All of the body, for whoever looks at `request.body`."""
        raise UsageError("the body belongs to the response driver")

    cdef int wake(self) except -1:
        if self.owner is not None:
            (<BodyConsumer> self.owner).fed()
        return 0

    cdef object take(self):
        """The next chunk, or None where there is none yet."""
        cdef bytes chunk
        if not self.chunks:
            return None
        if not self.turned:
            self.chunks.reverse()
            self.turned = True
        chunk = self.chunks.pop()
        if PyBytes_GET_SIZE(chunk) < SMALL and self.chunks and self.waiting <= HIGH_WATER:
            self.chunks.reverse()
            self.turned = False
            chunk += b"".join(self.chunks)
            self.chunks.clear()
        self.waiting -= PyBytes_GET_SIZE(chunk)
        if self.paused and self.waiting <= LOW_WATER:
            self.paused = False
            if self.connection is not None:
                self.connection.resume_body()
        return chunk


cdef ArrivingBody make_arriving_body(object connection, bint expected):
    cdef ArrivingBody arriving = ArrivingBody.__new__(ArrivingBody)
    arriving.connection = connection
    arriving.expected = expected
    arriving.chunks = []
    arriving.error = ""
    return arriving
