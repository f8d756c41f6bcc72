"""The access log: its formats, what hostile clients may not do to it, and readers that do not read."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dimserver.filters import accesslog
from dimserver.filters.accesslog import FORMATS, MAX_FIELD, MAX_WAITING, AccessLog, escape

NOON = 1_700_000_000.7  # 2023-11-14 22:13:20 UTC


class Request:
    def __init__(self, **fields: str) -> None:
        self.request_id = fields.pop("request_id", "1f")
        self.method = fields.pop("method", "GET")
        self.raw_target = fields.pop("raw_target", "/hello?x=1")
        self.http_version = "1.1"
        self.client_ip: str | None = "203.0.113.9"
        self.headers = {name.replace("_", "-"): value for name, value in fields.items()}


class Pipe:
    """A pipe whose write end looks like a stream."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def fileno(self) -> int:
        return self.writer

    def read(self) -> bytes:
        return os.read(self.reader, 10_000_000)

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            try:
                os.close(descriptor)
            except OSError:
                pass


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(accesslog, "clock", lambda: NOON)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pair = Pipe()
    yield pair
    pair.close()


def line(form: str, request: Any, *rest: Any, **more: Any) -> str:
    pair = Pipe()
    try:
        log = AccessLog(form, pair)
        log.log(request, *(rest or (200, 1234, 55_555)), **more)
        assert log.flush()
        return pair.read().decode("ascii")
    finally:
        pair.close()


def test_common() -> None:
    expected = '203.0.113.9 - - [15/Nov/2023:03:43:20 +0530] "GET /hello?x=1 HTTP/1.1" 200 1234\n'
    assert line("common", Request(user_agent="x")) == expected


def test_combined() -> None:
    text = line("combined", Request(referer="http://a/", user_agent="curl/8"))
    assert text.endswith('" 200 1234 "http://a/" "curl/8"\n')
    assert line("combined", Request()).endswith('" 200 1234 "-" "-"\n')


def test_json() -> None:
    text = line("json", Request(user_agent="curl/8"))
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "time": "2023-11-14T22:13:20Z",
        "client": "203.0.113.9",
        "request_id": "1f",
        "method": "GET",
        "target": "/hello?x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 1234,
        "duration_us": 55,
        "referer": None,
        "user_agent": "curl/8",
    }


def test_an_answer_to_what_could_not_be_read() -> None:
    assert line("common", None, 400, 12, 0, client="::1").startswith(
        '::1 - - [15/Nov/2023:03:43:20 +0530] "-" 400 12\n'
    )
    assert line("combined", None, 400, 12, 0).endswith('- - - [15/Nov/2023:03:43:20 +0530] "-" 400 12 "-" "-"\n')
    found = json.loads(line("json", None, 400, 12, 0, client="::1"))
    assert (found["client"], found["status"], found["method"], found["target"]) == ("::1", 400, None, None)
    assert list(found) == list(json.loads(line("json", Request())))


def test_a_client_without_an_address() -> None:
    request = Request()
    request.client_ip = None
    assert line("common", request).startswith("- - - [")
    assert json.loads(line("json", request))["client"] is None


@pytest.mark.parametrize(("zone", "text"), [("UTC", "+0000"), ("America/St_Johns", "-0330"), ("Asia/Tokyo", "+0900")])
def test_offsets(zone: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert f" {text}] " in line("common", Request())


def test_the_time_is_made_once_a_second(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    made: list[int] = []

    def utc(second: int) -> str:
        made.append(second)
        return f"t{second}"

    monkeypatch.setattr(accesslog, "_utc", utc)
    log = AccessLog("json", pipe)
    for now in (5.0, 5.5, 5.999, 6.0, 4.0):  # and a clock that was set back
        monkeypatch.setattr(accesslog, "clock", lambda now=now: now)
        log.log(Request(), 200, 0, 0)
    assert made == [5, 6, 4]
    log.flush()
    assert [json.loads(each)["time"] for each in pipe.read().splitlines()] == ["t5", "t5", "t5", "t6", "t4"]


# hostile clients

HOSTILE = [
    'x" 200 0 "-" "-"\n203.0.113.1 - - [01/Jan/2000:00:00:00 +0000] "GET /forged HTTP/1.1" 200 0 "-" "',
    "a\r\nb",
    "a\nb",
    "a\x0bb\x0cb\x1cb\x85b\u2028b\u2029b",  # everything str.splitlines takes for a line's end
    "\x1b]0;owned\x07\x1b[2J",
    "\x00\x01\x7f\x80\x9b\xff",
    'back\\slash\\" quote',
    "\\",
    '"',
    "caf\xe9 \u202e \U0001f600 \udcff",
    '","status":999,"x":"',
    "</script><script>alert(1)</script>",
    "%s %(x)s {x} %d",
    "",
    " ",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", FORMATS)
def test_a_client_cannot_forge(form: str, text: str) -> None:
    out = line(form, Request(raw_target=text, method=text, referer=text, user_agent=text, request_id=text))
    assert out.endswith("\n")
    body = out[:-1]
    assert len(body.splitlines()) == 1
    assert all(" " <= char <= "~" for char in body)
    if form == "json":
        found = json.loads(body)
        assert found["status"] == 200
        assert found["target"] == found["user_agent"] == found["referer"] == found["method"] == text
    else:
        # As a log analyser reads it: quoted parts, with backslash as the escape.
        quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', body)
        assert len(quoted) == (1 if form == "common" else 3)
        rest = re.sub(r'"(?:[^"\\]|\\.)*"', "", body)
        assert re.fullmatch(r"203\.0\.113\.9 - - \[[^\]]+\]  200 1234 *", rest)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain ~", "plain ~"),
        ('"', '\\"'),
        ("\\", "\\\\"),
        ("\n\x00\x7f", "\\x0a\\x00\\x7f"),
        ("\xe9", "\\xe9"),
        ("\u2028", "\\u2028"),
        ("\U0001f600", "\\U0001f600"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_escape_remembers_only_a_byte_s_worth() -> None:
    escape("".join(map(chr, range(0x20000))))
    escape("\n" + "".join(map(chr, range(MAX_FIELD - 1))))
    assert len(accesslog._ESCAPES) <= 256


@pytest.mark.parametrize("form", FORMATS)
def test_long_fields_are_cut(form: str) -> None:
    out = line(form, Request(raw_target="/" + "\x01" * 100_000, user_agent="y" * 100_000))
    assert len(out) < 8 * MAX_FIELD
    assert "..." in out
    if form == "json":
        assert json.loads(out)["user_agent"] == "y" * MAX_FIELD + "..."


# where it goes


def test_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    log = AccessLog("common", str(path))
    log.log(Request(), 200, 1, 1)
    log.log(Request(), 404, 1, 1)
    assert len(log.lines) == 2
    assert path.read_text() == "before\n"  # nothing is written before the tick's end
    assert log.flush()
    assert not log.lines
    assert len(path.read_text().splitlines()) == 3
    log.close()
    log.close()


def test_a_new_file_is_not_for_everybody(tmp_path: pathlib.Path) -> None:
    AccessLog("common", str(tmp_path / "new.log")).close()
    assert (tmp_path / "new.log").stat().st_mode & 0o007 == 0


def test_a_path_that_cannot_be_opened(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog("common", str(tmp_path / "missing/access.log"))


def test_no_such_format(pipe: Pipe) -> None:
    with pytest.raises(ValueError, match="no access log format 'xml'; allowed: common, combined, json"):
        AccessLog("xml", pipe)


def test_rotation(tmp_path: pathlib.Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog("common", str(path))
    log.log(Request(raw_target="/1"), 200, 1, 1)
    log.flush()
    path.rename(old)
    log.log(Request(raw_target="/2"), 200, 1, 1)
    log.reopen()
    log.log(Request(raw_target="/3"), 200, 1, 1)
    log.close()
    assert [each.split()[6] for each in old.read_text().splitlines()] == ["/1", "/2"]
    assert [each.split()[6] for each in path.read_text().splitlines()] == ["/3"]


def test_rotation_into_nothing_keeps_the_old_file(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog("common", str(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        log.reopen()
    log.log(Request(), 200, 1, 1)
    log.close()
    assert (tmp_path / "moved/access.log").read_text().count("\n") == 1


def test_a_stream_is_not_reopened(pipe: Pipe) -> None:
    log = AccessLog("common", pipe)
    log.reopen()
    log.log(Request(), 200, 1, 1)
    log.close()
    assert pipe.read()
    os.fstat(pipe.writer)  # closed by its owner, not by the log


def test_a_reader_that_does_not_read_never_blocks(pipe: Pipe) -> None:
    told: list[str] = []
    fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, 4096) if hasattr(fcntl, "F_SETPIPE_SZ") else None
    log = AccessLog("json", pipe, told.append)
    started = time.monotonic()
    for _ in range(400):
        for _ in range(50):
            log.log(Request(user_agent="z" * 100), 200, 1, 1)
        log.flush()
    assert time.monotonic() - started < 10
    assert log.dropped > 0
    assert told == ["the reader of the access log does not keep up; lines are dropped"]
    assert len(log._waiting) < MAX_WAITING + 64 * 1024
    # The reader wakes up: what was kept arrives whole, and a line says what is missing.
    read = b""
    dropped = log.dropped
    while not log.flush():
        read += pipe.read()
    read += pipe.read()
    log.log(Request(), 200, 1, 1)
    while not log.flush():
        read += pipe.read()
    os.close(pipe.writer)
    while chunk := pipe.read():
        read += chunk
    found = [json.loads(each) for each in read.splitlines()]
    assert sum(each.get("dropped", 0) for each in found) == dropped
    assert sum("status" in each for each in found) == 400 * 50 + 1 - dropped
    assert log.dropped == dropped


@pytest.mark.parametrize("form", ["common", "json"])
def test_a_reader_that_left(form: str, pipe: Pipe) -> None:
    told: list[str] = []
    log = AccessLog(form, pipe, told.append)
    os.close(pipe.reader)
    for _ in range(3):
        log.log(Request(), 200, 1, 1)
        assert log.flush()
    assert log.dropped == 3
    assert told == ["cannot write the access log: Broken pipe; lines are dropped"]


@pytest.mark.parametrize("form", ["common", "json"])
def test_a_full_disk_and_its_end(form: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    told: list[str] = []
    log = AccessLog(form, str(path), told.append)
    room = 100
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(room, len(data))
        room -= taken
        return write(descriptor, data[:taken])

    monkeypatch.setattr(os, "write", full)
    log.log(Request(), 200, 1, 1)
    log.log(Request(), 200, 1, 1)
    assert not log.flush()  # a part of the line fitted
    assert log.flush()  # the rest did not, and is given up
    log.log(Request(), 200, 1, 1)
    log.flush()
    assert told == ["cannot write the access log: No space left on device; lines are dropped"]
    room = 10_000
    log.log(Request(raw_target="/again"), 200, 1, 1)
    log.flush()
    room = 0
    log.log(Request(), 200, 1, 1)
    log.flush()
    assert len(told) == 2  # told again, since it had worked in between
    lines = path.read_text().splitlines()
    assert "/again" in lines[-1]
    assert f"{log.dropped - 1}" in lines[-2]
    if form == "json":
        assert json.loads(lines[-1])["target"] == "/again"
        assert json.loads(lines[-2])["dropped"] == log.dropped - 1


def test_trouble_goes_to_standard_error(pipe: Pipe, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("common", pipe)
    os.close(pipe.reader)
    log.log(Request(), 200, 1, 1)
    log.flush()
    assert capfd.readouterr().err == "dimserver: cannot write the access log: Broken pipe; lines are dropped\n"


def test_closing_does_not_wait_for_ever(pipe: Pipe) -> None:
    log = AccessLog("common", pipe, lambda message: None)
    for _ in range(3000):
        log.log(Request(), 200, 1, 1)
    started = time.monotonic()
    log.close()
    assert time.monotonic() - started < 3


def test_a_non_blocking_stream(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    log = AccessLog("common", pipe)
    for _ in range(3000):
        log.log(Request(), 200, 1, 1)
    assert not log.flush()
    assert pipe.read()
    log.flush()
    assert log.dropped == 0
