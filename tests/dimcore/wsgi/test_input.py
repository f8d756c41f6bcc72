"""A body as a file, however it comes in pieces."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

import pytest

from dimcore import IncompleteBody
from dimcore.wsgi.input import Input

DATA = b"one\ntwo\n\nlonger line\nlast without end"

# The same bytes, cut in different places.
CUTS = [
    [DATA],
    [DATA[at : at + 1] for at in range(len(DATA))],
    [DATA[:4], DATA[4:]],
    [DATA[:3], b"", DATA[3:5], b"", b"", DATA[5:]],
    [DATA, b""],
]


@pytest.mark.parametrize("pieces", CUTS)
@pytest.mark.parametrize("size", [-1, None, 0, 1, 2, 3, 4, 5, 100])
def test_reading_is_that_of_a_file(pieces: list[bytes], size: int | None) -> None:
    for method in ("read", "readline", "readlines"):
        ours, theirs = Input(pieces), io.BytesIO(DATA)
        for _ in range(8):
            assert getattr(ours, method)(size) == getattr(theirs, method)(size)


@pytest.mark.parametrize("pieces", CUTS)
def test_iterating_gives_lines(pieces: list[bytes]) -> None:
    assert list(Input(pieces)) == list(io.BytesIO(DATA))


@pytest.mark.parametrize("pieces", CUTS)
def test_methods_mix(pieces: list[bytes]) -> None:
    ours, theirs = Input(pieces), io.BytesIO(DATA)
    for one in (ours, theirs):
        found = [one.read(2), one.readline(), next(iter(one)), one.readline(1), one.read(3), *one.readlines(1)]
        found += [one.read(), one.read(), one.readline(), *one.readlines()]
        if one is ours:
            expected = found
        else:
            assert found == expected


def test_read1_waits_for_no_more_than_there_is() -> None:
    given = Input([b"abc", b"", b"de"])
    assert [given.read1(2), given.read1(), given.read1(0), given.read1(100), given.read1()] == [
        b"ab", b"c", b"", b"de", b"",
    ]  # fmt: skip


@pytest.mark.parametrize("pieces", CUTS)
def test_others_can_be_put_around_it(pieces: list[bytes]) -> None:
    """Apps read text with `io.TextIOWrapper`, which closes what it is around when it goes."""
    given: Any = Input(pieces)
    assert list(io.TextIOWrapper(given)) == io.StringIO(DATA.decode()).readlines()
    assert not given.closed
    buffered = io.BufferedReader(cast("Any", Input(pieces)), 5)
    assert buffered.peek(1)[:3] == DATA[:3]
    assert (buffered.read(6), buffered.read()) == (DATA[:6], DATA[6:])


def test_reading_into_a_buffer() -> None:
    given = Input([b"abc", b"de"])
    buffer = bytearray(4)
    assert (given.readinto(buffer), bytes(buffer)) == (4, b"abcd")
    assert given.readinto(bytearray()) == 0
    assert (given.readinto(buffer), bytes(buffer)) == (1, b"ebcd")
    assert given.readinto(buffer) == 0
    assert not given.writable()
    assert not given.seekable()


def test_an_empty_one() -> None:
    nothing = Input()
    assert nothing.read() == nothing.readline() == nothing.read1() == b""
    assert nothing.readlines() == list(nothing) == []
    assert nothing.readable()
    nothing.close()


def test_a_whole_piece_is_not_copied() -> None:
    piece = b"x" * 1000
    assert Input([piece]).read() is piece
    assert Input([piece]).read(1000) is piece


def test_a_body_that_ends_too_soon_is_an_os_error() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise IncompleteBody("the client left", 400)

    with pytest.raises(OSError, match="the client left"):
        Input(pieces()).read()
    assert Input(pieces()).read(4) == b"half"


def test_pieces_are_bytes() -> None:
    with pytest.raises(TypeError):
        Input(["text"]).read()  # type: ignore[list-item]
    with pytest.raises(TypeError):
        Input([b"abc"]).read("1")  # type: ignore[arg-type]
