"""Bodies that are sent from where they lie: what they own, and what they refuse."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest

from dimcore import Composite, FileBody, ResponseError

BIGGEST = (1 << 63) - 1


def opened() -> int:
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        return os.dup(file.fileno())


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_file_body_owns_its_descriptor() -> None:
    fd = opened()
    body = FileBody(fd, 2, 5)
    assert (body.length, repr(body)) == (5, f"FileBody(fd={fd}, offset=2, count=5)")
    body.close()
    assert not is_open(fd)
    body.close()  # the number may be somebody else's by now

    fd = opened()
    body = FileBody(fd, 0, 0)
    del body
    assert not is_open(fd)


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, BIGGEST, 1), (0, 1, BIGGEST)])
def test_bad_numbers(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ResponseError):
        FileBody(*numbers)
    assert is_open(0)  # what it did not take it does not close


@pytest.mark.parametrize("arguments", [(0, 1 << 63, 0), ("x", 0, 0), (), (0, 0, 0, 0)], ids=repr)
def test_one_that_was_never_made_owns_nothing(arguments: tuple[Any, ...]) -> None:
    with pytest.raises((OverflowError, TypeError)):
        FileBody(*arguments)
    assert is_open(0)


def test_stretches_share_a_descriptor_until_the_last_is_closed() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    whole = FileBody(writer, 0, 10)
    parts = [whole.stretch(0, 4), whole.stretch(2, 8)]
    assert [part.length for part in parts] == [4, 8]
    with pytest.raises(ResponseError):
        parts[0].stretch(0, 1)
    with pytest.raises(ResponseError):
        whole.stretch(-1, 1)
    del whole
    parts[0].close()
    os.fstat(writer)
    parts[1].close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)
    closed = FileBody(os.dup(1), 0, 1)
    closed.close()
    with pytest.raises(ResponseError):
        closed.stretch(0, 1)


def test_a_composite_is_the_sum_of_its_parts() -> None:
    fds = [opened(), opened()]
    body = Composite([b"abc", FileBody(fds[0], 0, 10), b"", FileBody(fds[1], 5, 5)])
    assert body.length == 18
    assert len(body.parts) == 4
    assert "FileBody" in repr(body)
    body.close()
    assert not any(map(is_open, fds))


def test_its_parts_cannot_change_under_it() -> None:
    parts = [b"abc"]
    body = Composite(parts)
    parts.append(b"more")
    assert (body.parts, body.length) == ((b"abc",), 3)
    assert Composite(iter([b"x", b"y"])).length == 2
    assert Composite([]).length == 0


@pytest.mark.parametrize("part", ["text", None, bytearray(b"x"), 5, Composite([b"x"])])
def test_bad_parts(part: object) -> None:
    with pytest.raises(ResponseError, match="part"):
        Composite([b"x", part])  # type: ignore[list-item]


def test_longer_than_any_body() -> None:
    with pytest.raises(ResponseError, match="longer"):
        Composite([FileBody(opened(), 0, BIGGEST), FileBody(opened(), 0, 1)])
