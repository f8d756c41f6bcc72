"""The access log: brings the lines the core has made to where they are kept.

    common     host - - [time] "request line" status bytes
    combined   common, then "referer" "user agent"
    json       one object a line

What a line says, and that no client can forge or break one, is the core's affair
(``dimcore/conn/access_log.h``).  This is about the two other things that can go wrong:

* The log stops the loop.  A disk may stall and a reader may stop reading, and a
  write that waits must not hold up a client.  So a thread writes: it wakes when
  there are lines, waits a moment for more, and takes all there are.  While it is
  stuck the core keeps lines up to its limit, then drops and counts them.
* The log stops the server.  A full disk or a reader that left costs lines, never
  answers.

Several workers may share one file or one pipe: a file takes each batch in one
append, a pipe gets pieces of whole lines that it takes in one go (POSIX.1-2017,
write: up to PIPE_BUF bytes are not mixed with others').
"""

from __future__ import annotations

import os
import select
import time
from _thread import allocate_lock, start_new_thread

from dimserver.log_file import LogFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dimcore import AccessLines

__all__ = ["AccessLog"]

KiB = 1024

GATHER = 0.02  # seconds lines wait for more: under load one write serves thousands
PLENTY = 256 * KiB  # bytes that need wait no longer
PIPE_PIECE = min(select.PIPE_BUF, 4 * KiB)  # no line is longer than 4 KiB
STALLED = 100  # milliseconds between two tries of a stream somebody else made non-blocking
PATIENCE = 1.0  # seconds at the end: a reader that does not read must not hold up the exit


class AccessLog:
    """Writes access log lines.

    Args:
        lines: where the core puts them (`Core.attach`).
        form: `common`, `combined` or `json`; for the note that says how many lines are missing.
        target: a path, or a descriptor.
        on_trouble: told in one line when lines begin to be lost, or the file cannot be reopened; any thread.

    Attributes:
        lines: as given.
        lost: lines lost since the start.

    Raises:
        OSError: the path cannot be opened.

    Thread-safety: `settle`, `reopen` and `close` from the loop's thread; the writing thread is the log's own.
    """

    def __init__(
        self, lines: AccessLines, form: str, target: str | int, on_trouble: Callable[[str], object] | None = None
    ) -> None:
        self.lost = 0
        self.lines = lines
        self._form = form
        self._file = LogFile(target)
        self._on_trouble = on_trouble or _to_stderr
        self._missing = 0  # lines lost that the log does not mention yet
        self._cut = False  # the last byte written was inside a line
        self._told = False  # of the loss that goes on
        self._reopen = False
        self._stuck_to_old = False  # reopening failed, and that was told
        self._closing = False
        self._awake = False  # the thread will look for lines once more before it waits
        self._started = False
        self._wake = allocate_lock()
        self._ended = allocate_lock()
        self._wake.acquire()
        self._ended.acquire()

    # --- the loop's side ------------------------------------------------------------------------

    def settle(self) -> None:
        """To be called once a round of the loop: see that what waits gets written."""
        pending = self.lines.pending
        if not pending:
            return
        if not self._awake:
            self._rouse()
        elif pending > PLENTY:
            self._nudge()
            if self.lines.dropped and not self._told:
                self._tell("the reader of the access log is too slow; lines are dropped")

    def reopen(self) -> None:
        """Open the path again, after another program has renamed the file; lines from now on go to the new one."""
        self._reopen = True
        self._rouse()

    def close(self) -> None:
        """Write what is left, for a second at most, and end; again is fine."""
        if self._closing:
            return
        self._closing = True
        if not self._started and not self.lines.pending:
            self._file.close()
            return
        self._rouse()
        self._ended.acquire(timeout=PATIENCE)

    def _rouse(self) -> None:
        self._awake = True
        if not self._started:  # not earlier: a process that forks must not have it
            self._started = True
            start_new_thread(self._work, ())
        self._nudge()

    def _nudge(self) -> None:
        if self._wake.locked():
            self._wake.release()

    # --- the thread's side ----------------------------------------------------------------------

    def _work(self) -> None:
        ending = False
        while not ending:
            self._wake.acquire()
            while True:
                # Looked at before the lines are: what came until then is taken, and nothing comes after.
                ending = self._closing
                if not ending:
                    self._wake.acquire(timeout=GATHER)
                if not self._round():
                    self._awake = False
                    if not self.lines.pending:  # else it came since, and the loop saw no need to wake anybody
                        break
                    self._awake = True
        self._file.close()
        self._ended.release()

    def _round(self) -> bool:
        """Write what waits; whether there was anything."""
        self._see_to_file()
        data, dropped = self.lines.take()
        if not data and not dropped:
            return False
        try:
            self._put_note()
        except _Failed as failure:
            lost = data.count(b"\n")
            reason = failure.reason
        else:
            lost, reason = self._put_lines(data)
        self._missing += lost + dropped
        self.lost += lost + dropped
        if lost:
            self._tell(f"cannot write the access log: {reason}; lines are dropped")
        elif dropped:
            try:
                self._put_note()
            except _Failed:
                pass  # it is still to be said, before the next line
        else:
            self._told = False
        return True

    def _see_to_file(self) -> None:
        try:
            if self._reopen:
                self._reopen = False
                self._file.reopen()
            else:
                self._file.follow()
        except OSError as error:
            if not self._stuck_to_old:
                self._stuck_to_old = True
                self._on_trouble(
                    f"cannot reopen the access log '{self._file.path}': {error.strerror}; the old file stays in use"
                )
        else:
            self._stuck_to_old = False

    def _put_lines(self, data: bytes) -> tuple[int, str]:
        """How many of these lines were lost, and why."""
        try:
            return self._put(data).count(b"\n"), "its reader does not read"
        except _Failed as failure:
            return data.count(b"\n", len(data) - failure.left), failure.reason

    def _put_note(self) -> None:
        """Say how many lines are missing here; first end the one whose rest was lost."""
        text = b"\n" if self._cut else b""
        if self._missing and self._form == "json":
            text += b'{"time":"%s","dropped":%d}\n' % (_utc().encode(), self._missing)
        elif self._missing:
            text += b"# %d lines were dropped here\n" % self._missing
        if not text:
            return
        if self._put(text):
            raise _Failed("its reader does not read", len(text))
        self._missing = 0

    def _put(self, data: bytes) -> bytes:
        """Write; what is left where a stream does not take it before the end."""
        size = len(data)
        at = 0
        view = memoryview(data)
        while at < size:
            end = size
            if self._file.is_stream and size - at > PIPE_PIECE:
                end = data.rfind(b"\n", at, at + PIPE_PIECE) + 1 or at + PIPE_PIECE
            try:
                at += os.write(self._file.fd, view[at:end])
            except BlockingIOError:  # somebody made the stream non-blocking
                if self._closing or not self._wait_for_room():
                    return data[at:]
            except OSError as error:
                self._cut = self._cut if at == 0 else data[at - 1 : at] != b"\n"
                raise _Failed(error.strerror or str(error), size - at) from None
            else:
                self._cut = data[at - 1 : at] != b"\n"
        return b""

    def _wait_for_room(self) -> bool:
        poll = select.poll()
        poll.register(self._file.fd, select.POLLOUT)
        while not poll.poll(STALLED):
            if self._closing:
                return False
        return True

    def _tell(self, message: str) -> None:
        if not self._told:  # once for each gap, not for each line
            self._told = True
            self._on_trouble(message)


class _Failed(Exception):
    """A write failed for good; `left` bytes of what was given are not written."""

    def __init__(self, reason: str, left: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.left = left


def _utc() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"


def _to_stderr(message: str) -> None:
    try:
        os.write(2, f"dimserver: {message}\n".encode("ascii", "backslashreplace"))
    except OSError:
        pass  # nobody is left to be told
