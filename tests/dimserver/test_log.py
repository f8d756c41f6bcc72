"""Messages on standard error: whole lines, no forged ones, and never a reason to wait."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import re
import socket
import sys
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
    assert taken.endswith(b"\n")
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


class Asked:
    """A request as messages name it."""

    request_id = "1f"
    method = "GET"
    raw_target = "/x\n"
    client_ip = "192.0.2.1"


def failure() -> ZeroDivisionError:
    try:
        raise ZeroDivisionError('a "b"\x1b\x7f\n\udcff')
    except ZeroDivisionError as error:
        return error


def test_the_request_is_named(fd: int, path: pathlib.Path) -> None:
    log = Log("info", fd)
    log.error("failed", request=Asked())
    assert lines(path) == [("error", "failed: GET /x\\n (request 1f)")]


def test_json(fd: int, path: pathlib.Path) -> None:
    log = Log("info", fd, "json", worker=3)
    log.info('he said "x"\n\x7f')
    log.error("failed", error=failure(), request=Asked())
    log.warning("slow", detail="one\n  two\x1b")
    assert path.read_text().isascii()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", path.read_text())
    first, second, third = map(json.loads, path.read_text().splitlines())
    assert (third["level"], third["detail"]) == ("warning", "one\n  two\x1b")
    assert list(first) == ["time", "level", "worker", "pid", "message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["level"], first["worker"], first["pid"]) == ("info", 3, os.getpid())
    assert first["message"] == 'he said "x"\n\x7f'
    assert second["request"] == {"id": "1f", "method": "GET", "target": "/x\n", "client": "192.0.2.1"}
    assert second["error"] == "ZeroDivisionError"
    assert second["traceback"].startswith("Traceback (most recent call last):")
    assert "in failure" in second["traceback"]


def test_json_stays_within_bounds(fd: int, path: pathlib.Path) -> None:
    class Long(Asked):
        raw_target = "/" + "x" * 100_000

    for form in ("text", "json"):
        Log("info", fd, form).error("x", ValueError("a" * 1_000_000), Long())
    assert path.stat().st_size < 4 * MAX_TRACEBACK


def test_an_unknown_form() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        Log("info", 2, "xml")


def test_rotation(path: pathlib.Path) -> None:
    log = Log("info", str(path))
    log.info("one")
    path.rename(path.with_name("log.1"))
    log.info("two")
    log.reopen()
    log.info("three")
    log.close()
    log.close()
    log.info("after the end: nowhere, and no harm")
    assert [text for _, text in lines(path.with_name("log.1"))] == ["one", "two"]
    assert [text for _, text in lines(path)] == ["three"]


def test_rotation_that_fails_says_so_in_the_old_file(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = Log("info", str(folder / "log"))
    folder.rename(tmp_path / "moved")
    log.reopen()
    log.info("on")
    log.close()
    first, second = lines(tmp_path / "moved/log")
    expected = f"cannot reopen the log '{folder}/log': No such file or directory; the old file stays in use"
    assert first == ("error", expected)
    assert second == ("info", "on")


def test_what_was_cut_does_not_swallow_the_next_message() -> None:
    reader, writer = os.pipe()
    log = Log("info", writer)
    log.error("first", error=ValueError("x" * 200_000))  # more than the pipe holds
    taken = os.read(reader, 1 << 20)
    while len(taken) < 60_000:
        taken += os.read(reader, 1 << 20)
    log.info("second")
    log.close()
    os.close(writer)
    while chunk := os.read(reader, 1 << 20):
        taken += chunk
    os.close(reader)
    assert re.search(rb"\n\d{4}-[^\n]* info: second\n$", taken)


def test_the_stream_of_others_stays_blocking() -> None:
    reader, writer = os.pipe()
    log = Log("info", writer)
    log.info("x")
    assert os.get_blocking(writer)
    log.close()
    log.info("y")  # still to the descriptor that was given
    assert os.read(reader, 1 << 20).count(b"info:") == 2
    os.close(reader)
    os.close(writer)


def test_a_socket() -> None:
    # What systemd gives as standard error.
    ours, theirs = socket.socketpair()
    log = Log("info", ours.fileno())
    begun = time.monotonic()
    for _ in range(5000):
        log.info("x" * 500)
    assert time.monotonic() - begun < 10
    assert b"info: xxx" in theirs.recv(1 << 20)
    assert ours.getblocking()
    log.close()
    ours.close()
    theirs.close()


class FileCache(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("dimserver")
    yield logger
    logger.handlers.clear()
    logger.filters.clear()
    logger.setLevel(logging.NOTSET)


def test_a_handler_on_the_logger_takes_over(logger: logging.Logger, fd: int, path: pathlib.Path) -> None:
    log = Log("info", fd)
    log.info("ours")
    kept = FileCache()
    logger.addHandler(kept)
    log.debug("below the level")
    log.info("100 %s")
    log.error("failed", error=failure(), request=Asked())
    logger.setLevel(logging.ERROR)
    log.warning("below theirs")
    logger.handlers.clear()
    log.info("ours again")
    first, second = kept.records
    assert (first.name, first.levelname, first.getMessage()) == ("dimserver", "INFO", "100 %s")
    assert second.getMessage() == "failed: GET /x\n (request 1f)"
    assert second.exc_info
    assert second.exc_info[0] is ZeroDivisionError
    assert vars(second)["request_id"] == "1f"
    assert [text for _, text in lines(path)] == ["ours", "ours again"]


def test_the_apps_own_logging_changes_nothing(fd: int, path: pathlib.Path, logger: logging.Logger) -> None:
    root = FileCache()
    logging.getLogger().addHandler(root)
    try:
        Log("info", fd).error("x")
    finally:
        logging.getLogger().removeHandler(root)
    assert root.records == []
    assert lines(path) == [("error", "x")]


def test_a_filter_that_fails_costs_nothing(logger: logging.Logger, fd: int, path: pathlib.Path) -> None:
    def fails(record: logging.LogRecord) -> bool:
        raise ValueError

    logger.addHandler(FileCache())
    logger.addFilter(fails)
    Log("info", fd).error("x")
    assert lines(path) == [("error", "x")]


def test_logging_is_not_imported_for_it(tmp_path: pathlib.Path) -> None:
    import subprocess

    code = "import sys\nfrom dimserver.log import Log\nLog().error('x')\nassert 'logging' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_text_of_the_app_is_passed_on_as_it_is(fd: int, path: pathlib.Path, logger: logging.Logger) -> None:
    text = "[2026-01-01] ERROR in app: x\x1b[0m\n  Traceback\n\n"
    log = Log("critical", fd)  # the app's levels are its own
    log.pass_on(text)
    assert path.read_text() == text
    kept = FileCache()
    logger.addHandler(kept)
    log.pass_on("100 %s\n")
    (record,) = kept.records
    assert (record.levelname, record.getMessage()) == ("APP", "100 %s")


def test_text_of_the_app_in_json(fd: int, path: pathlib.Path) -> None:
    log = Log("critical", fd, "json")
    log.pass_on("one\n  two\n")
    log.pass_on("\n")
    (entry,) = map(json.loads, path.read_text().splitlines())
    assert (entry["level"], entry["message"]) == ("app", "one\n  two")


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="a device that is full is of Linux")
@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_full_disk_does_not_take_goes_to_standard_error(
    form: str, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    log = Log("info", str(tmp_path / "log"), form)
    log.error("first", error=failure())
    log.error("second")
    err = capfd.readouterr().err
    assert err.count("cannot write the log") == 1
    assert "No space left on device; messages go to standard error meanwhile" in err
    assert "ZeroDivisionError" in err
    assert "second" in err
    (tmp_path / "log").unlink()
    log.reopen()
    log.error("third")
    log.error("fourth")
    log.close()
    text = (tmp_path / "log").read_text()
    assert text.count("2 messages are on standard error, because this file could not be written") == 1
    assert text.count("third") == text.count("fourth") == 1
    assert capfd.readouterr().err == ""


def test_a_message_that_only_fits_in_part(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = Log("info", str(tmp_path / "log"))
    log.info("fits" * 100_000)  # more than standard error will have
    size = (tmp_path / "log").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))  # Python ignores SIGXFSZ
    try:
        log.error("does not", error=failure())
        log.error("nor this")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = capfd.readouterr().err
    assert "does not" in err
    assert "ZeroDivisionError" in err
    assert "nor this" in err
    log.info("on")
    log.close()
    assert (tmp_path / "log").read_text().splitlines()[-1].endswith("info: on")


def test_a_log_without_room_anywhere_counts(tmp_path: pathlib.Path) -> None:
    reader, writer = os.pipe()
    log = Log("info", writer)
    log.dropped(3)
    log.info("x")
    assert b"3 messages were lost here" in os.read(reader, 4096)
    os.close(reader)
    os.close(writer)
