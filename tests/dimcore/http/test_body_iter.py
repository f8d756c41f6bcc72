"""Pieces for both kinds of loop."""

from __future__ import annotations

import asyncio

from dimcore.http.body_iter import Pieces


def test_for() -> None:
    assert list(Pieces([b"a", b"b"])) == [b"a", b"b"]
    assert list(Pieces([])) == []


def test_async_for() -> None:
    async def take() -> list[bytes]:
        return [piece async for piece in Pieces(iter((b"a", b"b")))]

    assert asyncio.run(take()) == [b"a", b"b"]


def test_each_piece_is_given_once() -> None:
    pieces = Pieces([b"a", b"b", b"c"])
    assert next(pieces) == b"a"

    async def take() -> list[bytes]:
        return [piece async for piece in pieces]

    assert asyncio.run(take()) == [b"b", b"c"]
    assert list(pieces) == []
