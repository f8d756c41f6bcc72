"""The listening sockets of a server: opened once, and kept while workers come and go.

A worker is given *doors*.  With TCP on Linux each worker slot has a socket of
its own in one SO_REUSEPORT group, so the kernel deals out new connections and
no worker wakes for another's; the socket outlives the worker, and with it the
connections that wait in its queue.  Everything else (Unix sockets, inherited
descriptors, the admin listener, other systems) is one socket for all.
"""

from __future__ import annotations

import os
import socket
import struct

from dimserver.errors import StartError
from dimserver.net.listener import GROUPS, describe, open_beside, open_descriptor, open_others, open_tcp, open_unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dimserver.config import Settings
    from dimserver.log import Log

__all__ = ["ListenSocket", "Sockets"]

SO_ATTACH_REUSEPORT_CBPF = 51  # asm-generic/socket.h; the module `socket` has no name for it
# Classic BPF (linux/filter.h): A = random number; A %= n; return A.  Each new connection asks it once.
BPF_RANDOM = (0x20, 0, 0, 0xFFFFF000 + 56)  # LD|W|ABS, SKF_AD_OFF + SKF_AD_RANDOM
BPF_MODULO = 0x94  # ALU|MOD|K
BPF_RETURN = (0x16, 0, 0, 0)  # RET|A


class ListenSocket:
    """A listening socket and what it is for.

    Attributes:
        sock: listening and non-blocking.
        admin: whether it is the operators'.
        kept: whether it goes on when this server stops: a parent holds it, and its queue is not ours to empty.
    """

    __slots__ = ("admin", "kept", "sock")

    def __init__(self, sock: socket.socket, admin: bool = False, kept: bool = False) -> None:
        self.sock = sock
        self.admin = admin
        self.kept = kept


class Sockets:
    """Opens what the settings name, and closes it at the end.

    Args:
        settings: see ``dimserver config``; of them host, port, uds, fd and admin with their modes, and backlog.
        grouped: a TCP socket for each slot, where the system has that.
        passed: descriptors of a service manager and their names; they take the place of the main
            listener, and the one named ``admin`` that of the admin listener.

    Attributes:
        urls: where it listens, the main listeners first.

    Raises:
        StartError: the system refused; nothing is left open.

    Thread-safety: one thread.
    """

    def __init__(self, settings: Settings, *, grouped: bool = False, passed: Sequence[tuple[int, str]] = ()) -> None:
        self._backlog = settings.backlog
        self._shared: list[ListenSocket] = []
        self._slots: dict[int, socket.socket] = {}
        self._files: list[_File] = []
        self._fed = 0  # slots that get new connections, from the first on; 0: all there are
        try:
            self._open_main(settings, grouped and GROUPS, [fd for fd, name in passed if name != "admin"])
            self._open_admin(settings, [fd for fd, name in passed if name == "admin"])
        except BaseException:
            self.close()
            raise
        socks = [*self._slots.values(), *(door.sock for door in sorted(self._shared, key=lambda door: door.admin))]
        self.urls = [describe(sock) for sock in socks]

    def _open_main(self, settings: Settings, grouped: bool, passed: Iterable[int]) -> None:
        descriptors = [settings.fd] if settings.fd is not None else list(passed)
        if descriptors:
            for fd in descriptors:
                self._shared.append(ListenSocket(open_descriptor(fd, settings.backlog), kept=True))
        elif settings.uds is not None:
            self._shared.append(self._unix(settings.uds, settings.uds_mode))
        elif grouped:
            self._slots[0] = open_tcp(settings.host, settings.port, settings.backlog, grouped=True)
            self._open_others(settings, self._slots[0])
        else:
            self._shared.append(ListenSocket(open_tcp(settings.host, settings.port, settings.backlog)))
            self._open_others(settings, self._shared[0].sock)

    def _open_others(self, settings: Settings, first: socket.socket) -> None:
        self._shared.extend(ListenSocket(sock) for sock in open_others(settings.host, first, settings.backlog))

    def _open_admin(self, settings: Settings, passed: Iterable[int]) -> None:
        descriptors = list(passed)
        if descriptors:
            self._shared.extend(ListenSocket(open_descriptor(fd, settings.backlog), True, True) for fd in descriptors)
        elif isinstance(settings.admin, str):
            door = self._unix(settings.admin, settings.admin_mode)
            door.admin = True
            self._shared.append(door)
        elif settings.admin is not None:
            self._shared.append(ListenSocket(open_tcp(*settings.admin, settings.backlog), admin=True))

    def _unix(self, path: str, mode: int) -> ListenSocket:
        door = ListenSocket(open_unix(path, self._backlog, mode))
        self._files.append(_File(path))
        return door

    def doors(self, slot: int = 0) -> list[ListenSocket]:
        """What the worker of a slot listens on; its own socket is opened when it is first asked for.

        Raises:
            StartError: the system refused one more socket.
        """
        if not self._slots:
            return list(self._shared)
        first = self._slots[0]
        # Those before it too, should their workers not have asked yet: the kernel numbers the sockets of a group in
        # the order they began to listen, and `starve` counts on that being the order of the slots.
        for number in range(len(self._slots), slot + 1):
            try:
                self._slots[number] = open_beside(first, self._backlog)
            except OSError as error:
                raise StartError(f"cannot listen on {describe(first)} again: {error.strerror or error}") from None
        if self._fed:
            self._steer()
        return [ListenSocket(self._slots[slot]), *self._shared]

    def set_backlog(self, backlog: int) -> None:
        """Change the length of the queues of sockets that are open."""
        self._backlog = backlog
        for sock in (*self._slots.values(), *(door.sock for door in self._shared)):
            sock.listen(backlog)

    def starve(self, slot: int) -> bool:
        """Have the kernel give the last slot no new connections, so that its queue can be emptied.

        A listening socket that is closed resets what is in its queue and what is about to enter it.
        So new connections are sent elsewhere first; those in the middle of their handshake come in
        a moment later; then the worker accepts what there is, and `close_slot` closes nothing but an
        empty queue.

        Returns:
            Whether there is a socket to be emptied.
        """
        if not self._slots or slot == 0:
            return False
        self._fed = slot  # slots are closed from the end: those that stay are 0 … slot-1
        if slot not in self._slots:  # its worker may still come to ask for it
            return False
        self._steer()
        return True

    def feed(self, slot: int) -> None:
        """Take `starve` back, for all slots up to this one."""
        if self._fed:
            self._fed = max(self._fed, slot + 1)
            self._steer()

    def has_own(self, slot: int) -> bool:
        """Whether the worker of this slot has a socket that no other worker accepts at."""
        return slot in self._slots

    def queues(self) -> dict[int, int | None]:
        """The descriptors at which clients of the main listener wait: the number of the slot, or None for all slots."""
        shared = {door.sock.fileno(): None for door in self._shared if not door.admin}
        return {**{sock.fileno(): slot for slot, sock in self._slots.items()}, **shared}

    def _steer(self) -> None:
        # A socket that nobody is to come to may be opened meanwhile, and others not yet.
        sockets = min(self._fed, len(self._slots))
        program = b"".join(struct.pack("HBBI", *step) for step in (BPF_RANDOM, (BPF_MODULO, 0, 0, sockets), BPF_RETURN))
        from array import array

        memory = array("B", program)
        option = struct.pack("HP", 3, memory.buffer_info()[0])
        try:
            self._slots[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, option)
        except OSError:
            pass  # a kernel without it deals out by the addresses' hash, to all sockets that are open

    def close_slot(self, slot: int) -> None:
        """Close the socket of a slot that has no worker any more; the first slot's stays."""
        if slot:
            sock = self._slots.pop(slot, None)
            if sock is not None:
                sock.close()

    def unlink(self, log: Log | None = None) -> None:
        """Remove the files of Unix sockets, so that nobody comes any more; again is fine."""
        for file in self._files:
            file.remove(log)
        self._files.clear()

    def close(self, log: Log | None = None) -> None:
        """Close all and remove the files of Unix sockets; again is fine."""
        self.unlink(log)
        self.forget()

    def forget(self) -> None:
        """Close the descriptors alone: somebody else, from whom this process was forked, has them too."""
        for sock in (*self._slots.values(), *(door.sock for door in self._shared)):
            sock.close()
        self._slots.clear()
        self._shared.clear()


class _File:
    """The file of a Unix socket of one's own."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inode = _inode(path)

    def remove(self, log: Log | None) -> None:
        try:
            # Another server may have taken the path over meanwhile.
            if _inode(self._path) == self._inode:
                os.unlink(self._path)
        except OSError as error:
            if log is not None:
                log.warning(f"unix:{self._path}: cannot be removed: {error.strerror}")


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
