"""Text of apps as entries of the error log."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest

from dimserver.gateway.error_stream import LONGEST, ErrorStream


@pytest.fixture
def entries() -> list[str]:
    return []


@pytest.fixture
def stream(entries: list[str]) -> ErrorStream:
    return ErrorStream(entries.append)


def test_a_line_is_passed_on_as_it_is(stream: ErrorStream, entries: Any) -> None:
    assert stream.write("one\n") == 4
    stream.write("  two\x1b[0m \n")
    stream.write("\n")
    assert entries == ["one\n", "  two\x1b[0m \n", "\n"]


def test_a_line_in_parts(stream: ErrorStream, entries: Any) -> None:
    for part in ("o", "n", "e", "\n", "two"):
        stream.write(part)
    assert entries == ["one\n"]
    stream.flush()
    stream.flush()
    assert entries == ["one\n", "two\n"]


def test_lines_that_come_together_stay_together(stream: ErrorStream, entries: Any) -> None:
    stream.writelines(["first\n", "  second\n", "third\nrest"])
    assert entries == ["first\n  second\nthird\n"]


def test_nothing_is_nothing(stream: ErrorStream, entries: Any) -> None:
    stream.write("")
    stream.flush()
    assert entries == []


def test_what_never_ends_is_cut(stream: ErrorStream, entries: Any) -> None:
    for _ in range(5):
        stream.write("x" * (LONGEST // 2))
    assert [len(text) for text in entries] == [3 * (LONGEST // 2) + 1]


def test_a_traceback(stream: ErrorStream, entries: Any) -> None:
    try:
        raise ValueError("on purpose")
    except ValueError:
        traceback.print_exc(file=stream)
        expected = traceback.format_exc()
    assert "".join(entries) == expected


def test_text_alone(stream: ErrorStream) -> None:
    with pytest.raises(TypeError, match="takes str, not bytes"):
        stream.write(b"bytes")  # type: ignore[arg-type]
    assert stream.writable()
    assert not stream.isatty()


def test_without_a_log_it_is_standard_error(capsys: Any) -> None:
    print("one", "two", sep="\n", file=ErrorStream())
    assert capsys.readouterr().err == "one\ntwo\n"
    assert sys.stderr is not None
