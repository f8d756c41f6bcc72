r"""The access log: one line for each answer.

    common     host - - [time] "request line" status bytes
    combined   common, then "referer" "user agent"
    json       one object a line

Three things can go wrong with a log, and each is ruled out here:

* A client writes it.  Target, referer and user agent are a stranger's bytes: a
  quote or a newline would forge fields and lines, an escape sequence would
  reach the terminal of whoever reads it.  Everything outside printable ASCII,
  quotes and backslashes are escaped (`\xhh`, `\uhhhh`), and a field is cut at
  `MAX_FIELD` characters.
* It stops the loop.  Lines are collected and written once a tick.  A pipe or a
  terminal is asked first whether it can take more; what it cannot take waits,
  up to `MAX_WAITING` bytes, and then is dropped and counted.
* It stops the server.  A full disk or a reader that left costs lines, never
  answers.
"""

from __future__ import annotations

import os
import select
import stat
import time
from time import time as clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Headers(Protocol):
        """The part of a request's headers that is read here."""

        def get(self, name: str) -> str | None: ...

    class Request(Protocol):
        """The part of a RequestPoint that is logged."""

        @property
        def request_id(self) -> str: ...
        @property
        def method(self) -> str: ...
        @property
        def raw_target(self) -> str: ...
        @property
        def http_version(self) -> str: ...
        @property
        def headers(self) -> Headers: ...
        @property
        def client_ip(self) -> str | None: ...

    class Log(Protocol):
        """The type of `AccessLog.log`."""

        def __call__(
            self, request: Request | None, status: int, bytes_sent: int, duration_ns: int, client: str = ""
        ) -> None: ...

    class Stream(Protocol):
        """Something with a descriptor."""

        def fileno(self) -> int: ...


__all__ = ["FORMATS", "AccessLog"]

FORMATS = ("common", "combined", "json")

KiB = 1024
NEWLINE = 10

MAX_FIELD = 4 * KiB  # characters of a field from the client; a request line or header field may have 8 KiB
MAX_WAITING = 1024 * KiB  # bytes kept for a reader that does not read
MAX_WRITES = 64  # writes to a pipe in one tick: 256 KiB, well under a millisecond
PIPE_CHUNK = 4 * KiB  # a pipe that polls writable takes PIPE_BUF bytes without blocking (POSIX.1-2017, write)

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # not the locale's


class _Escapes(dict[int, str]):
    """Translation table of `str.translate`, filled as characters turn up."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in '"\\':
            escaped = "\\" + char
        elif " " <= char <= "~":
            escaped = char
        elif code < 0x100:
            escaped = f"\\x{code:02x}"
        elif code < 0x10000:
            escaped = f"\\u{code:04x}"
        else:
            escaped = f"\\U{code:08x}"
        if code < 0x100:  # bounded: a client must not grow the table
            self[code] = escaped
        return escaped


_ESCAPES = _Escapes()
_NOTHING: dict[str, str] = {}


def escape(text: str) -> str:
    """`text` as it may stand between double quotes in a line of the log."""
    if len(text) > MAX_FIELD:
        text = text[:MAX_FIELD] + "..."
    # Nearly every field is clean, and this test is five times cheaper than the translation.
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


class AccessLog:
    """Writes the access log.

    Args:
        form: one of `FORMATS`.
        target: a path (appended to, made with mode 0640), or an object with a descriptor.
        on_trouble: told in one line when lines begin to be lost; standard error when None.

    Attributes:
        log: takes down one answer: `log(request, status, bytes_sent, duration_ns, client="")`, with the
            request (None when it could not be read: a 400), the status and the bytes of the answer's
            body, the time it took, and the address for when there is no request to ask.
        lines: what waits for the next `flush`; the loop calls it when this is not empty.
        dropped: lines lost since the start.

    Raises:
        OSError: the path cannot be opened.
        ValueError: no such format.

    Thread-safety: none; one thread, the loop's, logs and flushes.
    """

    __slots__ = (
        "_cut",
        "_fd",
        "_form",
        "_lost",
        "_on_trouble",
        "_path",
        "_patient",
        "_poll",
        "_quote",
        "_second",
        "_stamp",
        "_stream",
        "_waiting",
        "dropped",
        "lines",
        "log",
    )

    def __init__(self, form: str, target: str | Stream, on_trouble: Callable[[str], None] | None = None) -> None:
        if form not in FORMATS:
            raise ValueError(f"no access log format {form!r}; allowed: {', '.join(FORMATS)}")
        self.log: Log
        self.lines: list[str] = []
        self.dropped = 0
        self._form = form
        self._second = -1
        self._stamp = ""
        self._waiting = b""  # what a pipe would not take
        self._lost = 0  # lines dropped that the log does not mention yet
        self._cut = False  # the last byte written was inside a line
        self._on_trouble = on_trouble or _to_stderr
        self._path = target if isinstance(target, str) else None
        self._stream = target  # kept: its descriptor closes with it
        self._fd = _open(target) if isinstance(target, str) else target.fileno()
        self._look_at_target()
        if form == "json":
            from json.encoder import encode_basestring_ascii

            self._quote: Callable[[str], str] = encode_basestring_ascii
            self.log = self._log_json
        else:
            self.log = self._log_plain

    def _look_at_target(self) -> None:
        # Writing to a regular file cannot be polled for: it "never blocks".
        self._patient = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

    def _log_plain(
        self,
        request: Request | None,
        status: int,
        bytes_sent: int,
        duration_ns: int,  # noqa: ARG002 - in no classic format, but all formats are called alike
        client: str = "",
    ) -> None:
        second = int(clock())
        if second != self._second:
            self._tick(second)
        if request is None:
            line = f'{client or "-"} - - [{self._stamp}] "-" {status} {bytes_sent}'
        else:
            line = (
                f'{request.client_ip or client or "-"} - - [{self._stamp}] "{escape(request.method)} '
                f'{escape(request.raw_target)} HTTP/{request.http_version}" {status} {bytes_sent}'
            )
        if self._form == "combined":
            get = _NOTHING.get if request is None else request.headers.get
            line += f' "{escape(get("referer") or "-")}" "{escape(get("user-agent") or "-")}"'
        self.lines.append(line + "\n")

    def _log_json(
        self, request: Request | None, status: int, bytes_sent: int, duration_ns: int, client: str = ""
    ) -> None:
        second = int(clock())
        if second != self._second:
            self._tick(second)
        if request is None:
            self.lines.append(
                f'{{"time":"{self._stamp}","client":{self._text(client or None)},"request_id":null,"method":null,'
                f'"target":null,"protocol":null,"status":{status},"bytes":{bytes_sent},'
                f'"duration_us":{duration_ns // 1000},"referer":null,"user_agent":null}}\n'
            )
            return
        quote = self._quote
        get = request.headers.get
        address = request.client_ip or client
        referer = get("referer")
        agent = get("user-agent")
        line = (
            f'{{"time":"{self._stamp}","client":{quote(address) if address else "null"},'
            f'"request_id":{quote(request.request_id)},"method":{quote(request.method)},'
            f'"target":{quote(request.raw_target)},"protocol":"HTTP/{request.http_version}","status":{status},'
            f'"bytes":{bytes_sent},"duration_us":{duration_ns // 1000},'
            f'"referer":{"null" if referer is None else quote(referer)},'
            f'"user_agent":{"null" if agent is None else quote(agent)}}}\n'
        )
        # Length and DEL (the one control character that JSON lets through) are looked at once for the whole
        # line, not for each field: that is a third of the time of a line.
        if len(line) > MAX_FIELD or "\x7f" in line:
            text = self._text
            line = (
                f'{{"time":"{self._stamp}","client":{text(address or None)},'
                f'"request_id":{text(request.request_id)},"method":{text(request.method)},'
                f'"target":{text(request.raw_target)},"protocol":"HTTP/{request.http_version}","status":{status},'
                f'"bytes":{bytes_sent},"duration_us":{duration_ns // 1000},'
                f'"referer":{text(referer)},"user_agent":{text(agent)}}}\n'
            )
        self.lines.append(line)

    def _tick(self, second: int) -> None:
        self._second = second
        self._stamp = _utc(second) if self._form == "json" else _local(second)

    def _text(self, value: str | None) -> str:
        if value is None:
            return "null"
        if len(value) > MAX_FIELD:
            value = value[:MAX_FIELD] + "..."
        return self._quote(value).replace("\x7f", "\\u007f")

    def flush(self) -> bool:
        """Write what is waiting, as far as that needs no waiting.

        Returns:
            Whether nothing is left; when False, call again soon.
        """
        count = len(self.lines)
        fresh = "".join(self.lines).encode("ascii", "backslashreplace")
        self.lines.clear()
        try:
            if self._lost and not self._caught_up():
                self._drop(count)
            elif len(self._waiting) > MAX_WAITING:
                self._drop(count, "the reader of the access log does not keep up")
            else:
                self._waiting += fresh
                count = 0  # counted with what waits, from here on
            self._advance()
        except OSError as error:
            count += self._waiting.count(b"\n")
            self._waiting = b""
            self._drop(count, f"cannot write the access log: {error.strerror}")
        return not self._waiting

    def _advance(self) -> None:
        written = self._write(self._waiting)
        if written:
            self._waiting = self._waiting[written:]

    def _caught_up(self) -> bool:
        """After a loss: whether what was kept is out, and a line says how many are missing behind it.

        Lines are taken up again only then, so that the line stands where the gap is.
        """
        self._advance()
        if self._waiting:
            return False
        end = b"\n" if self._cut else b""  # of a line whose rest was dropped
        if self._form == "json":
            note = b'%s{"time":"%s","dropped":%d}\n' % (end, self._stamp.encode(), self._lost)
        else:
            note = b"%s# %d lines were dropped here\n" % (end, self._lost)
        if self._write(note) < len(note):
            return False
        self._lost = 0
        return True

    def _write(self, data: bytes) -> int:
        """Bytes written of `data`, without blocking on a reader."""
        at = 0
        if self._patient:
            at = os.write(self._fd, data) if data else 0
        else:
            for _ in range(MAX_WRITES):
                if at == len(data) or not self._poll.poll(0):
                    break
                try:
                    at += os.write(self._fd, data[at : at + PIPE_CHUNK])
                except BlockingIOError:  # somebody made the descriptor non-blocking
                    break
        if at:
            self._cut = data[at - 1] != NEWLINE
        return at

    def _drop(self, count: int, reason: str = "") -> None:
        if not self._lost and count:  # told once for each gap, not for each line
            self._on_trouble(f"{reason}; lines are dropped")
        self.dropped += count
        self._lost += count

    def reopen(self) -> None:
        """Open the path again, after another program has renamed the file (log rotation).

        Raises:
            OSError: it cannot be opened; the old file stays in use.
        """
        if self._path is None:
            return
        self.flush()
        fresh = _open(self._path)
        os.close(self._fd)
        self._fd = fresh
        self._look_at_target()

    def close(self) -> None:
        """Write what is left, and close the file if it was opened here."""
        deadline = time.monotonic() + 1  # seconds; a reader that does not read must not hold up the exit
        while not self.flush():
            if time.monotonic() > deadline:
                break
            self._poll.poll(50)
        if self._path is not None and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _to_stderr(message: str) -> None:
    try:
        os.write(2, f"dimserver: {message}\n".encode("ascii", "backslashreplace"))
    except OSError:
        pass  # nobody is left to be told


def _local(second: int) -> str:
    t = time.localtime(second)
    minutes = t.tm_gmtoff // 60
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    return (
        f"{t.tm_mday:02}/{MONTHS[t.tm_mon - 1]}/{t.tm_year:04}:{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} "
        f"{sign}{hours:02}{minutes:02}"
    )


def _utc(second: int) -> str:
    t = time.gmtime(second)
    return f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}Z"
