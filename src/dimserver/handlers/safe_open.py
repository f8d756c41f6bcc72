"""Opening what lies beneath a directory, and nothing else.

The path is walked one name at a time from a descriptor of the directory before,
with O_NOFOLLOW: the kernel resolves a single name a step, so there is nothing
between a check and a use for anybody to exchange.  A symbolic link is read and
its target walked in the same way; it may lead anywhere beneath the root and
nowhere else.

What was considered instead:

* refusing every link: deployments live on them (``current -> releases/7``, the
  ``..data`` links of Kubernetes volumes);
* ``realpath`` and compare, then open: a race with whoever may write there;
* open, then compare ``/proc/self/fd``: one call fewer from the second level
  down, but the foreign file is opened first, which a FIFO's writer or a device
  notices, and it is for Linux alone;
* ``openat2(RESOLVE_BENEATH)``: exactly this, in one call, but the standard
  library has no name for it.

The root itself is opened by its path each time, so a root that is a link may be
switched while the server runs; only what is *beneath* it is confined.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Root"]

MAX_LINKS = 40  # as many as Linux follows in one path (path_resolution(7))

# O_NONBLOCK: opening a FIFO must not wait for its writer.  O_NOCTTY: nor a terminal become ours.
FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
# O_PATH (Linux) asks for the right to pass through a directory, not to list it, as resolution in the kernel does.
DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# What O_NOFOLLOW says of a link: ELOOP; with O_DIRECTORY on Linux ENOTDIR; EMLINK on FreeBSD.
MAYBE_LINK = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})


class Root:
    """A directory to open files beneath.

    Args:
        directory: its path; a relative one is taken from the working directory of this moment.

    Thread-safety: holds no state but the path.
    """

    __slots__ = ("path",)

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.path = os.fsencode(os.path.abspath(directory)).rstrip(b"/")

    def open(self, names: Sequence[bytes]) -> int:
        """Open a file or directory for reading.

        Args:
            names: the steps from the root, at least one, each without ``/`` and NUL.

        Returns:
            A descriptor (not inheritable, non-blocking) that the caller closes.
            It may be of any kind of file: look before reading.

        Raises:
            FileNotFoundError: there is nothing, or a link leads out of the root.
            OSError: whatever else the system says.
        """
        way: list[int] = []  # descriptors of the directories passed, the root left out
        pending = list(reversed(names))
        links = 0
        try:
            while True:
                name = pending.pop()
                if name in (b"", b".", b".."):  # in targets of links alone; callers give real names
                    if name == b"..":
                        if not way:
                            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                        os.close(way.pop())
                    if pending:
                        continue
                    name = b"."
                try:
                    if way:
                        fd = os.open(name, DIRECTORY if pending else FILE, dir_fd=way[-1])
                    else:
                        fd = os.open(b"%b/%b" % (self.path, name), DIRECTORY if pending else FILE)
                except OSError as error:
                    if error.errno not in MAYBE_LINK or links == MAX_LINKS:
                        raise
                    links += 1
                    pending.extend(reversed(self._target(name, way, error)))
                    continue
                if not pending:
                    return fd
                way.append(fd)
        finally:
            for passed in way:
                os.close(passed)

    def _target(self, name: bytes, way: list[int], refusal: OSError) -> list[bytes]:
        """The steps a link stands for; an absolute one starts again from the root (`way` is emptied)."""
        try:
            path = name if way else b"%b/%b" % (self.path, name)
            target = os.readlink(path, dir_fd=way[-1] if way else None)
        except OSError:
            raise refusal from None  # no link after all: a file in the place of a directory
        if not target.startswith(b"/"):
            return target.split(b"/")
        for root in (self.path, os.path.realpath(self.path).rstrip(b"/")):
            if target == root or target.startswith(root + b"/"):
                while way:
                    os.close(way.pop())
                return target[len(root) + 1 :].split(b"/")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
