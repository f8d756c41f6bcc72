# cython: nonecheck=True
# What `__new__` alone makes has None for each of its parts: that is an exception, not a crash.
"""The coroutine form of a WebSocket's handler: ``async for message in ws``.

The coroutine is begun when the handshake is answered, with its first step in the
same event, and runs on within the events that bring its messages
(`async_queue.pyx`, `wakeup.pyx`).  When it returns the socket is closed with 1000,
when it raises with 1011.
"""

cimport cython

from dimcore.aio.task_runner cimport Runner
from dimcore.aio.waiters cimport DONE
from dimcore.ws.async_queue cimport SocketQueue, make_receive_wait
from dimcore.ws.websocket cimport WebSocket

from dimcore.errors import ConnectionClosed
from dimcore.reports import Report

cdef enum:
    CODE_NORMAL = 1000
    CODE_INTERNAL = 1011


@cython.final
cdef class AsyncSocket(SocketQueue):
    """An open WebSocket, as a coroutine sees it; made by the server.

    Args:
        function: called with the socket; returns a coroutine.

    Attributes:
        close_code: how it ended: the peer's code, 1005 where it named none, 1006 where it left without a goodbye.
            0 before.
        close_reason: the text given with that.

    A handler is not cancelled when its peer leaves: iteration ends, and what else it awaits of the socket raises.
    When the server stops, the peer is told so, and a handler that goes on is cancelled in the end.

    Thread-safety: the loop's thread only.
    """

    def __cinit__(self, function):
        self.function = function

    # --- the program ----------------------------------------------------------------------------

    @property
    def connection(self):
        """The Connection, whose age, address and tallies it has."""
        return None if self.socket is None else self.socket.connection

    @property
    def request(self):
        """The request it began with."""
        return self.asked

    @property
    def subprotocol(self):
        """The subprotocol agreed on, or None."""
        return None if self.socket is None else self.socket.subprotocol

    @property
    def open(self):
        """Whether something can be sent: neither side has said goodbye, and the connection is there."""
        return self.socket is not None and self.socket.open

    @property
    def buffered(self):
        """Bytes that wait for the peer to read."""
        return 0 if self.socket is None else self.socket.buffered

    def __aiter__(self):
        return self

    def __anext__(self):
        return make_receive_wait(self, True)

    def receive(self):
        """The next message: `str` or `bytes`.

        Raises:
            ConnectionClosed: there is none, and will be none.
            UsageError: another coroutine receives already.
        """
        return make_receive_wait(self, False)

    def send(self, message):
        """Send a message: text for `str`, else binary.  Sent when called; awaited, it waits until the peer keeps up.

        Args:
            message: `str`, or bytes-like.

        Raises:
            ConnectionClosed: the socket is not open, or not any more once the peer would have caught up.
            UsageError: neither text nor bytes.
            UnicodeEncodeError: text with half a surrogate pair, which UTF-8 has no form for.
        """
        return self.put_out(message)

    def ping(self, data=b""):
        """Ask the peer for a pong, beside those the server sends by itself; at most 125 bytes, which come back."""
        self.opened_socket().ping(data)
        return DONE

    def close(self, int code=1000, str reason not None=""):
        """Say goodbye; again is fine.  Awaited, it waits until the connection is closed.

        Args:
            code: 1000 to 1003, 1007 to 1014, 3000 to 4999.
            reason: at most 123 bytes of UTF-8.

        Raises:
            UsageError: another code, or a longer reason.
        """
        self.opened_socket().close(code, reason)
        return self.end()

    def call_from_thread(self, call, *args):
        """See `WebSocket.call_from_thread`."""
        self.opened_socket().call_from_thread(call, *args)

    # --- the server -----------------------------------------------------------------------------

    cdef int opened(self, WebSocket ws) except -1:
        self.asked = ws.asked
        try:
            self.start(ws)
            self.begin()
        except BaseException as error:
            self.complete(None, None, error)
            if isinstance(error, KeyboardInterrupt):
                raise
        return 0

    cdef int begin(self) except -1:
        cdef Runner runner = <Runner> self.socket.connection.site.core.host.runner
        if runner.begin(self, None, self.function(self), None) is None:
            runner.take_result()
            runner.take_context()
            self.complete(None, None, None)
        return 0

    def complete(self, request, result, error):
        """The coroutine ended; its Runner's call."""
        cdef WebSocket ws = self.socket
        if error is not None and not _is_closed(error):
            ws.connection.site.core.tell(Report.WEBSOCKET_FAILED, self.asked, error)
            self.stop(CODE_INTERNAL)
        else:
            self.stop(CODE_NORMAL)


cdef bint _is_closed(object error) except -1:
    """Whether a handler learned no more than that its socket is closed, be it in several of its Tasks."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(ConnectionClosed)[1] is None
    return isinstance(error, ConnectionClosed)
