"""Names of fields as bytes and as text: one object each, in lower case, whoever asked first."""

from __future__ import annotations

from typing import Any

from tests.dimcore.asgi_rig import Bench, hello

from dimcore import RequestPoint


def names_of(*names: str) -> list[str]:
    return RequestPoint(headers=dict.fromkeys(names, "x")).headers.keys()


def test_one_object_for_each_name_however_it_is_written() -> None:
    first, second = names_of("X-A-Name"), names_of("x-a-nAME")
    assert first == second == ["x-a-name"]
    assert first[0] is second[0]


def test_names_that_share_a_slot_replace_each_other() -> None:
    # Length, first, middle and last byte are what a slot is chosen by.
    one, two = "x-aa-bb-cc", "x-zz-bz-zc"
    for _ in range(3):
        assert names_of(one, two) == [one, two]


def test_long_names_are_not_kept() -> None:
    long = "x-" + "long" * 20
    first, second = names_of(long.upper()), names_of(long)
    assert first == second == [long]
    assert first[0] is not second[0]


def test_text_after_bytes_and_bytes_after_text(play: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append([name for name, _ in scope["headers"]])
        await hello(scope, receive, send)

    async def script(bench: Bench) -> None:
        assert names_of("x-text-first") == ["x-text-first"]
        head = b"GET /%d HTTP/1.1\r\nHOST: a\r\nX-Text-First: 1\r\nX-Bytes-First: 1\r\n\r\n"
        for number in range(2):
            await bench.ask(head % number, b"/%d" % number)
        assert names_of("X-BYTES-FIRST") == ["x-bytes-first"]

    play(app, script)
    assert seen == [[b"host", b"x-text-first", b"x-bytes-first"]] * 2
    assert all(a is b for a, b in zip(*seen, strict=True))
