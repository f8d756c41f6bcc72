"""Files of a directory over HTTP.

    app.route("/static/", StaticFiles("public", prefix="/static/"), exact=False)

GET and HEAD; a directory is its index file; a directory without the slash at its
end is sent there (301).  Validators, preconditions and ranges are those of
RFC 9110 sections 8.8, 13 and 14.

What is not served, all of it as 404 so that nothing is learned from the answer:
a name that begins with a dot, but for ``/.well-known/``; one that holds a slash or NUL once decoded, or a backslash;
an empty name (``//``); whatever a link leads to outside the directory (`rooted`);
anything but a regular file.  Names are judged as they stand in the URL: a link
the operator made may pass through a directory with a dot.  A file that is there
but may not be read is 403, since the fault is the operator's to find.  There are
no listings.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from time import time as clock

from dimcore.net.socket_io import Composite, FileBody
from dimserver.errors import ConfigError
from dimserver.handlers.conditional import evaluate, format_date, range_applies
from dimserver.handlers.file_cache import CachedFile, FileCache, stamp_of
from dimserver.handlers.media_types import media_type
from dimserver.handlers.ranges import read_range
from dimserver.handlers.safe_open import Root
from dimserver.handlers.validators import Tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Headers(Protocol):
        """The part of a request's headers that is read here."""

        def get(self, name: str) -> str | None: ...
        def getall(self, name: str) -> list[str]: ...
        def __contains__(self, name: object, /) -> bool: ...

    class Request(Protocol):
        """The part of a RequestPoint that is read here."""

        @property
        def method(self) -> str: ...
        @property
        def path(self) -> str: ...
        @property
        def raw_path(self) -> str: ...
        @property
        def query_string(self) -> str: ...
        @property
        def headers(self) -> Headers: ...

    Body = bytes | FileBody | Composite
    Answer = tuple[int, dict[str, str], Body]

__all__ = ["StaticFiles"]

KiB = 1024

# Up to here the file is read, kept, and goes out with its head in one send; above, sendfile saves the copy.
INLINE_BYTES = 16 * KiB

# A request without any of these gets the whole file.
CONDITIONS = ("if-none-match", "if-modified-since", "range", "if-match", "if-unmodified-since")

WELL_KNOWN = b".well-known"  # at the root alone (RFC 8615 section 3)
MAX_DEPTH = 64  # names in a path: each directory is a descriptor while the path is walked

_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")  # RFC 2978 2.3, of what is registered
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")  # any other % stands for itself, as for every handler

_NOT_THERE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.EMLINK,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EILSEQ,  # a name that is no text, where names must be (macOS)
        errno.ENXIO,  # a socket, or a device without hardware
        errno.ENODEV,
    }
)
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class StaticFiles:
    """A handler that serves a directory.

    Args:
        directory: its path.  If it is a link it is followed anew for every request.
        prefix: the path it is mounted at, decoded, for example ``"/static/"``; what follows it names the file.
        index: the file a directory stands for; ``""`` for none.
        charset: what every ``text/*`` is said to be in, for example ``"utf-8"``; None says nothing of it.

    Raises:
        ConfigError: the directory is not there, is none or may not be entered; the prefix, the index or the charset
            is no such thing.

    Thread-safety: safe; nothing changes after construction.
    """

    __slots__ = ("_index", "_kept", "_prefix", "_root", "_root_path", "_tags", "_text", "_under", "directory")

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        prefix: str = "/",
        index: str = "index.html",
        charset: str | None = None,
    ) -> None:
        self.directory = os.fspath(directory)
        _check_directory(self.directory)
        if not prefix.startswith("/") or "{" in prefix or "//" in prefix:
            raise ConfigError(f"prefix {prefix!r}: expected a path like '/static/', without parameters")
        if index.startswith(".") or "/" in index or "\0" in index:
            raise ConfigError(f"index {index!r}: expected the name of a file, or '' for none")
        if charset is not None and not _CHARSET.fullmatch(charset):
            raise ConfigError(f"charset {charset!r}: expected the name of one, like 'utf-8', or None")
        self._root_path = self._under = ""
        self._text = "" if charset is None else f"; charset={charset}"
        self._root = Root(directory)
        self._prefix = [part.encode() for part in prefix.split("/") if part]
        self._index = index.encode()
        self._kept = FileCache()
        self._tags = Tags()

    def __repr__(self) -> str:
        return f"StaticFiles({self.directory!r})"

    def __call__(self, request: Request) -> Answer:
        """Answer a request.

        Returns:
            ``(status, headers, body)``; of a HEAD the body is empty and Content-Length that of the GET.

        Raises:
            OSError: the system failed in a way that says nothing about the request (an input/output error).
        """
        raw_path = request.raw_path
        kept = self._kept.find(raw_path)
        if kept is not None and (again := self._again(request, raw_path, kept)) is not None:
            return again
        method = request.method
        if method not in ("GET", "HEAD"):
            return _plain(405, "Method Not Allowed", {"Allow": "GET, HEAD"})
        names = self._names(raw_path)
        if names is None:
            return _plain(404, "Not Found")
        if not names:
            return self._to_directory(request)
        try:
            fd = self._root.open(names)
        except OSError as error:
            return _refused(error)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                # With its slash it was the index that was opened: a directory of that name is no file.
                if stat.S_ISDIR(status.st_mode) and not raw_path.endswith("/"):
                    return self._to_directory(request)
                return _plain(404, "Not Found")
            answer = _answer(request, status, self._tags.of(fd, status), names[-1], self._text)
            if isinstance(answer, Plan):
                if method == "HEAD":
                    answer.headers["Content-Length"] = str(status.st_size)
                    return answer.status, answer.headers, b""
                body, fd = _body(answer, fd)
                if answer.status == 200 and type(body) is bytes:
                    self._keep(raw_path, names, status, answer.headers, body)
                elif answer.status == 206 and len(answer.ranges) == 1 and status.st_size > INLINE_BYTES:
                    fields = {"Accept-Ranges": "bytes", **answer.headers}
                    del fields["Content-Range"]
                    self._keep(raw_path, names, status, fields, None)
                return answer.status, answer.headers, body
            return answer
        except OSError as error:
            return _refused(error)
        finally:
            if fd >= 0:
                os.close(fd)

    def _again(self, request: Request, raw_path: str, kept: CachedFile) -> Answer | None:
        """The answer out of memory; ``None`` where the file changed or the request asks for more than that."""
        headers = request.headers
        content = kept.content
        if content is None:
            return self._stretch_again(request, headers, raw_path, kept)
        if not kept.is_current():
            self._kept.forget(raw_path)
            return None
        for name in CONDITIONS:
            if name in headers:
                break
        else:
            if request.method in ("GET", "HEAD"):
                return 200, kept.fields.copy(), content
            return None
        if name == "range":
            size = len(content)
            span = _plain_range(request, headers, size)
            if span is None:
                return None
            return 206, _partial(kept.fields, span, size), content[span[0] : span[0] + span[1]]
        if request.method == "GET" and evaluate(headers, kept.etag, kept.modified) == 304:
            return 304, {"ETag": kept.etag, "Last-Modified": kept.fields["Last-Modified"]}, b""
        return None

    def _stretch_again(self, request: Request, headers: Headers, raw_path: str, kept: CachedFile) -> Answer | None:
        """One small range of a large file: opened anew, but judged and described before."""
        size = kept.stamp[3]
        span = _plain_range(request, headers, size)
        if span is None or span[1] > INLINE_BYTES or "if-none-match" in headers or "if-modified-since" in headers:
            return None
        try:
            fd = self._root.open(kept.names)
        except OSError:
            self._kept.forget(raw_path)
            return None
        try:
            if stamp_of(os.fstat(fd)) == kept.stamp:
                return 206, _partial(kept.fields, span, size), _read(fd, *span)
        except OSError:
            pass
        finally:
            os.close(fd)
        self._kept.forget(raw_path)
        return None

    def _keep(
        self, raw_path: str, names: list[bytes], status: os.stat_result, fields: dict[str, str], content: bytes | None
    ) -> None:
        modified = status.st_mtime_ns // 1_000_000_000
        path = b"/".join((self._root.path, *names))
        file = CachedFile(path, names, status, fields["ETag"], modified, fields.copy(), content)
        self._kept.keep(raw_path, file, status)

    def configure_root_path(self, root_path: str) -> None:
        """Take over the path below which a proxy has the server, decoded; ``""`` for none."""
        self._root_path = root_path
        self._under = ""
        if root_path:
            from urllib.parse import quote

            self._under = quote(root_path, "/!$&'()*+,;=:@~")

    def _to_directory(self, request: Request) -> Answer:
        # The path as it came: it begins with one slash (an empty name is no file), so it cannot name another host.
        query = request.query_string
        location = request.raw_path + "/"
        if self._under and not (request.path + "/").startswith(self._root_path + "/"):
            location = self._under + location  # a proxy took it off
        return _plain(301, "Moved Permanently", {"Location": f"{location}?{query}" if query else location})

    def _names(self, raw_path: str) -> list[bytes] | None:
        """The steps from the directory to the file; none: the directory without its slash; ``None``: no such file."""
        path = raw_path.encode("utf-8", "surrogateescape")
        names = path.split(b"/")
        if b"%" in path:
            # Split first, decoded after, once: an encoded slash stays inside its name and is refused there.
            names = [_ESCAPE.sub(_unescape, name) for name in names]
        depth = len(self._prefix) + 1
        if names[0] or len(names) == 1 or names[1:depth] != self._prefix or len(names) - depth > MAX_DEPTH:
            return None
        del names[:depth]
        if names and not names[-1]:
            if not self._index:
                return None
            names[-1] = self._index
        for at, name in enumerate(names):
            if name == WELL_KNOWN and at == 0 and not self._prefix and len(names) > 1:
                continue
            if not name or name[0] == 0x2E or b"/" in name or b"\\" in name or b"\0" in name:
                return None
        return names


class Plan:
    """What is to be sent of a file."""

    __slots__ = ("headers", "ranges", "status", "total")

    def __init__(self, status: int, headers: dict[str, str], ranges: list[tuple[int, int]], total: int) -> None:
        self.status = status
        self.headers = headers
        self.ranges = ranges  # (first, count); more than one: multipart
        self.total = total  # bytes of the file


def _answer(request: Request, status: os.stat_result, etag: str, name: bytes, text: str) -> Plan | Answer:
    """What a request gets of a regular file; `text` goes behind the media type of one."""
    headers = request.headers
    size = status.st_size
    now = clock()
    # Never a date that is still to come (RFC 9110 8.8.2.1).
    modified = min(max(0, status.st_mtime_ns // 1_000_000_000), int(now))
    fields = {"ETag": etag, "Last-Modified": format_date(modified)}
    decided = evaluate(headers, etag, modified)
    if decided == 304:
        return 304, fields, b""
    if decided is not None:
        return _plain(412, "Precondition Failed")
    kind = media_type(name)
    fields["Content-Type"] = kind + text if kind.startswith("text/") else kind
    fields["Accept-Ranges"] = "bytes"
    ranges = None
    if request.method == "GET":  # Range is defined for nothing else (14.2)
        value = headers.get("range")
        if value is not None and len(headers.getall("range")) == 1 and range_applies(headers, etag, modified, now):
            ranges = read_range(value, size)
    if ranges is None:
        return Plan(200, fields, [(0, size)], size)
    if not ranges:
        return _plain(416, "Range Not Satisfiable", {"Content-Range": f"bytes */{size}"})
    del fields["Accept-Ranges"]  # who got a part knows
    if len(ranges) == 1:
        fields["Content-Range"] = _content_range(ranges[0], size)
    return Plan(206, fields, ranges, size)


def _body(plan: Plan, fd: int) -> tuple[Body, int]:
    """The body of a plan, and the descriptor that is still to be closed (-1: the body owns it)."""
    if len(plan.ranges) == 1:
        return _stretch(fd, *plan.ranges[0])
    # The boundary is chosen anew each time, so nobody can put it into a file beforehand (RFC 2046 5.1.1).
    boundary = os.urandom(16).hex()
    content_type = plan.headers["Content-Type"]
    plan.headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    parts: list[bytes | FileBody] = []
    line_end = ""
    whole: FileBody | None = None  # one descriptor for all of them
    for span in plan.ranges:
        head = f"{line_end}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: "
        parts.append(f"{head}{_content_range(span, plan.total)}\r\n\r\n".encode("ascii"))
        if span[1] <= INLINE_BYTES:
            parts.append(_read(fd, *span))
        else:
            if whole is None:
                whole = FileBody(os.dup(fd), 0, plan.total)
            parts.append(whole.stretch(*span))
        line_end = "\r\n"
    parts.append(f"\r\n--{boundary}--\r\n".encode("ascii"))
    return Composite(parts), fd


def _plain_range(request: Request, headers: Headers, size: int) -> tuple[int, int] | None:
    """(first, count) where a GET asks for one stretch that is there and makes no condition that the rest must judge."""
    if request.method != "GET":
        return None
    for name in ("if-range", "if-match", "if-unmodified-since"):
        if name in headers:
            return None
    values = headers.getall("range")
    ranges = read_range(values[0], size) if len(values) == 1 else None
    return ranges[0] if ranges is not None and len(ranges) == 1 else None


def _partial(fields: dict[str, str], span: tuple[int, int], total: int) -> dict[str, str]:
    """The fields of a 206 by those of the 200."""
    partial = fields.copy()
    partial.pop("Accept-Ranges", None)
    partial["Content-Range"] = _content_range(span, total)
    return partial


def _stretch(fd: int, first: int, count: int) -> tuple[Body, int]:
    if count <= INLINE_BYTES:
        return _read(fd, first, count), fd
    return FileBody(fd, first, count), -1


def _read(fd: int, first: int, count: int) -> bytes:
    data = os.pread(fd, count, first) if count else b""
    if len(data) != count:
        # Cut short since it was looked at, so somebody is writing it: nothing true can be said of it just now.
        raise BlockingIOError(errno.EAGAIN, "the file changed while it was read")
    return data


def _content_range(span: tuple[int, int], total: int) -> str:
    return f"bytes {span[0]}-{span[0] + span[1] - 1}/{total}"


def _refused(error: OSError) -> Answer:
    if error.errno in _NOT_THERE:
        return _plain(404, "Not Found")
    if error.errno in _FORBIDDEN:
        return _plain(403, "Forbidden")
    if error.errno in _EXHAUSTED or error.errno == errno.EAGAIN:
        return _plain(503, "Service Unavailable", {"Retry-After": "1"})
    raise error


def _plain(status: int, text: str, fields: dict[str, str] | None = None) -> Answer:
    return status, {"Content-Type": "text/plain; charset=utf-8", **(fields or {})}, f"{text}\n".encode("ascii")


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))


def _check_directory(directory: str) -> None:
    try:
        status = os.stat(directory)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"static directory {directory!r}: {reason}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"static directory {directory!r}: is not a directory")
    if not os.access(directory, os.X_OK):
        raise ConfigError(f"static directory {directory!r}: permission denied")
