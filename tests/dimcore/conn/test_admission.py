"""Whom a trusted proxy introduces, and what becomes of those whom nobody does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dimcore import Host, Report, Site

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
Serve = Callable[..., Any]


NAMED = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
ADDRESSES = b"\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
NAMED_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + ADDRESSES
NOBODY_2 = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


def told_of(request: Any) -> str:
    connection = request.connection
    return f"{connection.address} {connection.proxied} {connection.proxy} {request.client_ip}"


def introducing(serve: Serve, handler: Any = told_of, **limits: Any) -> tuple[Any, Any]:
    rig = serve({"GET /": handler, "POST /": lambda request: request.body}, **limits)
    return rig, rig.listen(Site(rig.core, rig.router, trusts=lambda address: True))


@pytest.mark.parametrize("header", [NAMED, NAMED_2])
def test_the_client_is_whom_the_proxy_names(serve: Serve, header: bytes) -> None:
    rig, listener = introducing(serve)
    client = rig.connect(listener)
    ours = client.sock.getsockname()
    expected = f"('192.0.2.7', 56324) True {ours} 192.0.2.7".encode()
    assert client.ask(header + GET).body == expected
    assert client.ask(GET).body == expected  # for every request
    (connection,) = rig.connections()
    assert (connection.address, connection.proxy) == (("192.0.2.7", 56324), ours)
    client.sock.close()
    rig.turn()
    assert connection.proxy is None
    assert rig.reports == []


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", NOBODY_2])
def test_a_proxy_that_names_nobody(serve: Serve, header: bytes) -> None:
    """The address is the proxy's; and what stands in the headers is not its word: it has not looked at them."""
    rig, listener = introducing(serve)
    client = rig.connect(listener)
    ours = client.sock.getsockname()
    asked: list[Any] = []
    host = Host(
        register=rig.selector.register,
        modify=rig.selector.modify,
        unregister=rig.selector.unregister,
        forwarded=lambda *given: asked.append(given) or ("6.6.6.6", None, None, None),
    )
    rig.core.attach(host)
    assert client.ask(header + GET).body == f"{ours} True {ours} 127.0.0.1".encode()
    assert asked == []
    other = rig.connect(listener)
    assert other.ask(NAMED + GET).body.endswith(b" 6.6.6.6")
    assert asked[0][0] == ("192.0.2.7", 56324)  # the proxies before this one are looked for from there


def test_elsewhere_nobody_is_introduced(serve: Serve) -> None:
    rig, _ = introducing(serve)
    assert rig.connect().ask(NAMED + GET).status == 400
    client = rig.connect()
    assert client.ask(GET).body == f"{client.sock.getsockname()} False None 127.0.0.1".encode()


@pytest.mark.parametrize("header", [NAMED, NAMED_2, b"PROXY UNKNOWN\r\n", NOBODY_2])
def test_the_header_in_two_pieces_anywhere(serve: Serve, header: bytes) -> None:
    rig, listener = introducing(serve, lambda request: "hello")
    behind = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc" + GET
    for cut in range(len(header) + 3):
        client = rig.connect(listener)
        client.send((header + behind)[:cut])
        rig.turn()
        client.send((header + behind)[cut:])
        assert [client.answer().body, client.answer().body] == [b"abc", b"hello"]
        client.sock.close()
        rig.turn()
    assert rig.reports == []


def test_the_header_byte_by_byte(serve: Serve) -> None:
    rig, listener = introducing(serve, lambda request: "hello")
    for header in (NAMED, NAMED_2):
        client = rig.connect(listener)
        for at in range(len(header)):
            client.send(header[at : at + 1])
            rig.turn()
        assert client.ask(GET).body == b"hello"
        assert client.ask(header).status == 400  # it comes once


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (GET, "there is none"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n" + GET, "its address or port is malformed"),
        (b"PROXY TCP4 " + b"1" * 5000, "it is longer than allowed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "it is longer than allowed"),
    ],
)
def test_without_a_right_header_it_is_closed_without_an_answer(serve: Serve, data: bytes, why: str) -> None:
    rig, listener = introducing(serve)
    client = rig.connect(listener)
    client.send(data)
    client.wait_for_end()
    assert client.left == b""
    ((message, _, error),) = rig.reports
    assert message == Report.NOT_INTRODUCED
    assert str(error) == f"of the PROXY header from 127.0.0.1: {why}"
    assert rig.core.pools.get_stats()["spiral_0"]["total_refused"] == 1
    assert rig.cells() == {}


def test_a_proxy_that_looks_whether_we_live_is_no_fault(serve: Serve) -> None:
    rig, listener = introducing(serve)
    for data in (b"", b"PRO", NAMED):
        client = rig.connect(listener)
        client.send(data)
        rig.turn()
        client.sock.close()
        rig.turn()
    assert rig.cells() == {}
    assert rig.reports == []


def test_the_header_has_its_time(serve: Serve) -> None:
    rig, listener = introducing(serve, seconds={"handshake": 0.4, "connect": 0.1})
    slow = rig.connect(listener)
    slow.send(NAMED[:-1])
    rig.turn_for(0.2)
    assert slow.is_open()
    rig.turn_for(0.5)
    slow.wait_for_end()
    assert slow.left == b""
    # What is behind the header has time of its own.
    client = rig.connect(listener)
    rig.turn_for(0.25)
    client.send(NAMED)
    rig.turn_for(0.25)
    assert client.ask(GET).status == 200


def test_a_cap_is_that_of_the_client_not_of_its_proxy(serve: Serve) -> None:
    rig, listener = introducing(serve, lambda request: "hello", max_per_address=2)
    inside = [rig.connect(listener) for _ in range(2)]
    for client in inside:
        assert client.ask(NAMED + GET).status == 200
    for behind in (GET, b""):
        outside = rig.connect(listener)
        answer = outside.ask(NAMED + behind)
        assert (answer.status, answer.body) == (503, b"too many connections from this address\n")
        assert outside.rest() == b""
    other = rig.connect(listener)
    assert other.ask(NAMED.replace(b"192.0.2.7", b"192.0.2.8") + GET).status == 200
    unnamed = [rig.connect(listener) for _ in range(3)]
    for client in unnamed:
        assert client.ask(b"PROXY UNKNOWN\r\n" + GET).status == 200
    addresses = rig.core.addresses
    assert [addresses.count(host) for host in ("192.0.2.7", "192.0.2.8", "127.0.0.1")] == [2, 1, 0]
    inside[0].sock.close()
    rig.turn()
    assert addresses.count("192.0.2.7") == 1
    assert rig.connect(listener).ask(NAMED + GET).status == 200


def test_the_access_log_has_the_client(serve: Serve) -> None:
    seen: list[Any] = []
    rig = serve(options={"access_log": lambda request, *more: seen.append(request.client_ip)})
    client = rig.connect(rig.listen(Site(rig.core, rig.router, trusts=lambda address: True)))
    client.ask(NAMED + GET)
    assert seen == ["192.0.2.7"]
