"""The body of an ASGI answer while it is streamed: its pieces, what is gathered of them, and its trailers.

    piece ──┬─ the first for a while ──────────────► sent at once
            └─ close behind another ─► gathered ──┬─ 256 KiB, or the last of it ─► sent in one call
                                                  └─ the loop's turn is over ────► sent in one call

A send costs the kernel, which wakes the peer each time, more than the bytes of a
64 KiB piece do: gathered, 100 MiB take half of the CPU time.  What is alone goes
out at once, so an event stream is not delayed; nor is anything by more than the
turn of the loop in which the app went on sending.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from dimcore.conn.exchange cimport APART_BYTES
from dimcore.conn.phase cimport GONE
from dimcore.http1.head_writer cimport Writer
from dimcore.limits cimport KIB
from dimcore.net.socket_io cimport PIECES_MOST

cdef enum:
    GATHER_BYTES = 256 * KIB     # sent together
    GATHER_NS = 1000000          # how soon a piece has to come behind another to be gathered


@cython.final
cdef class AsgiFlow(Push):
    """See the module."""

    cdef bint gather(self, bytes piece, int64_t now) except -1:
        """Keep a piece to be sent with others; False where it is to be sent now, with what there is."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
        if self.held is None:
            if now - self.sent_ns > GATHER_NS or size >= GATHER_BYTES:
                return False
            self.held = []
        elif self.held_bytes + size >= GATHER_BYTES:
            return False
        self.held.append(piece)
        self.held_bytes += size
        return True

    cdef int put(self, Exchange at, bytes piece, bint last) except -1:
        """Send what was gathered and a piece more, and the end if that is the last; what is small is only written."""
        cdef Writer writer = at.site.core.scratch.writer
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece), total = self.held_bytes + size
        cdef list pieces = self.held
        self.held = None
        self.held_bytes = 0
        self.sent_ns = at.site.core.now_ns
        if pieces is None:
            pieces = [piece]
        elif size:
            pieces.append(piece)
        if self.transform is not None:
            pieces = [self.change(pieces[0] if len(pieces) == 1 else b"".join(pieces), last)]
            total = len(<bytes> pieces[0])
        if total >= APART_BYTES:
            if len(pieces) > PIECES_MOST:
                pieces = [b"".join(pieces)]
            if last and self.trailers is None:
                return at.write_pieces(self, pieces, total, True)
            at.write_pieces(self, pieces, total, False)
        elif total:
            at.put_piece(self, <bytes> pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return self.finish(writer) if last and not at.state & GONE else 0

    def turn_over(self):
        """The loop's call."""
        self.due = False
        if self.owner is not None and self.held is not None:
            self.owner.turn_over()

    # --- what its connection asks of it ---------------------------------------------------------

    cdef int drained(self) except -1:
        return 0 if self.owner is None else self.owner.wake()

    cdef int finish(self, Writer writer) except -1:
        if not self.chunked:
            return 0
        writer.append(b"0\r\n", 3)
        if self.trailers is not None:
            writer.append(PyBytes_AS_STRING(self.trailers), PyBytes_GET_SIZE(self.trailers))
        return writer.append(b"\r\n", 2)

    cdef void release(self) noexcept:
        cdef Awaited owner = self.owner
        self.connection = None
        self.owner = None
        self.trailers = None
        self.held = None
        if owner is not None and not self.ended:
            self.ended = True
            owner.gone()
