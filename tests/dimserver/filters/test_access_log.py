"""Writing the access log: rotation, several writers, and readers and disks that do not take it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.waiting import PATIENCE, until

from dimserver.filters import access_log as accesslog
from dimserver.filters.access_log import PLENTY, AccessLog


class Lines:
    """Stands in for the core's `AccessLines`."""

    def __init__(self, limit: int = 1 << 22) -> None:
        self.waiting = b""
        self.dropped = 0
        self.limit = limit
        self.made = 0

    @property
    def pending(self) -> int:
        return len(self.waiting)

    def add(self, *texts: str) -> None:
        self.waiting += "".join(text + "\n" for text in texts).encode()

    def fill(self, count: int, size: int = 100) -> None:
        for _ in range(count):
            line = (str(self.made) + " ").ljust(size, "x").encode() + b"\n"
            self.made += 1
            if len(self.waiting) + len(line) > self.limit:
                self.dropped += 1
            else:
                self.waiting += line

    def take(self) -> tuple[bytes, int]:
        taken, self.waiting = self.waiting, b""
        dropped, self.dropped = self.dropped, 0
        return taken, dropped


Open = Callable[..., AccessLog]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def start(told: list[str]) -> Iterator[Open]:
    opened: list[AccessLog] = []

    def make(lines: Lines, target: str | int, form: str = "common") -> AccessLog:
        opened.append(AccessLog(lines, form, target, told.append))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for log in opened:
        log.close()


def test_lines_are_written_soon(start: Open, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    lines = Lines()
    log = start(lines, str(path))
    for number in range(3):  # the thread sleeps in between
        lines.add(f"line {number}")
        log.settle()
        until(lambda number=number: path.read_text().count("\n") == number + 1)  # type: ignore[misc]
        time.sleep(0.05)
    assert path.read_text() == "line 0\nline 1\nline 2\n"


def test_no_thread_before_the_first_line(start: Open, tmp_path: pathlib.Path) -> None:
    # A process may fork until then.
    log = start(Lines(), str(tmp_path / "log"))
    log.settle()
    assert not log._started
    log.close()
    assert not log._started


def test_close_writes_the_rest(start: Open, tmp_path: pathlib.Path) -> None:
    lines = Lines()
    log = start(lines, str(tmp_path / "log"))
    lines.add("one", "two")
    log.close()
    log.close()
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_under_load_writes_are_few(start: Open, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    write = os.write

    def counted(fd: int, data: bytes) -> int:
        writes.append(len(data))
        return write(fd, data)

    monkeypatch.setattr(accesslog.os, "write", counted)
    lines = Lines()
    log = start(lines, str(tmp_path / "log"))
    for _ in range(300):
        lines.fill(20)
        log.settle()
    log.close()
    assert sum(writes) == 300 * 20 * 101
    assert len(writes) < 150


def test_rotation_by_signal(start: Open, tmp_path: pathlib.Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    lines = Lines()
    log = start(lines, str(path))
    lines.add("one")
    log.settle()
    until(lambda: path.read_text() != "")
    path.rename(old)
    log.reopen()
    until(path.exists)  # also when nobody asks for anything
    lines.add("two")
    log.close()
    assert (old.read_text(), path.read_text()) == ("one\n", "two\n")


def test_rotation_without_a_word(start: Open, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    lines = Lines()
    log = start(lines, str(path))
    lines.add("one")
    log.settle()
    until(lambda: path.read_text() != "")
    path.rename(tmp_path / "log.1")
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end
        lines.add("more")
        log.settle()
        time.sleep(0.05)
    lines.add("more")  # the new name may have been noticed when there was nothing to write
    log.close()
    both = (tmp_path / "log.1").read_text() + path.read_text()
    assert set(both.splitlines()) == {"one", "more"}
    assert path.read_text() != ""


def test_rotation_under_load_loses_and_cuts_nothing(start: Open, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    lines = Lines()
    log = start(lines, str(path))
    rotated = 0
    for number in range(400):
        lines.fill(50)
        log.settle()
        if number % 40 == 39:
            path.rename(tmp_path / f"log.{rotated}")
            rotated += 1
            log.reopen()
            until(path.exists)
        time.sleep(0.0005)
    log.close()
    found = [line for file in sorted(tmp_path.iterdir()) for line in file.read_text().splitlines()]
    assert all(len(line) == 100 for line in found)
    assert sorted(int(line.split()[0]) for line in found) == list(range(lines.made))
    assert len(list(tmp_path.iterdir())) == 11


def test_a_failed_rotation_is_told_once(start: Open, tmp_path: pathlib.Path, told: list[str]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = Lines()
    log = start(lines, str(folder / "log"))
    folder.rename(tmp_path / "moved")
    for number in range(3):
        log.reopen()
        lines.add(str(number))
        log.settle()
        until(lambda number=number: (tmp_path / "moved/log").read_text().count("\n") == number + 1)  # type: ignore[misc]
    assert told == [
        f"cannot reopen the access log '{folder}/log': No such file or directory; the old file stays in use"
    ]


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_whole_lines_of_several_writers(kind: str, start: Open, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    reader, writer = os.pipe()
    received: list[bytes] = []
    drain = threading.Thread(target=lambda: received.extend(iter(lambda: os.read(reader, 65536), b"")))
    drain.start()
    sources = [Lines() for _ in range(4)]
    logs = [start(lines, str(path) if kind == "file" else writer) for lines in sources]
    for _ in range(100):
        for number, lines in enumerate(sources):
            lines.add(*(str(number) * size for size in (10, 300, 4000)))
            logs[number].settle()
        time.sleep(0.001)
    for log in logs:
        log.close()
    os.close(writer)
    drain.join()
    os.close(reader)
    found = (path.read_bytes() if kind == "file" else b"".join(received)).decode().splitlines()
    assert len(found) == 4 * 300
    assert all(len(set(line)) == 1 and len(line) in (10, 300, 4000) for line in found)


# --- who does not take it


def pipe(size: int = 4096) -> tuple[int, int]:
    reader, writer = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size)
    return reader, writer


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("form", ["common", "json"])
def test_a_reader_that_does_not_read_never_blocks(form: str, blocking: bool, start: Open, told: list[str]) -> None:
    reader, writer = pipe()
    os.set_blocking(writer, blocking)
    lines = Lines(limit=2 * PLENTY)
    log = start(lines, writer, form)
    started = time.monotonic()
    for _ in range(400):
        lines.fill(50)
        log.settle()
        if lines.made == 100:
            until(lambda: lines.pending == 0)  # the thread is at it, and stuck
    assert time.monotonic() - started < 10
    assert lines.dropped > 0
    assert told == ["the reader of the access log is too slow; lines are dropped"]
    dropped = lines.dropped
    # The reader wakes up: what was kept arrives whole, and a line says what is missing.
    received: list[bytes] = []
    drain = threading.Thread(target=lambda: received.extend(iter(lambda: os.read(reader, 65536), b"")))
    drain.start()
    until(lambda: lines.pending == 0 and not log._awake)
    lines.fill(1)
    log.close()
    os.close(writer)
    drain.join()
    os.close(reader)
    found = b"".join(received).decode().splitlines()
    notes = [line for line in found if "dropped" in line]
    whole = [line for line in found if "dropped" not in line]
    assert len(whole) == lines.made - dropped
    assert all(len(line) == 100 for line in whole)
    assert len(notes) == 1
    assert found.index(notes[0]) == len(found) - 2  # where the gap is
    if form == "json":
        assert json.loads(notes[0])["dropped"] == dropped
    else:
        assert notes[0] == f"# {dropped} lines were dropped here"
    assert log.lost == dropped


def test_closing_does_not_wait_for_ever(start: Open) -> None:
    for blocking in (True, False):
        reader, writer = pipe()
        os.set_blocking(writer, blocking)
        lines = Lines()
        log = start(lines, writer)
        lines.fill(3000)
        started = time.monotonic()
        log.close()
        assert time.monotonic() - started < 5
        os.close(reader)  # ends the thread
        until(lambda log=log: not log._ended.locked() or log.lost > 0)  # type: ignore[misc]
        os.close(writer)


@pytest.mark.parametrize("form", ["common", "json"])
def test_a_reader_that_left(form: str, start: Open, told: list[str]) -> None:
    reader, writer = pipe()
    lines = Lines()
    log = start(lines, writer, form)
    os.close(reader)
    for number in range(3):
        lines.add("x")
        log.settle()
        until(lambda number=number: log.lost == number + 1)  # type: ignore[misc]
    assert told == ["cannot write the access log: Broken pipe; lines are dropped"]
    log.close()
    os.close(writer)


@pytest.mark.parametrize("form", ["common", "json"])
def test_a_full_disk_and_its_end(
    form: str, start: Open, tmp_path: pathlib.Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    lines = Lines()
    log = start(lines, str(path), form)
    room = 15
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(room, len(data))
        room -= taken
        return write(descriptor, data[:taken])

    def written(*texts: str) -> None:
        lines.add(*texts)
        log.settle()
        until(lambda: lines.pending == 0 and not log._awake)

    monkeypatch.setattr(accesslog.os, "write", full)
    written("one line", "two", "three")
    assert path.read_text() == "one line\ntwo\nth"
    assert log.lost == 1
    written("four", "five")
    assert log.lost == 3
    assert told == ["cannot write the access log: No space left on device; lines are dropped"]
    room = 10_000
    written("again")
    assert log.lost == 3
    room = 0
    written("six")
    assert len(told) == 2  # told again, since it had worked in between
    room = 10_000
    log.close()
    found = path.read_text().splitlines()
    assert found[:3] == ["one line", "two", "th"]
    assert found[4] == "again"
    if form == "json":
        assert json.loads(found[3])["dropped"] == 3
    else:
        assert found[3] == "# 3 lines were dropped here"


def test_trouble_goes_to_standard_error_where_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = pipe()
    lines = Lines()
    log = AccessLog(lines, "common", writer)  # type: ignore[arg-type]
    os.close(reader)
    lines.add("x")
    log.close()
    os.close(writer)
    assert capfd.readouterr().err == "dimserver: cannot write the access log: Broken pipe; lines are dropped\n"


def test_a_path_that_cannot_be_opened(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog(Lines(), "common", str(tmp_path / "missing/log"))  # type: ignore[arg-type]
