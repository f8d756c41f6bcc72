"""The opening handshake, sans socket."""

from __future__ import annotations

import pytest

from dimcore import RequestPoint, parse_request
from dimserver.ws.handshake import HandshakeRefused, accept_key, check_handshake, choose_subprotocol, is_websocket

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def ask(*lines: str, first: str = "GET /chat HTTP/1.1") -> RequestPoint:
    given = {line.partition(":")[0].lower() for line in lines}
    usual = [
        "Host: h", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    ]  # fmt: skip
    fields = [line for line in usual if line.partition(":")[0].lower() not in given]
    parsed = parse_request("\r\n".join([first, *fields, *(x for x in lines if x[-1] != ":"), "", ""]).encode())
    assert parsed is not None
    return parsed[0]


def test_the_example_of_the_rfc() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    request = ask()
    assert is_websocket(request)
    assert check_handshake(request) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "line", ["Connection: keep-alive, Upgrade", "Connection: upgrade", "Upgrade: WebSocket", "Upgrade: h2c, websocket"]
)
def test_ways_to_ask(line: str) -> None:
    assert is_websocket(ask(line))


@pytest.mark.parametrize("line", ["Connection: keep-alive", "Upgrade: h2c", "Connection: Upgraded", "Upgrade:"])
def test_what_does_not_ask(line: str) -> None:
    assert not is_websocket(ask(line))


def test_get_and_1_1_alone() -> None:
    assert not is_websocket(ask("Content-Length: 0", first="POST /chat HTTP/1.1"))
    assert not is_websocket(ask(first="GET /chat HTTP/1.0"))


@pytest.mark.parametrize("line", ["Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 013", "Sec-WebSocket-Version:"])
def test_other_versions(line: str) -> None:
    with pytest.raises(HandshakeRefused) as caught:
        check_handshake(ask(line))
    assert caught.value.status == 426
    assert caught.value.headers == {"Sec-WebSocket-Version": "13", "Upgrade": "websocket", "Connection": "Upgrade"}


@pytest.mark.parametrize("line", [f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"])
def test_a_field_that_is_repeated(line: str) -> None:
    with pytest.raises(HandshakeRefused, match="is repeated") as caught:
        check_handshake(ask(line, line))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "key", ["", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ", "!Ghl IHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZXM="]
)
def test_bad_keys(key: str) -> None:
    with pytest.raises(HandshakeRefused, match="16 bytes") as caught:
        check_handshake(ask(f"Sec-WebSocket-Key: {key}" if key else "Sec-WebSocket-Key:"))
    assert caught.value.status == 400


def test_subprotocols() -> None:
    assert choose_subprotocol("soap, wamp", ["wamp", "soap"]) == "soap"
    assert choose_subprotocol("SOAP", ["soap"]) is None
    assert choose_subprotocol("", ["soap"]) is None
    with pytest.raises(HandshakeRefused, match="more than 64"):
        choose_subprotocol(", ".join(["x"] * 65), ["x"])
