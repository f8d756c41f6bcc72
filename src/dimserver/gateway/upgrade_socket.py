"""``gunicorn.socket``: the socket under a request, for WSGI apps that speak WebSocket by themselves.

PEP 3333 knows no other protocol than HTTP, so libraries (simple-websocket, and with it
Flask-Sock and Flask-SocketIO) look for the socket where gunicorn and others put it, and
write ``101 Switching Protocols`` on their own.

    environ["gunicorn.socket"] -- its first use --> TakenSocket, the app's until its call returns

Nothing is taken before the app does something with it, so a request that asks for a
WebSocket and is answered as any other costs one object more.  What the app gets has the
methods of `socket.socket`; it need not be one, since a connection may be encrypted.
"""

from __future__ import annotations

import os
import select
import socket
from _thread import allocate_lock, get_ident
from errno import EBADF, ECONNABORTED, ECONNRESET
from functools import partial

from dimcore.errors import UsageError
from dimcore.wsgi.handover import hand_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dimcore import RequestPoint
    from dimcore.wsgi.handover import HandedOver
    from dimserver.net.threads import Hand

__all__ = ["TakenSocket", "UpgradeSocket", "offer"]

LOOK = 1.0  # seconds between two looks whether the loop, which is to hand over, has ended
NO_ROOM = (
    503,
    {"Content-Type": "text/plain; charset=utf-8", "Retry-After": "1", "Connection": "close"},
    b"no room for another WebSocket\n",
)


def offer(request: RequestPoint, hand: Hand) -> UpgradeSocket | None:
    """What the app of a request finds as its socket; None where it is offered none.

    Args:
        request: one that asks to change the protocol, whose app is about to be called on this thread.
        hand: takes its answer.
    """
    if request.method != "GET" or request.headers.get("content-length", "0") != "0":
        return None
    if "transfer-encoding" in request.headers:
        return None
    protocols = (request.headers.get("upgrade") or "").lower().split(",")
    return UpgradeSocket(request, hand) if "websocket" in map(str.strip, protocols) else None


class UpgradeSocket:
    """The socket, as soon as the app does anything with it.

    Args:
        request: the one that is handled.
        hand: takes its answer.

    Attributes:
        taken: whether it is the app's.
        used: whether the app's answer is not wanted any more: the socket is its, or was refused to it.

    Raises:
        ConnectionResetError: at the first use, the client has left or the answer has begun.
        ConnectionAbortedError: the pool of WebSockets is full or the server is about to stop; the client is told 503.

    Thread-safety: any thread of the app's.
    """

    def __init__(self, request: RequestPoint, hand: Hand) -> None:
        self._request = request
        self._hand = hand
        self._connection = hand.connection
        self._thread = get_ident()
        self._lock = allocate_lock()
        self._over = False
        self._refusal: OSError | None = None
        self._socket: TakenSocket | None = None
        self._handed: HandedOver | None = None
        self.used = False

    @property
    def taken(self) -> bool:
        return self._handed is not None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'taken' if self.taken else 'not taken'}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # `copy` and the like only look
            raise AttributeError(name)
        return getattr(self._take(), name)

    def __enter__(self) -> TakenSocket:
        return self._take()

    def __exit__(self, *error: object) -> None:
        self._take().close()

    # --- the app --------------------------------------------------------------------------------

    def _take(self) -> TakenSocket:
        with self._lock:
            if self._socket is not None:
                return self._socket
            if self._refusal is None and self._over:
                self._refusal = OSError(EBADF, "the call of the app that had this socket is over")
            if self._refusal is None:
                self._wait_for_loop()
            return self._taken()

    def _taken(self) -> TakenSocket:
        if self._refusal is not None:
            raise self._refusal
        if self._socket is None:
            raise ConnectionAbortedError(ECONNABORTED, "the server has stopped")
        self._hand.unwatch(self._thread)
        return self._socket

    def _wait_for_loop(self) -> None:
        if self._hand.is_ending():
            return
        done = allocate_lock()
        done.acquire()
        self._hand.call_on_loop(partial(self._hand_over, done))
        while not done.acquire(timeout=LOOK):
            if self._hand.is_ending():
                return

    def _hand_over(self, done: Any) -> None:
        """On the loop's thread."""
        try:
            if self._connection.fileno < 0:
                raise UsageError("the client has left")
            sock = TakenSocket(fileno=os.dup(self._connection.fileno))
            self._handed = hand_over(self._connection, self._request, sock)
            if self._handed is None:
                self._refusal = ConnectionAbortedError(
                    ECONNABORTED, "no room for another WebSocket, or the server stops"
                )
                sock.close()
            else:
                sock.begin(self._handed.take_received())
                self._socket = sock
            self.used = True
        except UsageError as error:
            self._refusal = ConnectionResetError(ECONNRESET, str(error))
        except OSError as error:
            self._refusal = error
        finally:
            done.release()

    # --- the server -----------------------------------------------------------------------------

    def end(self) -> Any:
        """The app's call has returned; what its request is answered with, or None where the app did that."""
        with self._lock:
            self._over = True
        if self._handed is None:
            return NO_ROOM
        self._handed.finish()
        return None


class TakenSocket(socket.socket):
    """A blocking duplicate of a connection's socket, whose first bytes may have been received already."""

    _received = b""
    _poll: Any = None

    def begin(self, received: bytes) -> None:
        """Block from now on; `received` is read before what the socket has."""
        self.setblocking(True)
        self._received = received
        if received and hasattr(select, "epoll"):
            # Who waits until there is something to read must not wait for what is here.
            self._ready = os.eventfd(1, os.EFD_CLOEXEC)
            self._poll = select.epoll()
            self._poll.register(self._ready, select.EPOLLIN)
            self._poll.register(super().fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """The descriptor; as long as some of what was received before is left, one that is readable."""
        return self._poll.fileno() if self._received and self._poll is not None else super().fileno()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """As of `socket.socket`."""
        return self._first(size, flags) if self._received else super().recv(size, flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """As of `socket.socket`."""
        if not self._received:
            return super().recv_into(buffer, size, flags)
        view = memoryview(buffer).cast("B")
        data = self._first(size or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def recvfrom(self, size: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """As of `socket.socket`."""
        return (self._first(size, flags), None) if self._received else super().recvfrom(size, flags)

    def _first(self, size: int, flags: int) -> bytes:
        data = self._received[:size]
        if not flags & socket.MSG_PEEK:
            self._received = self._received[size:]
            if not self._received:
                self._forget_poll(keep=True)
        return data

    def _forget_poll(self, *, keep: bool) -> None:
        ready, self._ready = getattr(self, "_ready", -1), -1
        if ready >= 0:
            os.close(ready)
        if not keep and self._poll is not None:  # a selector may have it
            self._poll.close()

    def close(self) -> None:
        """As of `socket.socket`."""
        self._received = b""
        self._forget_poll(keep=False)
        super().close()

    def __del__(self) -> None:
        # An app that leaves it to the server, as it may with others, is not told of an unclosed socket.
        self.close()
