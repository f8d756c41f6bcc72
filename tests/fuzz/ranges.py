"""Ranges, preconditions and their dates, and the multipart answers of the file handler.

A text is a set of request fields, one a line; the choices say how long the file is.
"""

from __future__ import annotations

import atexit
import os
import re
import tempfile
from typing import Any, ClassVar

from tests.fuzz.inputs import split_choices

from dimcore import RequestPoint
from dimcore.net.socket_io import Composite, FileBody
from dimserver.handlers import static
from dimserver.handlers.conditional import evaluate, format_date, range_applies, read_date
from dimserver.handlers.ranges import MAX_RANGES, read_range

SIZES = (1, 2, 100, 1000, 5000, 40_000, 1 << 31, (1 << 63) - 1)
FILE_SIZES = (0, 1, 1000, 40_000)
INLINE_BYTES = static.INLINE_BYTES
MOST_BYTES = 32 * 1024  # of fields: no request has more
LAST_MODIFIED = 784111777  # "Sun, 06 Nov 1994 08:49:37 GMT", the RFC's own example
ETAG = '"v1"'

SPEC = re.compile(r"[ \t]*(?:(\d+)-(\d+)?|-(\d+))[ \t]*", re.ASCII)
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")


def model(value: str, size: int) -> list[tuple[int, int]] | None:
    """The wanted stretches, as asked for and each by itself; None: not to be understood."""
    if value[:6].lower() != "bytes=" or size == 0:
        return None
    specs = [spec for spec in value[6:].split(",") if spec.strip(" \t")]
    if not 0 < len(specs) <= MAX_RANGES:
        return None
    wanted = []
    for spec in specs:
        match = SPEC.fullmatch(spec)
        if match is None:
            return None
        first, last, suffix = (None if text is None else int(text) for text in match.groups())
        if suffix is not None:
            wanted.append((max(0, size - suffix), size))
        elif first is not None:
            if last is not None and last < first:
                return None
            wanted.append((first, size if last is None else min(last + 1, size)))
    return [(first, end) for first, end in wanted if first < end]


def check_ranges(value: str, size: int) -> None:
    """Every part is one that was asked for, and together they are no longer than the file."""
    found = read_range(value, size)
    wanted = model(value, size)
    if wanted is None or sum(end - first for first, end in wanted) > size:
        assert found is None
    else:
        assert found == [(first, end - first) for first, end in wanted]


def check_dates(text: str) -> None:
    """A date that can be read is a second that can be written and read again."""
    moment = read_date(text)
    if moment is not None:
        written = format_date(moment)
        assert read_date(written) == moment
        # The day of the week is not looked at, and a leap second is the one before.
        if text.endswith(" GMT") and text[3] == "," and ":60 " not in text:
            assert written[3:] == text[3:]


def tags(values: list[str]) -> set[str]:
    """The entity tags of a list field that is well-formed."""
    return set(re.findall(r'(?:W/)?"[^"]*"', ", ".join(values)))


def check_preconditions(headers: Any) -> None:
    """RFC 9110 13.2.2 step by step."""
    decided = evaluate(headers, ETAG, LAST_MODIFIED)

    def date(name: str) -> int | None:
        values = headers.getall(name)
        return read_date(values[0]) if len(values) == 1 else None

    expected = None
    if matches := headers.getall("if-match"):
        if ", ".join(matches) != "*" and ETAG not in tags(matches):
            expected = 412
    elif (before := date("if-unmodified-since")) is not None and before < LAST_MODIFIED:
        expected = 412
    if expected is None:
        if none := headers.getall("if-none-match"):
            if ", ".join(none) == "*" or {ETAG, f"W/{ETAG}"} & tags(none):
                expected = 304
        elif (since := date("if-modified-since")) is not None and since >= LAST_MODIFIED:
            expected = 304
    assert decided == expected

    conditions = headers.getall("if-range")
    applies = range_applies(headers, ETAG, LAST_MODIFIED, LAST_MODIFIED + 3600)
    named = len(conditions) == 1 and (conditions[0] == ETAG or read_date(conditions[0]) == LAST_MODIFIED)
    assert applies == (not conditions or named)
    if conditions and conditions[0] != ETAG:
        assert not range_applies(headers, ETAG, LAST_MODIFIED, LAST_MODIFIED)


class Files:
    """A directory with a file of each size, and the handler that serves it; made when first needed."""

    handler: static.StaticFiles | None = None
    contents: ClassVar[dict[int, bytes]] = {}
    tags: ClassVar[dict[int, str]] = {}

    @classmethod
    def make(cls) -> static.StaticFiles:
        if cls.handler is None:
            directory = tempfile.TemporaryDirectory(prefix="dimserver-fuzz-")
            atexit.register(directory.cleanup)
            for size in FILE_SIZES:
                # No two stretches alike: one from the wrong place cannot pass.
                cls.contents[size] = b"".join(b"%07d\n" % at for at in range(0, size, 8))[:size]
                path = os.path.join(directory.name, f"{size}.bin")  # noqa: PTH118
                with open(path, "wb") as file:  # noqa: PTH123
                    file.write(cls.contents[size])
                os.utime(path, (LAST_MODIFIED, LAST_MODIFIED))
            cls.handler = static.StaticFiles(directory.name)
            for size in FILE_SIZES:
                status, headers, _ = cls.handler(RequestPoint(path=f"/{size}.bin", headers={"Range": "bytes=0-0"}))
                assert status == (206 if size else 200)
                cls.tags[size] = headers["ETag"]
        return cls.handler


def sent(body: Any) -> int | bytes:
    """The bytes of a body, or how many it has where they stay in the file."""
    if isinstance(body, Composite):
        parts = [part if isinstance(part, bytes) else b"\0" * part.length for part in body.parts]
        assert body.length == sum(map(len, parts))
        body.close()
        return b"".join(parts)
    if isinstance(body, FileBody):
        size = body.length
        body.close()
        return size
    assert isinstance(body, bytes)
    return body


def check_file(request: RequestPoint, size: int) -> None:
    """The whole answer of the file handler: its status, fields and every byte fit one another and the file."""
    handler = Files.make()
    content = Files.contents[size]
    status, headers, body = handler(request)
    data = sent(body)
    count = data if isinstance(data, int) else len(data)
    assert status in (200, 206, 304, 412, 416)
    if status == 200:
        assert count == size
        assert isinstance(data, int) or data == content
    elif status == 304:
        assert count == 0
    elif status == 416:
        assert headers["Content-Range"] == f"bytes */{size}"
    elif status == 206:
        kind = headers["Content-Type"]
        if not kind.startswith("multipart/byteranges; boundary="):
            check_part(headers["Content-Range"], data, content)
            return
        assert isinstance(data, bytes)
        assert "Content-Range" not in headers
        boundary = kind.partition("=")[2].encode()
        preamble, *parts, end = (b"\r\n" + data).split(b"\r\n--" + boundary)
        assert (preamble, end) == (b"", b"--\r\n")
        assert 1 < len(parts) <= MAX_RANGES
        for part in parts:
            head, _, piece = part.partition(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.strip().split(b"\r\n"))
            assert fields.keys() == {b"Content-Type", b"Content-Range"}
            check_part(fields[b"Content-Range"].decode(), piece, content)


def check_part(content_range: str, data: int | bytes, content: bytes) -> None:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range)
    assert match is not None
    first, last, total = map(int, match.groups())
    assert total == len(content)
    assert 0 <= first <= last < total
    count = data if isinstance(data, int) else len(data)
    assert count == last - first + 1
    # A long stretch stays in the file, and in a composite only its length is seen.
    if isinstance(data, bytes) and (count <= INLINE_BYTES or any(data)):
        assert data == content[first : last + 1]


def check(data: bytes) -> None:
    """Check one input.

    Raises:
        AssertionError: ranges or preconditions are wrong about it.
    """
    choices, text = split_choices(data)
    fields = []
    room = MOST_BYTES
    for line in text.split(b"\n")[:20]:
        match = FIELD.fullmatch(line)
        room -= len(line)
        if match is not None and room >= 0:
            fields.append((match[1].decode(), match[2].decode("latin-1").strip(" \t")))
    for name, value in fields:
        if name.lower() == "range":
            for size in (SIZES[choices[0] % len(SIZES)], choices[1] * 256 + choices[2]):
                check_ranges(value, size)
        else:
            check_dates(value)
    size = FILE_SIZES[choices[3] % len(FILE_SIZES)]
    check_preconditions(RequestPoint(path="/", headers=fields).headers)
    Files.make()
    # A tag cannot be guessed: the file's own stands where the text says "v1".
    own = [(name, value.replace(ETAG, Files.tags[size])) for name, value in fields]
    check_file(RequestPoint(path=f"/{size}.bin", headers=own), size)
