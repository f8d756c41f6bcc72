"""The checks that need `native`, the harness's own extension; nothing without it.

The extension shows what no Python-visible class can: reads beyond the end, and the spans themselves.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tests.fuzz.inputs import bytewise, cut

from dimcore import Router
from dimcore.http.router import Route

native: Any
try:
    native = import_module("dimcore_fuzz")
except ImportError:  # the short run: an ordinary build, and nothing to build
    native = None

BYTEWISE = 300


def check_head(text: bytes, choices: bytes, limits: dict[str, int], expected: Any) -> None:
    """The spans are the same in whatever pieces the head comes, and as many bytes long as `expected` says."""
    if native is None:
        return
    whole = native.head(text, [len(text)], limits)
    pieces = cut(text, choices)
    ends = [sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    assert native.head(text, ends, limits) == whole
    if len(text) <= BYTEWISE:
        assert native.head(text, list(range(len(text) + 1)), limits) == whole
    if expected is None or len(expected) == 2:
        assert whole == expected
    else:
        assert whole[0] == whole[13] == expected[0]
        for at, size in zip(whole[3:12:2], whole[4:13:2], strict=True):
            assert at + size <= whole[0]
        for name_at, name_size, value_at, value_size in whole[16]:
            assert name_at + name_size < value_at + value_size + 1 <= whole[0]


def check_proxyhead(text: bytes, expected: Any) -> None:
    """The verdict is `expected`, of memory that ends with the text."""
    if native is not None:
        assert native.proxyhead(text) == expected


def check_chunked(text: bytes, choices: bytes, limit: int, expected: Any) -> None:
    """The decoder makes `expected` of the text, in whatever pieces it comes."""
    if native is None:
        return
    assert native.body([text], limit) == expected
    assert native.body(cut(text, choices), limit) == expected
    if len(text) <= BYTEWISE:
        assert native.body(bytewise(text), limit) == expected
    for to_file in (False, True):
        assert native.reader(cut(text, choices), limit, -1, choices[1] >> 2, to_file) == expected


def check_sized(text: bytes, choices: bytes) -> None:
    """A body whose length was announced is that long, and what follows is left alone."""
    if native is None:
        return
    length = choices[0] * 256 + choices[3]
    expected = (text[:length], min(len(text), length), len(text) >= length)
    assert native.body([text], 0, length) == expected
    assert native.body(cut(text, choices), 0, length) == expected
    for to_file in (False, True):
        assert native.reader(cut(text, choices), 0, length, choices[1] >> 2, to_file) == expected


def check_route(
    router: Router, method: str, path: bytes, route: Route | None, params: dict[str, str] | None, allowed: str | None
) -> None:
    """The C interface says what the Python one does."""
    if native is None:
        return
    assert native.route(router, method.encode(), path) == (route, params, allowed)


def check_messages(pieces: list[bytes], limits: Any, expected: Any) -> None:
    """The reader makes `expected` of the pieces, each in memory of its own that it may write to."""
    if native is None:
        return
    assert native.messages(pieces, limits.reader()) == expected
