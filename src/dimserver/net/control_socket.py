"""The control socket of a server: where it is, and how a command finds it.

    $XDG_RUNTIME_DIR/dimserver/PID/control      mode 0600, in a directory of mode 0700
    PRIVATE DIRECTORY/control                   where the first is not to be had

The server holds a lock on the directory for as long as it lives, as on its private directory.  So what a server that
was killed has left is told from what is in use, also where several containers share the place and its process ids.
"""

from __future__ import annotations

import os
import socket
import stat

from dimserver.errors import StartError
from dimserver.net.forks import cut_off
from dimserver.net.listener import open_unix
from dimserver.net.private_dir import PREFIX, PrivateDirectory, clean, lock, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ControlSocket", "Found", "find_servers"]

FOLDER = "dimserver"
NAME = "control"
MODE = 0o600
LONGEST = 104  # bytes of a socket's path with its NUL: the least that systems have
BACKLOG = 32
MOST_TRIED = 1000  # directories in which a server is looked for


class ControlSocket:
    """See the module.

    Args:
        directory: the server's private one.  Without one, its own is made where it is needed.

    Attributes:
        sock: listening and non-blocking; None where there is no place for one.
        path: of it, or None.

    Thread-safety: one thread.
    """

    def __init__(self, directory: PrivateDirectory | None = None) -> None:
        self.sock: socket.socket | None = None
        self.path: str | None = None
        self._directory = directory
        self._own: PrivateDirectory | None = None
        self._folder: str | None = None  # PID's, once it is locked
        self._lock = -1
        self._inode: tuple[int, int] | None = None
        self._open()

    def _open(self) -> None:
        for folder in self._folders():
            path = f"{folder}/{NAME}"
            try:
                _unlink(path)  # nobody else has this directory
                self.sock = open_unix(path, BACKLOG, MODE)
            except (OSError, StartError):
                continue
            self.path = path
            self._inode = _inode(path)
            return
        self.sock = self.path = self._inode = None

    def _folders(self) -> Iterator[str]:
        place = os.environ.get("XDG_RUNTIME_DIR")
        if place and self._take(os.path.join(place, FOLDER)) and self._folder is not None:
            yield self._folder
        self._give_back()
        private = self._directory or self._own
        if private is None:
            private = self._own = PrivateDirectory()
        place = private.path
        if place is not None:
            yield place

    def _take(self, parent: str) -> bool:
        """Make the directory of this process, and lock it."""
        folder = f"{parent}/{os.getpid()}"
        if not os.path.isabs(parent) or len(os.fsencode(f"{folder}/{NAME}")) >= LONGEST:
            return False
        try:
            try:
                os.mkdir(parent, 0o700)  # the place itself is the session's to make
            except FileExistsError:
                pass
            if not _is_ours(parent):
                return False
            clean(parent, str.isdigit)
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                if not _is_ours(folder):
                    return False
            descriptor = lock(folder)  # else a server of another container has our number
        except OSError:
            return False
        try:
            os.fchmod(descriptor, 0o700)
            same = os.path.samestat(os.fstat(descriptor), os.lstat(folder))  # nobody took it away meanwhile
        except OSError:
            same = False
        if not same:
            os.close(descriptor)
            return False
        self._folder, self._lock = folder, descriptor
        return True

    def _give_back(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if self._folder is not None:
            try:
                os.rmdir(self._folder)
            except OSError:
                pass
            self._folder = None

    def is_there(self) -> bool:
        """Whether it is found where it was made; also where there was no place for it."""
        return self.path is None or _inode(self.path) == self._inode

    def restore(self) -> None:
        """Make it anew, once somebody took it away; the one before is closed."""
        if self.sock is not None:
            self.sock.close()
        if self._own is not None:
            self._own.restore()
        self._give_back()
        self._open()

    def forget(self) -> None:
        """In a process forked from the owner: it is not this one's."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if self._own is not None:
            self._own.forget()

    def disown(self) -> None:
        """In a process that the app forked: see `dimserver.net.forks`."""
        cut_off([self._lock, *([] if self.sock is None else [self.sock.fileno()])])
        if self._own is not None:
            self._own.forget()

    def close(self) -> None:
        """Close it and take it away; again is fine."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if self.path is not None:
            if _inode(self.path) == self._inode:
                _unlink(self.path)
            self.path = None
        self._give_back()
        if self._own is not None:
            self._own.close()
            self._own = None


class Found:
    """A control socket that a server of this user listens on.

    Attributes:
        path: of it.
        pid: of the server, 0 where that is not known.
    """

    __slots__ = ("path", "pid")

    def __init__(self, path: str, pid: int) -> None:
        self.path = path
        self.pid = pid


def find_servers(pid: int | None = None) -> list[Found]:
    """The servers of this user that run, as far as their sockets are where they are looked for.

    A server and a command of one session have the same variables, so the first place with a server in it counts.

    Args:
        pid: of the server that is meant; it is looked for in every place.
    """
    found: list[Found] = []
    tried = 0
    for place in dict.fromkeys(_where()):
        for folder in (*_inside(os.path.join(place, FOLDER), str.isdigit), *_inside(place, _is_private)):
            tried += 1
            server = _probe(folder) if tried <= MOST_TRIED and _is_ours(folder) else None
            if server is not None and pid in (None, server.pid):
                found.append(server)
        if found:
            break
    return sorted(found, key=lambda each: (each.pid, each.path))


def _where() -> Iterator[str]:
    variable, session = os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.geteuid()}"
    if variable:
        yield variable
    yield session  # which su and cron have no variable for
    yield from places()


def _inside(folder: str, is_meant: Callable[[str], bool]) -> list[str]:
    try:
        return [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if is_meant(name)]
    except OSError:
        return []


def _is_private(name: str) -> bool:
    return name.startswith(PREFIX)


def _probe(folder: str) -> Found | None:
    """The server that listens in a directory, if one does."""
    from dimserver.net.peer_credentials import peer_credentials  # of commands: no server needs it to start

    path = f"{folder}/{NAME}"
    name = os.path.basename(folder)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        try:
            sock.connect(path)
        except BlockingIOError:  # its queue is full: it lives, whatever it is at
            return Found(path, int(name) if name.isdigit() else 0)
        except OSError:
            return None
        peer = peer_credentials(sock.fileno())
    if peer is not None and peer[1] != os.geteuid():
        return None
    return Found(path, (peer or (0, 0))[0] or (int(name) if name.isdigit() else 0))


def _is_ours(path: str) -> bool:
    """Whether it is a directory of this user's; not a link: in /tmp anybody may put one under such a name."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
