"""Workers of one server asking each other and their supervisor, over Unix sockets in a directory that is theirs alone.

A question is one message and so is its answer; then the connection ends.  A long
answer is made and sent in slices, one a round of the loop, and never faster than
it is taken.  Nobody waits: both sides are callbacks of a loop, and who does not
answer in time is named as missing.  The directory has mode 0700, so whoever can connect could as
well attach a debugger; what comes is still bounded in size and time.
"""

from __future__ import annotations

import marshal
import os
import socket
import struct
from collections.abc import Iterator
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from dimserver.net.loop import Loop

    Done = Callable[[dict[int, Any], dict[int, str]], object]

__all__ = ["SUPERVISOR", "Peers"]

SUPERVISOR = -1  # its number among the workers
READABLE, WRITABLE = 1, 2
PATIENCE = 0.2  # seconds for an answer: a worker that is well needs a millisecond
HELD = 2.0  # seconds for which a question that was begun, or an answer nobody takes, keeps a descriptor
MOST_QUESTION = 4096  # bytes
MOST_ANSWER = 16 << 20  # bytes; 10,000 connections listed take 3 MB
MOST_ASKING = 32  # questions a worker serves at a time
BACKLOG = 64
PIECE = 1 << 16  # bytes; more at once would be more than a moment's work for either side

# An answer on its way: | kind, 1 byte | size, 4 | plain values |
FRAME = struct.Struct("=BI")
WHOLE, SLICE, LAST = 1, 2, 3  # all there is; one of several; no more of them, and nothing in it


class Peers:
    """One process's place among the others.

    Args:
        directory: where each has its socket; None for a worker that is alone.
        number: this one's, `SUPERVISOR` or a worker's.
        loop: of this process.
        answer: called with a question, a tuple of plain values; returns plain values, or an iterator of such, which
            is asked for one a round.  What either raises is told to `trouble`, and the one who asked gets no answer.
        trouble: told of such an exception.

    Raises:
        OSError: the socket cannot be made.

    Thread-safety: the loop's thread.
    """

    def __init__(
        self,
        directory: str | None,
        number: int,
        loop: Loop,
        answer: Callable[..., Any],
        trouble: Callable[[Exception], object],
    ) -> None:
        self._directory = directory
        self._number = number
        self._loop = loop
        self._answer = answer
        self._trouble = trouble
        self._asked: set[_Asked] = set()
        self._rounds: set[_Round] = set()
        self._listener: socket.socket | None = None
        if directory is not None:
            self._listener = self._listen(self._path(number))

    def _path(self, number: int) -> str:
        return f"{self._directory}/{'supervisor' if number == SUPERVISOR else number}"

    def _listen(self, path: str) -> socket.socket:
        try:
            os.unlink(path)  # of a worker that had this number before
        except FileNotFoundError:
            pass
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.bind(path)
            sock.listen(BACKLOG)
            sock.setblocking(False)
            self._loop.selector.register(sock, READABLE, self._accept)
        except BaseException:
            sock.close()
            raise
        return sock

    def _accept(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except OSError:  # gone again, or out of descriptors: whoever asks names us as missing
            return
        if len(self._asked) >= MOST_ASKING:
            sock.close()
            return
        sock.setblocking(False)
        asked = _Asked(sock, self._loop, self._answer, self._trouble, self._asked.discard)
        self._asked.add(asked)
        self._loop.call_later(HELD, asked.close)

    def move(self, directory: str | None) -> None:
        """Be found in a directory that was made anew, or not at all any more.

        Raises:
            OSError: the socket cannot be made; nobody can ask this worker then.
        """
        self._unlisten()
        self._directory = directory
        if directory is not None:
            self._listener = self._listen(self._path(self._number))

    def ask(self, numbers: Iterable[int], question: tuple[Any, ...], done: Done, seconds: float = PATIENCE) -> None:
        """Ask other workers.

        Args:
            numbers: whom.
            question: plain values.
            done: called once, on a later round of the loop, with the answers by number, a list where one was made in
                slices, and for those without one the reason by number.
            seconds: to wait for the slowest.
        """
        asking = _Round(self._loop, done, seconds, self._rounds.discard)
        self._rounds.add(asking)
        data = marshal.dumps(question)
        for number in numbers:
            if self._directory is None:
                asking.lose(number, "it has no private socket")
            else:
                asking.add(number, self._path(number), data)
        self._loop.call_later(0, asking.begun)

    def forget(self) -> None:
        """In a process forked from this one: give up its descriptors, and leave their other ends as they are."""
        if self._listener is not None:
            self._listener.close()
        for asked in self._asked:
            asked.forget()
        for asking in self._rounds:
            asking.forget()

    @property
    def is_found(self) -> bool:
        """Whether others find it where they look for it."""
        return self._listener is not None and os.path.exists(self._path(self._number))

    def close(self) -> None:
        """Answer no more; again is fine."""
        self._unlisten()
        for asked in list(self._asked):
            asked.close()

    def _unlisten(self) -> None:
        if self._listener is not None:
            self._loop.selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            try:
                os.unlink(self._path(self._number))
            except OSError:  # the directory went first
                pass


class _Asked:
    """A question that somebody asks, from its first byte to the last one of the answer."""

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        answer: Callable[..., Any],
        trouble: Callable[[Exception], object],
        closed: Callable[[_Asked], object],
    ) -> None:
        self._sock = sock
        self._loop = loop
        self._answer = answer
        self._trouble = trouble
        self._closed = closed
        self._data = b""
        self._left = memoryview(b"")
        self._slices: Iterator[Any] | None = None
        loop.selector.register(sock, READABLE, self._ready)

    def _ready(self, mask: int) -> None:
        try:
            if mask & WRITABLE:
                self._send()
                return
            piece = self._sock.recv(MOST_QUESTION)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._data += piece
        try:
            question = marshal.loads(self._data)  # noqa: S302 - of a process of our own, in a directory of our own
        except EOFError:  # not all of it yet
            if not piece or len(self._data) > MOST_QUESTION:
                self.close()
            return
        except (ValueError, TypeError):
            self.close()
            return
        try:
            answer = self._answer(*question)
            if isinstance(answer, Iterator):
                self._slices = answer
                self._next()
            else:
                self._put(WHOLE, marshal.dumps(answer))
        except Exception as error:
            self._fail(error)
            return
        self._loop.selector.modify(self._sock, WRITABLE, self._ready)
        self._ready(WRITABLE)

    def _put(self, kind: int, data: bytes) -> None:
        self._left = memoryview(FRAME.pack(kind, len(data)) + data)

    def _next(self) -> None:
        if self._slices is None:
            return
        try:
            self._put(SLICE, marshal.dumps(next(self._slices)))
        except StopIteration:
            self._slices = None
            self._put(LAST, b"")

    def _fail(self, error: Exception) -> None:
        self.close()
        self._trouble(error)

    def _send(self) -> None:
        # One slice a round: what the socket took, it takes the next of when the loop comes by again.
        if not self._left:
            try:
                self._next()
            except Exception as error:
                self._fail(error)
                return
        self._left = self._left[self._sock.send(self._left[:PIECE]) :]
        if not self._left and self._slices is None:
            self.close()

    def forget(self) -> None:
        self._sock.close()

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.selector.unregister(self._sock)
            self._sock.close()
            self._closed(self)


class _Coming:
    """An answer that arrives.

    Attributes:
        answer: once it is whole; a list of slices where it came in such.
        size: bytes so far.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.answer: Any = None
        self.size = 0
        self._slices: list[Any] = []
        self._data = bytearray()

    def take(self, piece: bytes) -> bool:
        """Take what has come; whether that was the last of it.

        Raises:
            EOFError, ValueError, TypeError: it ends in the middle, or is no answer.
        """
        if not piece:
            raise EOFError
        self.size += len(piece)
        self._data += piece
        while len(self._data) >= FRAME.size:
            kind, size = FRAME.unpack_from(self._data)
            if kind not in (WHOLE, SLICE, LAST):
                raise ValueError("malformed answer")
            if len(self._data) < FRAME.size + size:
                break
            if kind == LAST:
                self.answer = self._slices
                return True
            value = marshal.loads(memoryview(self._data)[FRAME.size : FRAME.size + size])  # noqa: S302 - as above
            if kind == WHOLE:
                self.answer = value
                return True
            self._slices.append(value)
            del self._data[: FRAME.size + size]
        return False


class _Round:
    """One question to several workers, and what came back."""

    def __init__(self, loop: Loop, done: Done, seconds: float, ended: Callable[[_Round], object]) -> None:
        self._ended = ended
        self._loop = loop
        self._done: Done | None = done
        self._seconds = seconds
        self._open: dict[int, _Coming] = {}
        self._answers: dict[int, Any] = {}
        self._missing: dict[int, str] = {}

    def add(self, number: int, path: str, question: bytes) -> None:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            sock.connect(path)
            sock.send(question)  # it fits the buffer of a new socket
            self._loop.selector.register(sock, READABLE, partial(self._ready, number))
        except (FileNotFoundError, ConnectionError):
            sock.close()
            self._missing[number] = "it is gone"
        except OSError as error:  # EAGAIN: it accepts nothing
            sock.close()
            self._missing[number] = "it is busy" if isinstance(error, BlockingIOError) else str(error)
        else:
            self._open[number] = _Coming(sock)

    def forget(self) -> None:
        for coming in self._open.values():
            coming.sock.close()

    def lose(self, number: int, reason: str) -> None:
        self._missing[number] = reason

    def begun(self) -> None:
        if self._open:
            self._loop.call_later(self._seconds, self._late)
        else:
            self._finish()

    def _ready(self, number: int, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        coming = self._open[number]
        try:
            piece = coming.sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        try:
            whole = coming.take(piece)
        except (EOFError, ValueError, TypeError):  # it ended before its answer did
            self._end(number, "it is gone")
            return
        if coming.size > MOST_ANSWER:
            self._end(number, "its answer is too long")
        elif whole:
            self._answers[number] = coming.answer
            self._end(number)

    def _end(self, number: int, reason: str = "") -> None:
        sock = self._open.pop(number).sock
        self._loop.selector.unregister(sock)
        sock.close()
        if reason:
            self._missing[number] = reason
        if not self._open:
            self._finish()

    def _late(self) -> None:
        for number in list(self._open):
            self._end(number, f"no answer within {self._seconds:g} s")

    def _finish(self) -> None:
        done, self._done = self._done, None
        self._ended(self)
        if done is not None:
            done(self._answers, self._missing)
