"""What a supervisor and its worker say to each other: small messages over a socket pair, sockets included.

A message is a tuple of plain values, a word first.  The words are all here:

    worker → supervisor                            supervisor → worker
    ("loaded", settings of the app)                ("serve", number of workers, [(admin, kept) of each socket])
    ("ready",)                                     ("drain", linger seconds, last)
    ("ended", counts)                              ("assist", slot), with its socket
    ("stop",)                                      ("unassist", slot)
    ("pong",)                                      ("accept",)
                                                   ("directory", path of the private sockets, or None)
    ("failed", exit code, text, traceback)         ("reopen",)
    ("leave", reason)                              ("ping",)
    ("signalled", name)

The end of the stream is the end of the other process, however it came.
"""

from __future__ import annotations

import marshal
import os
import socket
import struct
from array import array
from select import POLLIN, POLLOUT, poll  # by name: an app that patches the module (eventlet) takes it from there

from dimserver.net.forks import cut_off

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Message = tuple[object, ...]

__all__ = ["Channel"]

HEADER = struct.Struct("!I")
MOST = 1 << 20  # bytes of a message; a traceback is cut long before
MOST_DESCRIPTORS = 64  # of one message; the kernel takes 253 (SCM_MAX_FD)
# Without it a received descriptor is inherited by whatever an app starts; macOS has no such flag.
CLOSED_BY_EXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
PATIENCE = 5.0  # seconds to wait for room in the socket's buffer, which holds a hundred messages


class Channel:
    """One end.

    Args:
        sock: this end of a stream socket pair; closed by `close`.

    Thread-safety: one thread.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._pending = bytearray()
        self._descriptors: list[int] = []
        self._ready: list[Message] = []

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two ends of a new one."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """To be watched for reading."""
        return self._sock.fileno()

    def send(self, *message: object, descriptors: Sequence[int] = ()) -> bool:
        """Send one message.

        Args:
            message: plain values: numbers, text, bytes, None, and tuples, lists and dicts of them.
            descriptors: copied to the other process.

        Returns:
            False when the other end is gone, or does not read.
        """
        data = marshal.dumps(message)  # type: ignore[arg-type]  # plain values, as documented
        data = HEADER.pack(len(data)) + data
        try:
            if descriptors:
                sent = socket.send_fds(self._sock, [data], list(descriptors))
                data = data[sent:]
            while data:
                try:
                    data = data[self._sock.send(data) :]
                except BlockingIOError:
                    if not self._wait(POLLOUT, PATIENCE):
                        return False
        except OSError:  # the other end is closed, or its reader stands still while a socket is to be passed
            return False
        return True

    def _wait(self, event: int, seconds: float | None) -> bool:
        waiting = poll()  # `select.select` knows small descriptors alone
        waiting.register(self._sock, event)
        return bool(waiting.poll(None if seconds is None else seconds * 1000))

    def receive(self) -> tuple[list[Message], bool]:
        """What has come, without waiting.

        Returns:
            The messages, and whether more may follow: False at the end of the stream.
        """
        messages = self.kept()
        while True:
            try:
                data, descriptors = self._receive()
            except BlockingIOError:
                return messages, True
            except OSError:
                return messages, False
            for descriptor in () if CLOSED_BY_EXEC else descriptors:
                os.set_inheritable(descriptor, False)
            self._descriptors += descriptors
            if not data:
                return messages, False
            self._pending += data
            while (message := self._take()) is not None:
                messages.append(message)

    def _receive(self) -> tuple[bytes, list[int]]:
        # Not `socket.recv_fds`, which does not pass its flags on.
        room = socket.CMSG_SPACE(MOST_DESCRIPTORS * array("i").itemsize)
        data, parts, _, _ = self._sock.recvmsg(65536, room, CLOSED_BY_EXEC)
        descriptors = array("i")
        for level, kind, part in parts:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(part[: len(part) - len(part) % descriptors.itemsize])
        return data, descriptors.tolist()

    def wait(self) -> Message | None:
        """The next message, however long it takes; None at the end of the stream.  What comes with it is kept."""
        while not self._ready:
            self._wait(POLLIN, None)
            messages, more = self.receive()
            self._ready += messages
            if not more and not messages:
                return None
        return self._ready.pop(0)

    def kept(self) -> list[Message]:
        """What came together with the message that `wait` returned last: no event tells of it any more."""
        messages, self._ready = self._ready, []
        return messages

    def take_descriptors(self, number: int) -> list[int]:
        """The descriptors that came with the messages so far, the oldest first; they are the caller's."""
        taken, self._descriptors = self._descriptors[:number], self._descriptors[number:]
        return taken

    def _take(self) -> Message | None:
        if len(self._pending) < HEADER.size:
            return None
        size = HEADER.unpack_from(self._pending)[0]
        if len(self._pending) < HEADER.size + size:
            return None
        data = bytes(self._pending[HEADER.size : HEADER.size + size])
        del self._pending[: HEADER.size + size]
        message: Message = marshal.loads(data)  # noqa: S302 - of a process of our own
        return message

    def disown(self) -> None:
        """In a forked child: the other side must learn when this process ends; see `dimserver.net.forks`."""
        cut_off([self._sock.fileno(), *self._descriptors])

    def close(self) -> None:
        """Close this end; again is fine."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._sock.close()
