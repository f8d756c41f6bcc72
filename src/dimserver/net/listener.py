"""Listening sockets: opened with errors a person can read, watched by the loop."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys

from dimcore import Acceptor
from dimserver.config.types import is_loopback
from dimserver.errors import StartError
from dimserver.net.throttled_log import ThrottledLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dimcore import Site
    from dimserver.log import Log
    from dimserver.net.loop import Loop

__all__ = [
    "GROUPS",
    "Listener",
    "describe",
    "hide_descriptor",
    "listens_on_loopback",
    "open_beside",
    "open_descriptor",
    "open_others",
    "open_tcp",
    "open_unix",
]

# Whether the kernel deals out new connections among sockets bound to one address (socket(7), SO_REUSEPORT).  Others
# have the option too, but give everything to one of the sockets.
GROUPS = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")

PRIVILEGED = " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
PAUSE = 0.25  # seconds without accepting when the process is out of descriptors
MOST_ROUNDS = 2048  # batches of an acceptor at a stop (16,384 clients): new ones may come as fast as they are accepted
# Most the kernel takes of an answer before it can send it.  Without this bound it copies 4 MB for a client that reads
# nothing, and a hundred of those hold up everybody for a fifth of a second.  A fast client is served three times as
# fast: what is copied for it is still in the cache when it goes out.
UNSENT_BYTES = 128 * 1024


def open_tcp(host: str, port: int, backlog: int, *, grouped: bool = False) -> socket.socket:
    """A listening TCP socket.

    Args:
        host: name or address; ``""`` and ``"*"`` stand for every IPv4 address, ``"::"`` for every one.
        port: 0 lets the system pick.
        backlog: connections the kernel may queue.
        grouped: let `open_beside` open more at the same address; only where `GROUPS`.

    Raises:
        StartError: the address is unknown, in use, or not allowed.
    """
    where = f"{host or '*'}:{port}"
    found = _resolved(host, port)
    for at, (family, kind, protocol, _, address) in enumerate(found, 1):
        try:
            return _listening(family, kind, protocol, address, backlog, grouped)
        except OSError as error:
            # A name may stand for addresses of a family this machine does not have: the next one, then.
            if at == len(found) or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                hint = PRIVILEGED if error.errno == errno.EACCES and 0 < port < 1024 else ""
                raise StartError(f"cannot listen on {where}: {_reason(error)}{hint}") from None
    raise StartError(f"cannot listen on {where}: no address")


def open_others(host: str, first: socket.socket, backlog: int) -> list[socket.socket]:
    """Listening sockets at the other addresses that a name stands for: `localhost` is 127.0.0.1 and ::1.

    Args:
        host: as for `open_tcp`, which made `first`.
        first: whose port is theirs, too.
        backlog: as for `open_tcp`.

    Raises:
        StartError: one of them is in use, or not allowed; none is left open.
    """
    taken, port = first.getsockname()[:2]
    done = {taken}
    others: list[socket.socket] = []
    for family, kind, protocol, _, address in _resolved(host, port):
        if address[0] in done:
            continue
        done.add(address[0])
        try:
            others.append(_listening(family, kind, protocol, address, backlog, False))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # a machine without IPv6
                continue
            for sock in others:
                sock.close()
            raise StartError(f"cannot listen on {address[0]}:{port} ({host}): {_reason(error)}") from None
    return others


def _resolved(host: str, port: int) -> list[Any]:
    every = host in ("", "*")
    try:
        return socket.getaddrinfo(
            # As bytes: of a str the IDNA codec is asked, whose import costs more than all else here.
            None if every else host.encode("ascii") if host.isascii() else host,
            port,
            socket.AF_INET if every else 0,
            socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except (socket.gaierror, UnicodeError) as error:
        where = f"{host or '*'}:{port}"
        raise StartError(f"cannot listen on {where}: unknown address '{host}' ({_reason(error)})") from None


def open_beside(first: socket.socket, backlog: int) -> socket.socket:
    """One more listening socket in the group of `first`, which was opened ``grouped``.

    Raises:
        OSError: the system refused.
    """
    return _listening(first.family, socket.SOCK_STREAM, 0, first.getsockname(), backlog, True, beside=True)


def _listening(
    family: int,
    kind: int,
    protocol: int,
    address: tuple[Any, ...],
    backlog: int,
    grouped: bool,
    *,
    beside: bool = False,
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        if beside:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Every address is every address; a single one is what it says.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        _tune(sock)
        sock.bind(address)
        if grouped and not beside:
            # Only now: with the option set before, the first socket of a second server would be let into the
            # group of the first server, which takes half of its clients away instead of being refused.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket) -> None:
    """Set what accepted sockets inherit."""
    # An answer goes out when it is written, not when the last one is acknowledged.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # What is on its way is not counted, so no connection gets slower by it.
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def open_unix(path: str, backlog: int, mode: int = 0o666) -> socket.socket:
    """A listening Unix socket; a stale one at the same path, which nobody answers, is replaced.

    Args:
        path: where; nothing that is no socket is ever removed.
        backlog: connections the kernel may queue.
        mode: permissions of the path, whatever the umask says.

    Raises:
        StartError: something else is at `path`, a server answers there, or it is not allowed.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        try:
            # Before it listens: nobody gets in who may not.  The umask belongs to all threads; it is left alone.
            os.chmod(path, mode)
            sock.listen(backlog)
        except OSError:
            os.unlink(path)
            raise
    except OSError as error:
        sock.close()
        raise StartError(f"cannot listen on unix:{path}: {_reason(error)}") from None
    sock.setblocking(False)
    return sock


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode  # of a link itself: what it points to is not ours to replace
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "the path exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:  # a name without a socket behind it: its server has ended without removing it
            os.unlink(path)
            return
        except FileNotFoundError:  # removed since we looked
            return
        except BlockingIOError:  # its queue is full: it may be stuck, but it lives
            pass
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # a live socket of another type
                raise
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def open_descriptor(fd: int, backlog: int) -> socket.socket:
    """The listening socket a parent process left at descriptor `fd`, which is the returned object's from now on.

    Raises:
        StartError: `fd` is no bound stream socket; it stays the caller's.
    """
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise StartError(f"cannot listen on descriptor {fd}: {_reason(error)}") from None
    try:
        if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            raise OSError(errno.EINVAL, "it is not a stream socket")
        name = sock.getsockname()
        if not name or (isinstance(name, tuple) and name[1] == 0):
            # The kernel would make up an address to listen on, which nobody knows.
            raise OSError(errno.EINVAL, "the socket is not bound to an address")
        sock.listen(backlog)
        if sock.family != socket.AF_UNIX:
            _tune(sock)
        sock.set_inheritable(False)
        sock.setblocking(False)
    except OSError as error:
        sock.detach()
        raise StartError(f"cannot listen on descriptor {fd}: {_reason(error)}") from None
    return sock


def hide_descriptor(fd: int) -> bool:
    """Keep the socket a parent process left at descriptor `fd` from the programs that are started from here.

    Returns:
        Whether there is one that `open_descriptor` might take; anything else stays as it is.
    """
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return False
    try:
        if sock.type != socket.SOCK_STREAM or not sock.getsockname():
            return False
        sock.set_inheritable(False)
    except OSError:
        return False
    finally:
        sock.detach()
    return True


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "the address is already in use"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return "permission denied"
    return getattr(error, "strerror", None) or str(error)


def describe(sock: socket.socket) -> str:
    """Where a socket listens, as a URL: ``http://127.0.0.1:8080`` or ``unix:/run/app.sock``."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{os.fsdecode(name)}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


def listens_on_loopback(sock: socket.socket) -> bool:
    """Whether a socket has a loopback address, so that TCP clients of this machine alone get there."""
    name = sock.getsockname()
    return isinstance(name, tuple) and is_loopback(name[0])


class Listener:
    """A listening socket in the loop.

    Args:
        sock: listening and non-blocking; closed by `close`.
        site: what its connections are served.
        loop: watches it.
        log: told when descriptors run out.
        inherited: whether others go on listening on the same socket: what waits in its queue is theirs to serve.
        admin: whether it is the operators'.

    Attributes:
        sock, inherited, admin: as given.
        url: where it listens.

    Thread-safety: the loop's thread only.
    """

    def __init__(
        self,
        sock: socket.socket,
        site: Site,
        loop: Loop,
        log: Log,
        *,
        inherited: bool = False,
        admin: bool = False,
    ) -> None:
        self.sock = sock
        self.inherited = inherited
        self.admin = admin
        self.url = describe(sock)
        self._loop = loop
        self._log = log
        self._watched = False
        self._paused = False
        self._trouble = ThrottledLog(log.error)
        self._acceptor = Acceptor(site, sock.fileno(), self._exhausted)
        self._watch()

    def accept_all(self) -> None:
        """Take what the kernel has queued already, for a stop that loses nobody; bounded by `MOST_ROUNDS`."""
        rounds = 0
        while self._watched and rounds < MOST_ROUNDS and self._acceptor.on_ready(1):
            rounds += 1

    def pause(self) -> None:
        """Accept nobody until `resume`; again is fine."""
        self._paused = True
        self._unwatch()

    def resume(self) -> None:
        """Accept again; again is fine."""
        self._paused = False
        self._watch()

    def _watch(self) -> None:
        if not self._watched and not self._paused and self.sock.fileno() >= 0:
            self._loop.selector.register(self.sock.fileno(), 1, self._acceptor.on_ready)
            self._watched = True

    def _unwatch(self) -> None:
        if self._watched:
            self._loop.selector.unregister(self.sock.fileno())
            self._watched = False

    def _exhausted(self) -> None:
        self._unwatch()
        self._loop.call_later(PAUSE, self._watch)
        self._trouble.tell(
            f"{self.url}: out of descriptors or memory; the longest idle connections are closed, "
            "new ones wait (raise the limit with ulimit -n)"
        )

    def close(self) -> None:
        """Stop listening; again is fine."""
        self._unwatch()
        self.sock.close()
