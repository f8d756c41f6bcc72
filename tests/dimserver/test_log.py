"""Messages on standard error: whole lines, no forged ones, and never a reason to wait."""

from __future__ import annotations

import os
import pathlib
import re
import threading
import time
from collections.abc import Iterator

import pytest

from dimserver.log import LEVELS, MAX_TRACEBACK, Log

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\] (\w+): (.*)")


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "log"


@pytest.fixture
def fd(path: pathlib.Path) -> Iterator[int]:
    opened = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    yield opened
    os.close(opened)


def lines(path: pathlib.Path) -> list[tuple[str, str]]:
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    return [(match[1], match[2]) for match in found if match]


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_and_those_above(level: str, fd: int, path: pathlib.Path) -> None:
    log = Log(level, fd)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(f"a {name}")
    log.write("critical", "a critical")
    assert [found for found, _ in lines(path)] == list(LEVELS[LEVELS.index(level) :])
    assert f"[{os.getpid()}]" in path.read_text()


def test_an_unknown_level() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        Log("loud")


def test_control_characters_cannot_forge_a_line(fd: int, path: pathlib.Path) -> None:
    Log("info", fd).error("GET /\n2024-01-01 00:00:00 [1] error: forged\x1b[31m\udcff é")
    (level, text), *rest = lines(path)
    assert (level, rest) == ("error", [])
    assert text == r"GET /\n2024-01-01 00:00:00 [1] error: forged\x1b[31m\udcff é"


def test_a_traceback_is_below_and_indented(fd: int, path: pathlib.Path) -> None:
    try:
        raise ValueError("one\n2024-01-01 00:00:00 [1] error: forged\x1b")
    except ValueError as error:
        Log("info", fd).error("a handler failed", error)
    first, *rest = path.read_text().splitlines()
    assert first.endswith("error: a handler failed")
    assert rest[0] == "  Traceback (most recent call last):"
    assert rest[-2:] == ["  ValueError: one", r"  2024-01-01 00:00:00 [1] error: forged\x1b"]
    assert all(line.startswith("  ") for line in rest)


def test_a_huge_exception_is_cut(fd: int, path: pathlib.Path) -> None:
    Log("info", fd).error("x", ValueError("a" * 10_000_000))
    assert path.stat().st_size < 2 * MAX_TRACEBACK


def test_a_reader_that_does_not_read_holds_nobody_up() -> None:
    reader, writer = os.pipe()
    log = Log("info", writer)
    begun = time.monotonic()
    for number in range(2000):
        log.info(f"{number} " + "x" * 100)
    assert time.monotonic() - begun < 5
    taken = os.read(reader, 1 << 20)
    assert b" 0 xxx" in taken
    assert b" 1999 xxx" not in taken
    log.info("after")
    note, last = os.read(reader, 1 << 20).decode().splitlines()[-2:]
    assert re.search(r"warning: \d+ messages were lost here$", note)
    assert last.endswith("info: after")
    os.close(reader)
    log.info("nobody is there")
    os.close(writer)
    log.info("and nothing to write to")


def test_lines_of_threads_do_not_mix(fd: int, path: pathlib.Path) -> None:
    log = Log("info", fd)

    def work(letter: str) -> None:
        for _ in range(100):
            log.info(letter * 500)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [text for _, text in lines(path)]
    assert len(texts) == 400
    assert all(len(set(text)) == 1 for text in texts)


def test_lines_of_detail_are_indented_and_clean(fd: int, path: pathlib.Path) -> None:
    Log("warning", fd).warning("what", "  line\x1b one\nline two\n")
    first, *rest = path.read_text().splitlines()
    assert first.endswith(" warning: what")
    assert rest == ["    line\\x1b one", "  line two"]
