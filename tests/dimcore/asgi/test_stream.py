"""Pieces of a streamed ASGI answer: what goes out at once, what is gathered, and that nothing is lost of it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from tests.dimcore.asgi_rig import LAST, Bench, chunks_of

KIB = 1024
PIECE = bytes(64 * KIB)
PAUSE = 0.01  # longer than pieces are gathered over


async def start(send: Any, *headers: tuple[bytes, bytes], **more: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [*headers], **more})


async def piece(send: Any, body: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def answer_of(play: Any, app: Any, request: bytes = LAST, pause: float = 0.0) -> bytes:
    got: list[bytes] = []

    async def script(bench: Bench) -> None:
        bench.sock.send(request)
        got.append(await bench.rest(pause))

    play(app, script)
    return got[0]


def test_pieces_close_behind_each_other_are_one_chunk(play: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for body in (b"at once", b"b" * 10, b"c" * 10, b"d"):
            await piece(send, body)
        await asyncio.sleep(PAUSE)
        await piece(send, b"", False)

    assert chunks_of(answer_of(play, app)) == [b"at once", b"b" * 10 + b"c" * 10 + b"d", b""]


def test_what_was_gathered_goes_out_when_the_turn_is_over(play: Any) -> None:
    """And not when the app sends the next piece, which may take it an hour."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for body in (b"one", b"two", b"three"):
            await piece(send, body)
        await go.wait()
        await piece(send, b"", False)

    async def script(bench: Bench) -> None:
        await bench.ask(LAST, b"twothree")
        go.set()
        assert (await bench.rest()).endswith(b"0\r\n\r\n")

    play(app, script)


def test_a_piece_that_is_alone_is_not_delayed(play: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for body in (b"one", b"two", b"three"):
            await piece(send, body)
            await asyncio.sleep(PAUSE)
        await piece(send, b"", False)

    assert chunks_of(answer_of(play, app)) == [b"one", b"two", b"three", b""]


def test_large_pieces_are_gathered_up_to_a_quarter_of_a_megabyte(play: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for _ in range(9):
            await piece(send, PIECE)
        await piece(send, b"end", False)

    sizes = [len(chunk) for chunk in chunks_of(answer_of(play, app))]
    assert sum(sizes) == 9 * len(PIECE) + 3
    assert sizes[:2] == [len(PIECE), 4 * len(PIECE)]


@pytest.mark.parametrize("pause", [0.0, 0.001])
def test_every_byte_arrives_in_order(play: Any, pause: float) -> None:
    """Sizes of all kinds, to a reader that keeps up and to one that lags, so that sends are cut anywhere."""
    source = random.Random(5)
    pieces = [source.randbytes(source.choice((1, 100, 400, 5000, 20_000, 70_000, 300_000))) for _ in range(150)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for number, body in enumerate(pieces):
            await piece(send, body)
            if number % 40 == 39:
                await asyncio.sleep(0)
        await piece(send, b"", False)

    assert b"".join(chunks_of(answer_of(play, app, pause=pause))) == b"".join(pieces)


def test_more_small_pieces_than_one_call_takes(play: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for number in range(400):
            await piece(send, b"%099d\n" % number)
        await piece(send, b"", False)

    chunks = chunks_of(answer_of(play, app))
    assert b"".join(chunks) == b"".join(b"%099d\n" % number for number in range(400))
    assert len(chunks) < 10


@pytest.mark.parametrize("size", [10, 30 * KIB])
@pytest.mark.parametrize("wanted", [True, False])
def test_trailers_follow_what_was_gathered(play: Any, size: int, wanted: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, trailers=True)
        for _ in range(3):
            await piece(send, b"x" * size)
        await piece(send, b"", False)
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    request = LAST.replace(b"\r\n\r\n", b"\r\nTE: trailers\r\n\r\n") if wanted else LAST
    got = answer_of(play, app, request)
    assert b"".join(chunks_of(got)) == b"x" * size * 3
    assert got.endswith(b"0\r\nx-sum: 1\r\n\r\n" if wanted else b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("size", [10, 30 * KIB])
def test_without_chunks(play: Any, size: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", b"%d" % (size * 4))] if scope["path"] == "/length" else []
        await start(send, *length)
        for number in range(4):
            await piece(send, b"%d" % number * size, number < 3)

    expected = b"".join(b"%d" % number * size for number in range(4))
    for request in (LAST.replace(b"/ ", b"/length "), b"GET / HTTP/1.0\r\n\r\n"):
        assert answer_of(play, app, request).partition(b"\r\n\r\n")[2] == expected


def test_too_much_is_told_before_it_is_sent(play: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, (b"content-length", b"6"))
        await piece(send, b"one")
        await piece(send, b"two")
        with pytest.raises(RuntimeError, match="longer than Content-Length, which is 6"):
            await piece(send, b"three")
        await piece(send, b"", False)

    assert answer_of(play, app).endswith(b"\r\n\r\nonetwo")


@pytest.mark.parametrize("size", [3, 30 * KIB])
def test_an_app_that_fails_has_sent_what_it_sent(play: Any, size: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for body in (b"a", b"b", b"c"):
            await piece(send, body * size)
        raise LookupError("in the middle")

    got = answer_of(play, app)
    assert b"".join(chunks_of(got)) == b"a" * size + b"b" * size + b"c" * size
    assert not got.endswith(b"0\r\n\r\n")


def test_a_peer_that_left_meanwhile(play: Any) -> None:
    ends: list[Any] = []
    told = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await piece(send, b"first")
        while not ends:
            for _ in range(4):
                await piece(send, PIECE)
            await asyncio.sleep(0)
            try:
                for _ in range(10_000):
                    await piece(send, PIECE)
            except OSError as error:
                ends.append(error)
                told.set()

    async def script(bench: Bench) -> None:
        await bench.ask(LAST, b"first")
        bench.sock.close()
        await told.wait()

    rig = play(app, script)
    assert isinstance(ends[0], OSError)
    assert rig.reports == []
