"""Watches source files for `--reload`, in a process of its own.

The library that watches (watchfiles) runs threads, and the supervisor forks,
which do not go together.  So a child of it watches, and writes a line into a
pipe for each batch of changes.
"""

from __future__ import annotations

import os
import signal

from dimserver.errors import ConfigError
from dimserver.worker.signals import GROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import NoReturn

__all__ = ["Watcher", "check_library", "is_of_interest"]

PARENT_MS = 2000  # how often the child looks whether its parent still is
MOST_NAMED = 3  # files in a message


def check_library() -> None:
    """Look whether the library is there.

    Raises:
        ConfigError: it is not; names the extra that brings it.
    """
    from importlib.util import find_spec

    if find_spec("watchfiles") is None:
        raise ConfigError("--reload needs the library watchfiles: pip install 'dimserver[reload]'")


def is_of_interest(path: str, files: Iterable[str]) -> bool:
    """Whether a change of this file is a reason to reload: Python source, or one of the files named."""
    return path.endswith(".py") or path in files


class Watcher:
    """The child that watches.

    Args:
        directories: watched with all below them; not those that hold no source (.git, __pycache__, node_modules …).
        files: further files, besides ``*.py``, whose change counts.
        in_child: called in the child, to close what is the parent's.

    Attributes:
        pid: of the child.

    Raises:
        OSError: the system gives no process.

    Thread-safety: as for a fork: a process without other threads.
    """

    def __init__(self, directories: Sequence[str], files: Sequence[str], in_child: Callable[[], object]) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        parent = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(self._reader)
            os.close(writer)
            raise
        if self.pid == 0:
            os.close(self._reader)
            _watch_and_exit(parent, directories, files, writer, in_child)
        os.close(writer)
        self._pending = b""

    def fileno(self) -> int:
        """To be watched for reading."""
        return self._reader

    def changes(self) -> list[str] | None:
        """What has changed since the last call: a few names for each batch; None when the child has ended."""
        ended = False
        while True:
            try:
                data = os.read(self._reader, 65536)
            except BlockingIOError:
                break
            if not data:
                ended = True
                break
            self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        return None if ended and not lines else [os.fsdecode(line) for line in lines]

    def close(self) -> None:
        """End the child; again is fine."""
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def _watch_and_exit(
    parent: int, directories: Sequence[str], files: Sequence[str], writer: int, in_child: Callable[[], object]
) -> NoReturn:
    code = 1
    try:
        in_child()
        # What the whole group gets is the parent's to act upon; at its end this process ends as well.
        for number in GROUP:
            signal.signal(number, signal.SIG_IGN)
        _watch(parent, directories, files, writer)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _watch(parent: int, directories: Sequence[str], files: Sequence[str], writer: int) -> None:
    from watchfiles import DefaultFilter, watch

    named = [os.path.realpath(file) for file in files]
    sources = DefaultFilter()

    def wanted(change: object, path: str) -> bool:
        return path in named or (is_of_interest(path, ()) and sources(change, path))  # type: ignore[arg-type]

    places = {os.path.realpath(directory) for directory in directories} | {os.path.dirname(file) for file in named}
    for changes in watch(
        *sorted(places), watch_filter=wanted, rust_timeout=PARENT_MS, yield_on_timeout=True, raise_interrupt=False
    ):
        if os.getppid() != parent:
            return
        if changes:
            names = sorted({os.path.relpath(path) for _, path in changes})
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            line = (", ".join(names[:MOST_NAMED]) + more).replace("\n", " ")
            os.write(writer, os.fsencode(line) + b"\n")
