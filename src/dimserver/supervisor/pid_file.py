"""The file that says which process to signal."""

from __future__ import annotations

import errno
import os
import signal
import stat

from dimserver.errors import StartError

__all__ = ["PidFile", "hang_up", "read_pid"]


class PidFile:
    """Holds the id of this process from `write` to `remove`, and a lock on the file.

    The lock (flock(2)) says whether a server runs, not the number: that of one which was killed may be anybody's by
    now.  It ends with its process, however that ends.

    Args:
        path: of the file.

    Thread-safety: one thread.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def write(self) -> None:
        """Lock the file and write the number.

        Raises:
            StartError: another server holds the lock, or the system refused.
        """
        try:
            while not self._lock():
                pass
        except BlockingIOError:
            other = _content(self._path)
            raise StartError(f"--pidfile: '{self._path}' is in use by a running server (pid {other})") from None
        except OSError as error:
            raise StartError(f"--pidfile: cannot write '{self._path}': {error.strerror}") from None

    def _lock(self) -> bool:
        """False where the file was removed meanwhile, as by the server that held it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self._path, flags, 0o644)
        try:
            _take_lock(fd)
            ours = os.fstat(fd)
            if not stat.S_ISREG(ours.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            try:
                named = os.stat(self._path, follow_symlinks=False)
            except FileNotFoundError:
                os.close(fd)
                return False
            if (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
                os.close(fd)
                return False
            # The longest number and a line end in one write: nobody reads half of one.
            line = b"%d\n" % os.getpid()
            os.pwrite(fd, line, 0)
            os.ftruncate(fd, len(line))
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def forget(self) -> None:
        """In a process forked from this one: the lock is not its."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Remove the file, if it still names this process, and give up the lock; again is fine."""
        if self._fd < 0:
            return
        if _content(self._path) == os.getpid():
            try:
                os.unlink(self._path)
            except OSError:
                pass  # the directory may not be ours to write to any more
        self.forget()


def _take_lock(fd: int) -> None:
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):  # a file system without locks
            raise


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
        raise StartError(f"'{path}' contains no process id: '{text}'")
    if not is_alive(pid):
        raise StartError(f"'{path}' names process {pid}, which is not running")
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
        raise StartError(f"process {pid} is not a dimserver: it does not handle SIGHUP")
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise StartError(f"process {pid} is not running") from None
    except PermissionError:
        raise StartError(f"process {pid} belongs to another user") from None


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
