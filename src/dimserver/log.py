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
import select
import stat
import sys
from _thread import allocate_lock
from time import gmtime, localtime, strftime, time

from dimserver.logfile import LogFile

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

PIPE_CHUNK = 4096  # a pipe that polls writable takes PIPE_BUF bytes without blocking (POSIX.1-2017, write)
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
    and the next one that gets through says how many.

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
        self._private = _private(self._file)
        self._lost = 0
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
        if LEVELS.index(level) < self._least or _taken_over(level, message, error, request, detail):
            return
        text = self._format(level, message, error, request, detail)
        if not self._lock.acquire(timeout=1):  # its holder is this very thread, interrupted by a signal
            return
        try:
            self._see_to_file()
            if self._lost:
                text = self._format("warning", f"{self._lost} messages were lost here") + text
            data = text.encode("utf-8", "backslashreplace")
            if self._cut:
                data = b"\n" + data
            written = self._put(data)
            if written:
                self._lost = 0
                self._cut = written < len(data)
            else:
                self._lost += 1
        except OSError:
            pass  # nobody is left to be told
        finally:
            self._lock.release()

    def reopen(self) -> None:
        """Open the path again, after another program has renamed the file (log rotation).

        When it cannot be opened the old file stays in use and says so.
        """
        try:
            with self._lock:
                self._file.reopen()
        except OSError as error:
            self.write(
                "error", f"cannot reopen the log '{self._file.path}': {error.strerror}; the old file stays in use"
            )

    def close(self) -> None:
        """Give back what was opened here; a descriptor that was given is still written to."""
        with self._lock:
            if self._private >= 0:
                os.close(self._private)
                self._private = -1
            self._file.close()

    def _see_to_file(self) -> None:
        try:
            self._file.follow()
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

    def _put(self, data: bytes) -> int:
        """Write as far as that needs no waiting; bytes written."""
        fd = self._file.fd
        if not self._file.is_stream:
            return os.write(fd, data)  # cannot be polled for: it "never blocks"
        if self._private >= 0:
            try:
                return os.write(self._private, data)  # in one go: so those of several processes do not mix
            except BlockingIOError:
                return 0
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            return _send(fd, data)
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        at = 0
        while at < len(data) and poll.poll(0):
            try:
                at += os.write(fd, data[at : at + PIPE_CHUNK])
            except BlockingIOError:  # somebody made the descriptor non-blocking
                break
        return at


def _private(file: LogFile) -> int:
    """A descriptor of our own for the same pipe or terminal, non-blocking; -1 where that is not to be had.

    The one we were given is shared with other processes, who may not expect it to
    become non-blocking; and of two that find room in a pipe, one may have to wait.
    """
    if not file.is_stream or not sys.platform.startswith("linux"):
        return -1
    try:
        return os.open(f"/proc/self/fd/{file.fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # a socket, another user's, or no /proc
        return -1


def _send(fd: int, data: bytes) -> int:
    import socket

    stream = socket.socket(fileno=os.dup(fd))
    try:
        return stream.send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0
    finally:
        stream.close()


def _taken_over(level: str, message: str, error: BaseException | None, request: Request | None, detail: str) -> bool:
    """Whether a handler of the program's own, on the logger ``dimserver``, has it now."""
    logging: Any = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "getLogger"):  # not imported, or not to the end yet
        return False
    logger = logging.getLogger(LOGGER)
    if not logger.handlers:
        return False
    number = 10 * (LEVELS.index(level) + 1)  # of the same name there
    try:
        if number >= logger.level:
            exc_info = None if error is None else (type(error), error, error.__traceback__)
            text = "%s" + (_named(request) + (detail and "\n" + detail)).replace("%", "%%")
            record = logger.makeRecord(LOGGER, number, __file__, 0, text, (message,), exc_info)
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
