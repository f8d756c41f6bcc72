"""The error log: messages for the operator, one line each, a traceback below or inside where there is one.

    text    2026-01-31 12:00:00 [4711] error: a handler failed: GET /x (request 1f)
    json    {"time":…,"level":"error","worker":0,"pid":4711,"message":…,"request":{…},"error":…,"traceback":…}

They go to standard error or to a file.  A program that wants them in its own
logging attaches a handler to the logger ``dimserver`` of the standard library:
from then on they go there instead, in the levels of the same names.  The other
way round nothing happens: what the app logs is the app's own, and the server
configures no logger of its.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from time import gmtime, localtime, strftime, time

from dimserver.log_file import LogFile
from dimserver.nowait import NoWaitWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Request(Protocol):
        """The part of a RequestPoint that is logged."""

        @property
        def request_id(self) -> str: ...
        @property
        def method(self) -> str: ...
        @property
        def raw_target(self) -> str: ...
        @property
        def client_ip(self) -> str | None: ...


__all__ = ["FORMATS", "LEVELS", "LOGGER", "Log"]

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("text", "json")
LOGGER = "dimserver"
APP = "app"  # level of what an app writes to `wsgi.errors`: none of ours, and never left out
APP_LEVEL = 35  # of the same in the standard library's logging, between warning and error

STANDARD_ERROR = 2
MAX_TRACEBACK = 64 * 1024  # characters; the message of an exception may be a whole document
MAX_TARGET = 1024  # characters of a request target in a message


class Log:
    """Writes messages of a level and above.

    Args:
        level: one of `LEVELS`.
        target: descriptor to write to, or the path of a file, which may be rotated.
        form: one of `FORMATS`.
        worker: number of the worker, for the JSON form.

    A reader that does not read costs messages, never the loop: they are dropped,
    and the next one that gets through says how many.  What a file does not take,
    because its disk is full, goes to standard error.

    Raises:
        OSError: the path cannot be opened.
        ValueError: no such level or form.

    Thread-safety: any thread; messages do not mix.
    """

    def __init__(self, level: str = "info", target: str | int = 2, form: str = "text", worker: int = 0) -> None:
        self._least = LEVELS.index(level)
        self._is_json = FORMATS.index(form) == 1
        self._worker = worker
        self._file = LogFile(target)
        self._writer = NoWaitWriter(self._file.fd)
        self._lost = 0
        self._elsewhere = 0  # messages that standard error has instead of the file
        self._reason = ""  # why the last write to the file failed
        self._cut = False  # the last byte written was inside a message
        self._lock = allocate_lock()

    def debug(self, message: str) -> None:
        """For whoever looks into the server itself."""
        self.write("debug", message)

    def info(self, message: str) -> None:
        """What an operator may want to know."""
        self.write("info", message)

    def warning(self, message: str, detail: str = "") -> None:
        """Something that works, but not as asked; `detail` may have many lines."""
        self.write("warning", message, detail=detail)

    def error(self, message: str, error: BaseException | None = None, request: Request | None = None) -> None:
        """Something failed; the server goes on."""
        self.write("error", message, error, request)

    def write(
        self,
        level: str,
        message: str,
        error: BaseException | None = None,
        request: Request | None = None,
        detail: str = "",
    ) -> None:
        """Write one message, with the name of `request`, the lines of `detail` and the traceback of `error`."""
        if LEVELS.index(level) < self._least:
            return
        self.announce(level, message, error, request, detail)

    def announce(
        self,
        level: str,
        message: str,
        error: BaseException | None = None,
        request: Request | None = None,
        detail: str = "",
    ) -> None:
        """`write`, whatever the least level is: the lines at the start and the end of a server."""
        if not _taken_over(10 * (LEVELS.index(level) + 1), message, error, request, detail):
            self._append(self._format(level, message, error, request, detail))

    def pass_on(self, text: str) -> None:
        """Write text of the app's own as it is, whatever the level of this log: only its author knows what it means.

        Args:
            text: whole lines; in the JSON form they are one entry, of the level ``app``.
        """
        bare = text.rstrip("\n")
        if not _taken_over(APP_LEVEL, bare, None, None, ""):
            if not self._is_json:
                self._append(text)
            elif bare.strip():
                self._append(_json(APP, self._worker, bare, None, None, ""))

    def dropped(self, number: int = 1) -> None:
        """Count messages that could not be written elsewhere; the next one says how many are missing."""
        with self._lock:
            self._lost += number

    def _append(self, text: str) -> None:
        if not self._lock.acquire(timeout=1):  # its holder is this very thread, interrupted by a signal
            self._lost += 1
            return
        try:
            if self._file.fd < 0:  # closed
                return
            self._see_to_file()
            note = self._missing()
            if self._put(note + text):
                self._lost = self._elsewhere = 0
            elif self._put_elsewhere(text):
                self._elsewhere += 1
            else:
                self._lost += 1
        finally:
            self._lock.release()

    def _missing(self) -> str:
        notes = []
        if self._lost:
            notes.append(f"{self._lost} messages were lost here")
        if self._elsewhere:
            notes.append(f"{self._elsewhere} messages are on standard error, because this file could not be written")
        return "".join(self._format("warning", note) for note in notes)

    def _put(self, text: str) -> bool:
        data = text.encode("utf-8", "backslashreplace")
        if self._cut:
            data = b"\n" + data
        self._reason = ""
        try:
            written = self._writer.put(data)
        except OSError as error:
            self._reason = error.strerror or str(error)
            return False
        if written:
            self._cut = written < len(data)
        if self._file.is_stream or written == len(data):
            return written > 0
        self._reason = "no room for the whole message"  # only a disk that is full takes a part
        return False

    def _put_elsewhere(self, text: str) -> bool:
        """Give standard error a message that could not be written; whether it took it."""
        if not self._reason or self._file.fd == STANDARD_ERROR:  # its reader is slow, or nothing else is left
            return False
        if not self._elsewhere:
            what = f"cannot write the log '{self._file.path or 'standard output'}': {self._reason}"
            text = self._format("error", f"{what}; messages go to standard error meanwhile") + text
        data = text.encode("utf-8", "backslashreplace")
        try:
            writer = NoWaitWriter(STANDARD_ERROR)
            try:
                return writer.put(data) > 0
            finally:
                writer.close()
        except OSError:
            return False  # nobody is left to be told

    def reopen(self) -> None:
        """Open the path again, after another program has renamed the file (log rotation).

        When it cannot be opened the old file stays in use and says so.
        """
        try:
            with self._lock:
                self._file.reopen()
                self._renew_writer()
        except OSError as error:
            self.write(
                "error", f"cannot reopen the log '{self._file.path}': {error.strerror}; the old file stays in use"
            )

    def close(self) -> None:
        """Give back what was opened here; a descriptor that was given is still written to."""
        with self._lock:
            self._writer.close()
            self._file.close()

    def _renew_writer(self) -> None:
        if self._file.fd != self._writer.fd or self._file.path is not None:
            self._writer.close()
            self._writer = NoWaitWriter(self._file.fd)

    def _see_to_file(self) -> None:
        try:
            if self._file.follow():
                self._renew_writer()
        except OSError:
            pass  # the old file stays in use, and the next look is in a second

    def _format(
        self,
        level: str,
        message: str,
        error: BaseException | None = None,
        request: Request | None = None,
        detail: str = "",
    ) -> str:
        if self._is_json:
            return _json(level, self._worker, message, error, request, detail)
        stamp = strftime("%Y-%m-%d %H:%M:%S", localtime())
        text = f"{stamp} [{os.getpid()}] {level}: {_clean(message + _named(request))}\n"
        if detail:
            text += _indented(_shortened(detail))
        return text if error is None else text + _indented(_traceback(error))


def _taken_over(number: int, message: str, error: BaseException | None, request: Request | None, detail: str) -> bool:
    """Whether a handler of the program's own, on the logger ``dimserver``, has it now."""
    logging: Any = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "getLogger"):  # not imported, or not to the end yet
        return False
    logger = logging.getLogger(LOGGER)
    if not logger.handlers:
        return False
    try:
        if number >= logger.level:
            exc_info = None if error is None else (type(error), error, error.__traceback__)
            text = "%s" + (_named(request) + (detail and "\n" + detail)).replace("%", "%%")
            record = logger.makeRecord(LOGGER, number, __file__, 0, text, (message,), exc_info)
            if number == APP_LEVEL:
                record.levelname = APP.upper()
            record.request_id = None if request is None else request.request_id
            logger.handle(record)
    except Exception:  # a filter's fault must not cost the message
        return False
    return True


def _named(request: Request | None) -> str:
    return "" if request is None else f": {request.method} {_cut(request.raw_target)} (request {request.request_id})"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TARGET else text[:MAX_TARGET] + "..."


def _json(
    level: str, worker: int, message: str, error: BaseException | None, request: Request | None, detail: str
) -> str:
    from json import dumps

    now = time()
    record: dict[str, object] = {
        "time": strftime("%Y-%m-%dT%H:%M:%S", gmtime(now)) + f".{int(now * 1000) % 1000:03}Z",
        "level": level,
        "worker": worker,
        "pid": os.getpid(),
        "message": message,
    }
    if request is not None:
        record["request"] = {
            "id": request.request_id,
            "method": request.method,
            "target": _cut(request.raw_target),
            "client": request.client_ip,
        }
    if detail:
        record["detail"] = _shortened(detail)
    if error is not None:
        record["error"] = type(error).__name__
        record["traceback"] = _traceback(error)
    # ASCII throughout, so no control character reaches a terminal; DEL is the one that JSON lets through.
    return dumps(record, separators=(",", ":")).replace("\x7f", "\\u007f") + "\n"


def _clean(text: str) -> str:
    # Text of a client may be part of it: control characters must not reach a terminal or fake a line.
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _traceback(error: BaseException) -> str:
    from traceback import format_exception

    return _shortened("".join(format_exception(error)))


def _shortened(text: str) -> str:
    if len(text) > MAX_TRACEBACK:
        half = MAX_TRACEBACK // 2
        text = f"{text[:half]}\n...\n{text[-half:]}"
    return text


def _indented(text: str) -> str:
    """An exception's own text may have many lines, and none may pass for a message."""
    return "".join(f"  {_clean(line)}\n" for line in text.rstrip("\n").split("\n"))
