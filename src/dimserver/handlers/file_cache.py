"""Small files kept in memory, each looked at again before it is served.

Opening, reading and closing a file of a kilobyte costs more than all else of its
answer.  What was read is kept with the *stamp* of the file (device, inode, size,
times of the last change of content and of inode).  One `stat` of the path
decides: with the same stamp it is the same content, whatever the path leads to by
now; with any other, or none, the file is opened anew, with all the care that takes.

The stamp tells two contents apart only if they were written at different ticks
of the file system's clock, so a file is kept once its last change is some seconds
old (git calls an entry before that racily clean).  `utime` can set back the time
of the content but not that of the inode.

On a network file system a stat may be as old as its cache of attributes.
"""

from __future__ import annotations

import os
from _thread import allocate_lock  # what `threading` offers too, without its import at every start
from time import time as clock

__all__ = ["CachedFile", "FileCache"]

KiB = 1024

MOST_FILES = 1024
MOST_BYTES = 8 * 1024 * KiB
MOST_NAME = 1 * KiB  # bytes of a raw path: keys must not outweigh what they stand for
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use (FAT)


class CachedFile:
    """One file.

    Attributes:
        path: what is looked at again.
        names: the steps to it, as `Root.open` takes them.
        stamp: see the module.
        etag, modified, fields: what an answer says of it.
        content: its bytes; None of a large file, which is opened each time: then only what is said of it is kept.
    """

    __slots__ = ("content", "etag", "fields", "modified", "names", "path", "stamp")

    def __init__(
        self,
        path: bytes,
        names: list[bytes],
        status: os.stat_result,
        etag: str,
        modified: int,
        fields: dict[str, str],
        content: bytes | None,
    ) -> None:
        self.path = path
        self.names = names
        self.stamp = stamp_of(status)
        self.etag = etag
        self.modified = modified
        self.fields = fields
        self.content = content

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return 0 if self.content is None else len(self.content)

    def is_current(self) -> bool:
        """Whether the file is still what was read; one system call."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return stamp_of(status) == self.stamp


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_dev


class FileCache:
    """Files by the path of a URL as it was sent; the one that was kept first goes first.

    Thread-safety: safe.
    """

    __slots__ = ("_bytes", "_change", "_files", "find")

    def __init__(self) -> None:
        self._files: dict[str, CachedFile] = {}
        self._bytes = 0
        self._change = allocate_lock()
        self.find = self._files.get  # found or not: the caller asks `is_current`

    def keep(self, raw_path: str, file: CachedFile, status: os.stat_result) -> None:
        """Keep a file if it has settled.

        Args:
            raw_path: without escapes, so that a file has one name only and cannot crowd out the others.
            file: read after `status` was taken.
        """
        if len(raw_path) > MOST_NAME or "%" in raw_path:
            return
        last_change = max(status.st_mtime_ns, status.st_ctime_ns)
        if last_change + SETTLED_NS > clock() * 1_000_000_000:
            return
        with self._change:
            self._drop(raw_path)
            while self._files and (len(self._files) >= MOST_FILES or self._bytes + file.size > MOST_BYTES):
                self._drop(next(iter(self._files)))
            self._files[raw_path] = file
            self._bytes += file.size

    def forget(self, raw_path: str) -> None:
        """The file is not what was kept any more."""
        with self._change:
            self._drop(raw_path)

    def _drop(self, raw_path: str) -> None:
        file = self._files.pop(raw_path, None)
        if file is not None:
            self._bytes -= file.size

    def __len__(self) -> int:
        return len(self._files)
