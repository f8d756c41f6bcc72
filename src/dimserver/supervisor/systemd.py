"""What a service manager is told, and what it passes: sd_notify(3) and sd_listen_fds(3), by hand.

Both are a few environment variables and one datagram; a library would be larger
than the protocol.  Without the variables nothing is sent and nothing is taken.
"""

from __future__ import annotations

import os
import socket
from time import CLOCK_MONOTONIC, clock_gettime_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["Notifier", "passed_sockets"]

FIRST_PASSED = 3  # SD_LISTEN_FDS_START
MOST_PASSED = 64


class Notifier:
    """Tells the service manager how the server is.

    Args:
        environment: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are looked for, and taken out:
            workers and what they start are not the service.

    Attributes:
        interval: seconds between two calls of `alive` that keep the watchdog quiet; 0 without one.

    Thread-safety: one thread.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        limit = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", str(os.getpid()))
        self.interval = 0.0
        self._socket: socket.socket | None = None
        self._begun = False
        if address[:1] not in ("/", "@"):
            return
        # An abstract socket has a NUL where the variable has an @.
        self._address = "\0" + address[1:] if address[0] == "@" else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if limit.isascii() and limit.isdigit() and int(limit) and pid == str(os.getpid()):
            self.interval = int(limit) / 2_000_000  # half of it, as the manual asks for

    def ready(self, status: str) -> None:
        """The server serves; also after a reload."""
        self._begun = True
        self._send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        # With the time, a manager of Type=notify-reload knows which of two reloads this one is.
        self._send("RELOADING=1", f"MONOTONIC_USEC={clock_gettime_ns(CLOCK_MONOTONIC) // 1000}", "STATUS=reloading")

    def stopping(self) -> None:
        """The server is on its way out."""
        self._send("STOPPING=1", "STATUS=finishing what is in flight")

    def failed(self, status: str) -> None:
        """The server did not start."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """The supervisor's own loop turns."""
        if self._begun:
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            self._socket.sendto(text.encode("utf-8", "backslashreplace"), self._address)
        except OSError:
            pass  # a manager that does not listen is no reason to serve less

    def close(self) -> None:
        """Close the socket; again is fine."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def passed_sockets(environment: MutableMapping[str, str] = os.environ) -> list[tuple[int, str]]:
    """Descriptors the service manager has opened for this process, with their names.

    Args:
        environment: where LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are looked for, and taken out.

    Returns:
        Empty when they are not meant for this process.
    """
    pid = environment.pop("LISTEN_PID", "")
    number = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not (number.isascii() and number.isdigit()):
        return []
    count = min(int(number), MOST_PASSED)
    names += ["unknown"] * count
    passed = [(FIRST_PASSED + at, names[at] or "unknown") for at in range(count)]
    for fd, _ in passed:
        os.set_inheritable(fd, False)
    return passed
