"""A directory that a server has for itself, as long as one of its supervisors lives.

Whoever made it holds a lock on it, which the kernel gives back however that
process ends.  So a later server can tell, of a directory that was left behind,
that nobody is there any more, and take it away: also where the owner was another
container's, whose process ids mean nothing here.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PREFIX", "PrivateDirectory", "clean", "lock", "places"]

PREFIX = "dimsock-"
LONGEST = 80  # bytes: with the number of a worker it has to fit 104, the least that systems have for a socket's path
YOUNG = 60.0  # seconds: a directory may not be locked yet in the moment after it was made
MOST_REMOVED = 100  # at a start; it has better things to do


class PrivateDirectory:
    """A new directory of mode 0700; see the module.

    Attributes:
        path: of it; None if there is no place for it.  Its last part stays the same wherever it is made anew.

    Thread-safety: one thread.
    """

    def __init__(self) -> None:
        self.path: str | None = None
        self._lock = -1
        self._name = PREFIX + os.urandom(8).hex()
        for place in places():
            if self._make(os.path.join(place, self._name)):
                clean(place, _is_private)
                return

    def _make(self, path: str) -> bool:
        if len(os.fsencode(path)) >= LONGEST:
            return False
        try:
            os.mkdir(path, 0o700)
            self._lock = lock(path)
        except OSError:
            return False
        self.path = path
        return True

    def restore(self) -> bool:
        """Make it anew if somebody took it away: where it was, else in another place, else there is none any more.

        Returns:
            Whether it was taken away.
        """
        path = self.path
        if path is None:
            return False
        try:
            if os.path.samestat(os.lstat(path), os.fstat(self._lock)):
                return False
        except OSError:
            pass
        self.forget()
        self.path = None
        for place in (os.path.dirname(path), *places()):
            if self._make(os.path.join(place, self._name)):
                break
        return True

    def forget(self) -> None:
        """In a process forked from the owner: it is not this one's to keep alive."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def close(self) -> None:
        """Take it away, with what is left in it; again is fine."""
        if self.path is not None:
            _remove(self.path)
            self.path = None
        self.forget()


def places() -> Iterator[str]:
    """Where servers look for a place, the best first."""
    for place in (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp"):  # noqa: S108 - mode, name
        if place:
            yield place


def lock(path: str) -> int:
    """Descriptor of a directory that is this process's now.

    Raises:
        OSError: it is somebody else's, or cannot be opened.
    """
    # Not through a link: in /tmp anybody may put one under this name.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _is_private(name: str) -> bool:
    return name.startswith(PREFIX)


def clean(place: str, is_meant: Callable[[str], bool]) -> None:
    """Take away directories that servers of this user which were killed have left.

    Args:
        place: where they are.
        is_meant: whether a directory of this name is a server's.
    """
    try:
        names = [name for name in os.listdir(place) if is_meant(name)]
    except OSError:
        return
    for name in names[:MOST_REMOVED]:
        path = os.path.join(place, name)
        try:
            found = os.lstat(path)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or time.time() - found.st_mtime < YOUNG:
                continue
            descriptor = lock(path)
        except OSError:  # its server lives
            continue
        _remove(path)
        os.close(descriptor)


def _remove(path: str) -> None:
    try:
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
    except OSError:  # somebody cleaned up before
        pass
