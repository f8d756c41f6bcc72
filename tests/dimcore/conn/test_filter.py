"""Filters, beside everything that makes answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimcore import Composite, FileBody, Push, RequestPoint, Site
from dimcore.wsgi.call import Caller

Serve = Callable[..., Any]

KIB = 1024


def get(target: str, method: str = "GET", extra: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: test\r\n{extra}\r\n".encode()


def dechunked(text: bytes) -> bytes:
    body = b""
    while True:
        size, _, text = text.partition(b"\r\n")
        if not int(size, 16):
            return body
        body, text = body + text[: int(size, 16)], text[int(size, 16) + 2 :]


def filtered(rig: Any, *filters: Any) -> None:
    for route in rig.router.routes():
        route.filters = filters


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file"
    found.write_bytes(b"file" * 40 * KIB)
    return found


def body_of(kind: str, path: Path) -> Any:
    if kind == "bytes":
        return b"some bytes"
    if kind == "large":
        return b"y" * 100 * KIB
    if kind == "file":
        return FileBody(os.open(path, os.O_RDONLY), 0, 160 * KIB)
    if kind == "parts":
        return Composite([b"one ", FileBody(os.open(path, os.O_RDONLY), 0, 70 * KIB), b" two"])
    return iter([b"a", b"", b"b" * 20 * KIB, b"c"])


@pytest.mark.parametrize("kind", ["bytes", "large", "file", "parts", "pulled"])
def test_a_body_of_every_kind_is_changed(serve: Serve, seams: dict[str, Any], path: Path, kind: str) -> None:
    toy = seams["toy"].ToyFilter()
    rig = serve(lambda request: (200, {"X-Own": "1"}, body_of(kind, path)))
    filtered(rig, toy)
    client = rig.connect()
    answer = client.ask(get("/"))
    whole = {
        "bytes": b"SOME BYTES!",
        "large": b"Y" * 100 * KIB + b"!",
        "file": b"FILE" * 40 * KIB + b"!",
        "parts": b"ONE " + (b"FILE" * 40 * KIB)[: 70 * KIB] + b" TWO!",
        "pulled": b"A" + b"B" * 20 * KIB + b"C!",
    }[kind]
    if "content-length" in answer:
        found = answer.body
    else:
        assert answer["transfer-encoding"] == "chunked"
        client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
        found = dechunked(client.left)
    assert found == whole
    assert (answer["x-own"], answer["x-toy"]) == ("1", "filtered")
    assert toy.told[0] == "before"
    assert toy.told[-1] == ("finished", 200, len(whole))
    assert len(toy.told) == 3


def test_a_length_that_the_handler_gave_is_not_that_of_what_is_sent(serve: Serve, seams: dict[str, Any]) -> None:
    toy = seams["toy"].ToyFilter()
    rig = serve(
        {
            "GET /whole": lambda request: (200, {"Content-Length": "4"}, b"four"),
            "GET /stream": lambda request: (200, {"Content-Length": "4"}, iter([b"fo", b"ur"])),
            "GET /short": lambda request: (200, {"Content-Length": "5"}, iter([b"fo", b"ur"])),
        }
    )
    filtered(rig, toy)
    client = rig.connect()
    answer = client.ask(get("/whole"))
    assert (answer["content-length"], answer.body) == ("5", b"FOUR!")
    assert client.ask(get("/whole", "HEAD"), head_only=True)["content-length"] == "5"
    assert client.ask(get("/whole?plain")).body == b"four"
    assert client.ask(get("/stream?plain"))["content-length"] == "4"
    answer = client.ask(get("/stream"))
    assert "content-length" not in answer
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    assert dechunked(client.left) == b"FOUR!"
    client.left = b""
    client.send(get("/short")).answer()
    client.wait_for_end()
    assert not client.left.endswith(b"0\r\n\r\n")  # cut: it is less than was promised
    assert rig.reports[-1][0] == "a streamed body failed"


def test_to_head_a_length_that_is_not_known_is_not_told(serve: Serve, seams: dict[str, Any], path: Path) -> None:
    rig = serve(lambda request: (200, None, body_of("file", path)))
    filtered(rig, seams["toy"].ToyFilter())
    answer = rig.connect().ask(get("/", "HEAD"), head_only=True)
    assert "content-length" not in answer


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_filter_may_answer_before_the_handler(serve: Serve, seams: dict[str, Any], method: str) -> None:
    asked: list[str] = []
    rig = serve({f"{method} /": lambda request: asked.append(request.raw_target)})
    toy = seams["toy"].ToyFilter()
    filtered(rig, toy)
    client = rig.connect()
    body = "Content-Length: 3\r\n" if method == "POST" else ""
    client.send(get("/?before", method, body) + (b"abc" if body else b""))
    assert client.answer().body == b"EARLY!"
    client.send(get("/?before", method, body) + (b"abc" if body else b""))
    assert client.answer().status == 299
    assert asked == []
    assert toy.told == ["before", ("after", 299, 5), ("finished", 299, 6)] * 2


def test_a_body_that_is_still_to_come_ends_the_connection(serve: Serve, seams: dict[str, Any]) -> None:
    rig = serve({"POST /": lambda request: request.body})
    filtered(rig, seams["toy"].ToyFilter())
    client = rig.connect().send(get("/?before", "POST", "Content-Length: 100\r\nExpect: 100-continue\r\n"))
    answer = client.answer()
    assert (answer.status, answer["connection"]) == (299, "close")


def test_what_is_pushed_and_what_a_thread_answers(serve: Serve, seams: dict[str, Any]) -> None:
    pushes: list[Push] = []

    def push(request: RequestPoint) -> Any:
        pushes.append(Push())
        return 200, None, pushes[-1]

    rig = serve({"GET /push": push, "GET !/slow": lambda request: "slow"})
    toy = seams["toy"].ToyFilter()
    filtered(rig, toy)
    client = rig.connect()
    client.send(get("/slow"))
    rig.run_job()
    assert client.answer().body == b"SLOW!"
    client.send(get("/push")).answer()
    assert pushes[0].write(b"one")
    pushes[0].end()
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    assert dechunked(client.left) == b"ONE!"
    assert toy.told[-1] == ("finished", 200, 4)


def test_gateways(serve: Serve, play: Callable[..., Any], seams: dict[str, Any]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [b"ws", b"gi"]

    rig = serve({"GET /": Caller(app)})
    filtered(rig, seams["toy"].ToyFilter())
    client = rig.connect()
    client.send(get("/"))
    answer = client.answer()
    client.wait(lambda: b"!" in client.left or b"!" in answer.body)
    assert (answer.body or dechunked(client.left)) == b"WSGI!"

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        if scope["query_string"] == b"whole":
            await send({"type": "http.response.body", "body": b"asgi"})
            return
        await send({"type": "http.response.body", "body": b"as", "more_body": True})
        await send({"type": "http.response.body", "body": b"gi"})

    async def script(bench: Any) -> None:
        filtered(bench.rig, seams["toy"].ToyFilter())
        whole = await bench.ask(get("/?whole"), b"ASGI!")
        assert b"Content-Length: 5" in whole
        streamed = await bench.ask(get("/"), b"0\r\n\r\n")
        assert dechunked(streamed.partition(b"\r\n\r\n")[2]) == b"ASGI!"

    play(asgi, script)


def test_what_has_no_route_has_the_sites(serve: Serve, seams: dict[str, Any]) -> None:
    rig = serve()
    toy = seams["toy"].ToyFilter()
    site = Site(rig.core, rig.router)
    site.filters = (toy,)
    listener = rig.listen(site)
    client = rig.connect(listener)
    assert client.ask(get("/")).body == b"hello"
    assert toy.told == []
    answer = client.ask(get("/nowhere"))
    assert (answer.status, answer.body, answer["x-toy"]) == (404, b"NOT FOUND\n!", "filtered")
    assert client.ask(get("/nowhere?before")).status == 299


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_filter_that_fails_is_an_error_and_no_more(serve: Serve, seams: dict[str, Any], where: str) -> None:
    rig = serve({"GET /": lambda request: "hello"})
    filtered(rig, seams["toy"].ToyFilter(where))
    client = rig.connect()
    answer = client.ask(get("/"))
    assert answer.status == 500
    assert client.ask(get("/")).status == 500
    assert len(rig.reports) == 2 if where == "before" else 4


def test_two_filters_the_inner_first(serve: Serve, seams: dict[str, Any]) -> None:
    rig = serve({"GET /": lambda request: "hello"})
    outer, inner = seams["toy"].ToyFilter(), seams["toy"].ToyFilter()
    filtered(rig, outer, inner)
    answer = rig.connect().ask(get("/"))
    assert answer.body == b"HELLO!!"
    assert [value for name, value in answer.fields if name == "x-toy"] == ["filtered"] * 2


def test_a_client_that_leaves_ends_the_request_for_filters(serve: Serve, seams: dict[str, Any]) -> None:
    rig = serve({"GET !/": lambda request: "slow"})
    toy = seams["toy"].ToyFilter()
    filtered(rig, toy)
    client = rig.connect().send(get("/"))
    client.reset()
    rig.turn_for(0.05)
    assert toy.told == ["before", ("finished", 0, 0)]
    rig.run_job()


@pytest.mark.parametrize("where", ["", "after"])
def test_a_refusal_of_what_filters_have_seen_is_theirs_as_well(serve: Serve, seams: dict[str, Any], where: str) -> None:
    rig = serve({"POST /": lambda request: "hello", "HEAD /": lambda request: "hello"})
    toy = seams["toy"].ToyFilter(where) if where else seams["toy"].ToyFilter()
    filtered(rig, toy)
    answer = rig.connect().ask(get("/", "POST", f"Content-Length: {1 << 40}\r\n"))
    assert (answer.status, answer["connection"]) == (413, "close")
    assert answer["content-type"] == "text/plain; charset=utf-8"
    assert len(answer.body) == int(answer["content-length"])
    assert answer.body.endswith(b"\n" if where else b"\n!")
    assert answer.body.isupper() == (not where)
    assert ("x-toy" in answer) == (not where)
    if not where:
        assert toy.told[-1] == ("finished", 413, len(answer.body))
    client = rig.connect().send(get("/", "HEAD", f"Content-Length: {1 << 40}\r\n"))
    answer = client.answer(head_only=True)
    assert (answer.status, int(answer["content-length"]) > 0) == (413, True)
    client.wait_for_end()
    assert client.left == b""
    assert [report[0] for report in rig.reports] == (["a filter failed"] * 2 if where else [])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (get("/"), 200),
        (get("/none"), 404),
        (get("/", "POST", f"Content-Length: {1 << 40}\r\n"), 413),
        (get("/", "POST", "Transfer-Encoding: chunked\r\n") + b"bad\r\r\n", 400),
        (get("/", "POST", "Transfer-Encoding: chunked\r\n") + b"3\r\nabc\r\nbad\r\r\n" + get("/"), 400),
    ],
)
def test_a_filter_may_close_the_connection(serve: Serve, seams: dict[str, Any], sent: bytes, status: int) -> None:
    rig = serve({"GET /": lambda request: "hello", "POST /": lambda request: request.body})
    toy = seams["toy"].ToyFilter("closes")
    filtered(rig, toy)
    site = Site(rig.core, rig.router)
    site.filters = (toy,)
    client = rig.connect(rig.listen(site)).send(sent)
    answer = client.answer()
    assert (answer.status, answer["connection"], answer["x-toy"]) == (status, "close", "filtered")
    assert answer.body.endswith(b"!")
    client.wait_for_end()
    assert client.left == b""
    assert toy.told == ["before", toy.told[1], ("finished", status, len(answer.body))]
    assert rig.reports == []
