"""Strong validators of files: the same wherever the same files are, and others where the content differs.

RFC 9110 8.8.1 and 8.8.3.  A deployment copies files to several hosts, and a client may ask another host each time.
The inode differs there, and so does the time of the last change unless the copy kept it (git and wheels do not).  On
the other hand a reproducible build gives all its files one time, whatever they contain.  So the tag of a file up to
`DIGEST_BYTES` is a digest of its content and of nothing else.

To read a larger one whole would hold up everybody else.  Its tag has size, time of the last change in nanoseconds,
and a digest of some stretches: hosts agree where the copy kept the time (`rsync -t`, `cp -p`, tar, images).
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import time as clock

__all__ = ["DIGEST_BYTES", "Tags"]

KiB = 1024

DIGEST_BYTES = 1024 * KiB  # a millisecond of reading and computing, once for each content
STRETCH = 16 * KiB
STRETCHES = 8  # of a larger file, spread over it, the first and the last bytes among them
MOST_TAGS = 4096  # remembered; some 300 bytes each
SETTLED_NS = 2_000_000_000  # see `kept`: an earlier change may be followed by one that no time tells from it
TAG_BYTES = 12

Stamp = tuple[int, int, int, int, int]


class Tags:
    """The tags of the files of one directory, remembered while the files stay as they are.

    Thread-safety: safe.
    """

    __slots__ = ("_change", "_known")

    def __init__(self) -> None:
        self._known: dict[Stamp, str] = {}
        self._change = allocate_lock()

    def of(self, fd: int, status: os.stat_result) -> str:
        """The strong tag of a regular file, with its quotes.

        Args:
            fd: open for reading; its position stays.
            status: of it, taken before.

        Raises:
            OSError: it cannot be read, or got shorter meanwhile.
        """
        stamp = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        known = self._known.get(stamp)
        if known is not None:
            return known
        tag = _tag(fd, status)
        if max(status.st_mtime_ns, status.st_ctime_ns) + SETTLED_NS <= clock() * 1_000_000_000:
            with self._change:
                if len(self._known) >= MOST_TAGS:
                    del self._known[next(iter(self._known))]
                self._known[stamp] = tag
        return tag

    def __len__(self) -> int:
        return len(self._known)


def _tag(fd: int, status: os.stat_result) -> str:
    from hashlib import blake2b

    size = status.st_size
    digest = blake2b(digest_size=TAG_BYTES)
    if size <= DIGEST_BYTES:
        digest.update(_read(fd, size, 0))
        return f'"{digest.hexdigest()}"'
    for number in range(STRETCHES):
        digest.update(_read(fd, STRETCH, (size - STRETCH) * number // (STRETCHES - 1)))
    return f'"{status.st_mtime_ns:x}-{size:x}-{digest.hexdigest()}"'


def _read(fd: int, count: int, at: int) -> bytes:
    data = os.pread(fd, count, at) if count else b""
    while len(data) < count:  # a signal, or a file system that gives less at once
        more = os.pread(fd, count - len(data), at + len(data))
        if not more:
            import errno

            raise BlockingIOError(errno.EAGAIN, "the file changed while it was read")
        data += more
    return data
