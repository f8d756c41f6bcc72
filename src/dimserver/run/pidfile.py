"""The file that says which process to signal."""

from __future__ import annotations

import os
import signal

from dimserver.errors import StartError

__all__ = ["PidFile", "hang_up", "read_pid"]


class PidFile:
    """Holds the id of this process from `write` to `remove`.

    Args:
        path: of the file.

    Raises:
        StartError: the process it names is alive.

    Thread-safety: one thread.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = False
        other = _content(path)
        if other and other != os.getpid() and is_alive(other):
            raise StartError(f"--pidfile: '{path}' names a process that runs (pid {other})")

    def write(self) -> None:
        """Put the file in its place, whole: nobody reads half a number.

        Raises:
            StartError: the system refused.
        """
        temporary = f"{self._path}.{os.getpid()}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                os.write(descriptor, b"%d\n" % os.getpid())
            finally:
                os.close(descriptor)
            os.rename(temporary, self._path)
        except OSError as error:
            raise StartError(f"--pidfile: cannot write '{self._path}': {error.strerror}") from None
        self._written = True

    def remove(self) -> None:
        """Remove the file, if it still names this process; again is fine."""
        if self._written and _content(self._path) == os.getpid():
            try:
                os.unlink(self._path)
            except OSError:
                pass  # the directory may not be ours to write to any more
        self._written = False


def read_pid(path: str) -> int:
    """The process a pid file names.

    Raises:
        StartError: it cannot be read, holds no number, or names a process that does not run.
    """
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(32).strip()
    except OSError as error:
        raise StartError(f"cannot read the pid file '{path}': {error.strerror}") from None
    pid = int(text) if text.isascii() and text.isdigit() else 0
    if pid == 0:
        raise StartError(f"'{path}' holds no process id: '{text}'")
    if not is_alive(pid):
        raise StartError(f"'{path}' names process {pid}, which does not run")
    return pid


def hang_up(pid: int) -> None:
    """Send SIGHUP to a server.

    Raises:
        StartError: no such process, not ours to signal, or one that SIGHUP would end.
    """
    # A number that is out of date may be anybody's by now, and most programs are ended by this signal.
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            caught = next((line.split()[1] for line in file if line.startswith("SigCgt:")), "1")
    except OSError:
        caught = "1"  # no /proc here, or no such process
    if not int(caught, 16) & 1 << (signal.SIGHUP - 1):
        raise StartError(f"process {pid} is no dimserver: it does not wait for SIGHUP")
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise StartError(f"process {pid} does not run") from None
    except PermissionError:
        raise StartError(f"process {pid} is another user's") from None


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # somebody else's; or no id at all, which is nobody's
    return True


def _content(path: str) -> int:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(32).strip()
    except OSError:
        return 0
    return int(text) if text.isascii() and text.isdigit() else 0
