# cython: nonecheck=True
# What `__new__` alone makes has None for each of its parts: that is an exception, not a crash.
"""A connection whose socket a WSGI app has taken: what the core does with it until the app's call returns.

    request on a thread -> hand_over -> the app reads and writes -> finish -> lingering -> closed

The core reads and writes nothing meanwhile, and watches nothing.  The connection stands
in pool 1 as other upgraded ones do, *idle* since nobody here knows what happens on it,
and no time limit ends it.  It ends when the app's call has returned, at the drain limit,
when an operator closes it, or when its peer is gone and the app notices.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t

from dimcore.conn.core cimport Core
from dimcore.conn.exchange cimport Exchange, note, unnote
from dimcore.conn.phase cimport CLOSE, GONE, LINGER, PEER_DONE
from dimcore.conn.protocol cimport Protocol
from dimcore.http.request cimport RequestPoint
from dimcore.index.states cimport CLOSE_BEGUN
from dimcore.limits cimport CLOSING
from dimcore.net.socket_io cimport socket_transport, stream_cut, stream_unblock

from dimcore.errors import UsageError

cdef enum:
    BOTH_WAYS = 2                # SHUT_RDWR


@cython.final
@cython.no_gc
cdef class HandedOver(Protocol):
    """The core's side of such a connection; made by `hand_over`.

    Thread-safety: the loop's thread; `finish` is for any.
    """

    def __init__(self):
        raise UsageError("hand_over makes these")

    def take_received(self):
        """What the client had sent behind its request when the app took over; once, then ``b""``."""
        received, self.received = self.received, None
        return b"" if received is None else received

    def finish(self):
        """The app's call has returned: close the connection once its client has read everything.  Any thread."""
        if self.exchange is None:
            raise UsageError("hand_over makes these")
        self.over = True
        self.exchange.site.core.host.from_thread(self.exchange.read_on)

    # --- the connection -------------------------------------------------------------------------

    cdef int take(self, char *data, size_t size) except -1:
        """What has come so far, once: from here on the app reads."""
        if size:
            self.received = PyBytes_FromStringAndSize(data, size)
        # A client that sends no more and reads on is the app's to judge.
        unnote(self.exchange, PEER_DONE)
        return self.exchange.watch(0)

    cdef int take_unread(self) except -1:
        """`finish`, on the loop."""
        cdef Exchange exchange = self.exchange
        if self.over and not exchange.state & (CLOSE | GONE):
            stream_unblock(exchange.fd)      # as the app's duplicate did not want it
            note(exchange, CLOSE | LINGER)
        return 0

    cdef uint8_t wanted(self) noexcept:
        return 0

    cdef bint is_alive(self) except -1:
        """Nobody here knows: that is for the app to find out."""
        cdef Exchange exchange = self.exchange
        cdef Core core = exchange.site.core
        core.connection_index.relink(exchange, exchange.spiral, exchange.layer, core.now_ns)
        return True

    cdef bint depart(self) except -1:
        """The app goes on until the drain limit; anybody else who closes the connection means at once."""
        cdef Exchange exchange = self.exchange
        if exchange.site.core.draining and not self.leaving:
            self.leaving = True
            if exchange.layer != CLOSING:
                exchange.move(CLOSE_BEGUN)
            return True
        stream_cut(exchange.fd, True)    # the app may be waiting at its duplicate
        return False

    cdef int tell_end(self) except -1:
        """Let the app read the end of the stream: it can still say goodbye."""
        stream_cut(self.exchange.fd, False)
        return 0

    cdef int64_t memory(self) noexcept:
        return 0 if self.received is None else PyBytes_GET_SIZE(self.received)

    cdef int give_up(self, int code, str reason) except -1:
        self.received = None
        note(self.exchange, CLOSE)
        return 0

    cdef void gone(self) noexcept:
        sock, self.sock = self.sock, None
        self.received = None
        if sock is not None:
            try:
                sock.shutdown(BOTH_WAYS)     # else what the app has would outlive the connection
            except Exception:
                pass                         # it is closed


@cython.final
cdef class Handover(ProtocolFactory):
    """Makes nothing: `hand_over` has the protocol already."""

    def __cinit__(self):
        self.answers = True

    cdef Protocol open(self, object exchange, object handler, RequestPoint request, object protocol, object codec):
        cdef HandedOver made = <HandedOver?> handler
        if made.exchange is not exchange:
            raise UsageError("hand_over makes these")
        return made


cdef Handover HANDOVER = Handover()


def hand_over(connection not None, RequestPoint request not None, sock):
    """Give a connection's socket to the app that serves its request, which answers by itself.

    To be called on the loop while the request's handler runs on a thread.  The request counts as answered with 101;
    what the handler returns is not looked at any more.

    Args:
        connection: a Connection.
        request: the one in flight.
        sock: a duplicate of the connection's socket; its `shutdown` is called when the connection ends.

    Returns:
        A `HandedOver`, or None where the server is about to stop or the pool of WebSockets has no room.

    Raises:
        UsageError: nobody waits for the answer to this request any more, or it has begun; or the connection is not
            carried by a plain socket.
    """
    cdef HandedOver made = HandedOver.__new__(HandedOver)
    made.exchange = <Exchange?> connection
    if made.exchange.site is None or made.exchange.site.transport != socket_transport():
        raise UsageError("what carries this connection is no plain socket")
    made.sock = sock
    return made if connection.upgrade_late(request, HANDOVER, made) else None
