"""Lines of the access log: what they say, and that no client can break or forge one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dimcore import AccessLines, ConnectionPoolManifold, UsageError
from dimcore.conn.access_log import FORMS

Serve = Callable[..., Any]
LONGEST = 4096  # bytes: PIPE_BUF, so that several processes may write to one pipe
KEYS = [
    "time", "client", "request_id", "method", "target", "protocol", "status", "bytes_in", "bytes_out", "duration_us",
    "received_us", "parsed_us", "handler_us", "sending_us", "referer", "user_agent", "pool", "worker", "pid",
]  # fmt: skip
HOSTILE = b"a" + bytes(byte for byte in range(0x20, 0xA0) if byte != 0x7F) + b'\t",":\\"}\t\\n \xc3\xa9\xff'


@pytest.fixture
def kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def logged(serve: Serve, form: str, data: bytes, *, answers: int = 1, routes: Any = None, **more: Any) -> list[str]:
    """The lines that serving `data` makes."""
    lines = AccessLines(form, **more)
    rig = serve(routes, options={"access_log": lines})
    client = rig.connect().send(data)
    for _ in range(answers):
        client.answer()
    rig.turn()
    taken, dropped = lines.take()
    assert dropped == 0
    assert lines.take() == (b"", 0)
    text: str = taken.decode("ascii")
    assert text.endswith("\n")
    assert all(line.isprintable() and len(line) < LONGEST for line in text.split("\n"))
    return text.splitlines()


def get(target: bytes = b"/", *fields: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: test\r\n" + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


def test_common(serve: Serve, kolkata: None) -> None:
    (line,) = logged(serve, "common", get(b"/?x=1", b"User-Agent: x"))
    found = re.fullmatch(r'127\.0\.0\.1 - - \[(.*)\] "GET /\?x=1 HTTP/1\.1" 200 5', line)
    assert found
    made = time.mktime(time.strptime(found[1], "%d/%b/%Y:%H:%M:%S +0530"))
    assert abs(made - time.time()) < 60


def test_combined(serve: Serve) -> None:
    first, second = logged(
        serve, "combined", get(b"/", b"REFERER: http://a/", b"uSer-Agent: curl/8") + get(), answers=2
    )
    assert first.endswith('" 200 5 "http://a/" "curl/8"')
    assert second.endswith('" 200 5 "-" "-"')


def test_json(serve: Serve) -> None:
    data = b"POST /x%22 HTTP/1.0\r\nUser-Agent: curl/8\r\nContent-Length: 3\r\n\r\nabc"
    routes = {"POST /*": lambda request: request.request_id}
    (line,) = logged(serve, "json", data, routes=routes, pools=ConnectionPoolManifold(), worker=3, process=77)
    found = json.loads(line)
    assert list(found) == KEYS
    made = time.mktime(time.strptime(found["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert abs(made - time.time()) < 60 + 3600
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    expected = {
        "client": "127.0.0.1", "method": "POST", "target": "/x%22", "protocol": "HTTP/1.0", "status": 200,
        "bytes_in": len(data), "bytes_out": len(found["request_id"]), "referer": None, "user_agent": "curl/8",
        "pool": "http", "worker": 3, "pid": 77,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected


def test_the_id_is_the_one_the_handler_saw(serve: Serve) -> None:
    seen: list[str] = []
    routes = {"GET /": lambda request: seen.append(request.request_id) or "x"}
    lines = logged(serve, "json", get() * 3, answers=3, routes=routes)
    assert [json.loads(line)["request_id"] for line in lines] == seen
    assert len(set(seen)) == 3


def test_where_the_time_went(serve: Serve) -> None:
    lines = AccessLines("json")
    routes = {"POST /": lambda request: time.sleep(0.05) or request.body}
    rig = serve(routes, options={"access_log": lines})
    client = rig.connect().send(b"POST / HTTP/1.1\r\nHost: test\r\n")
    time.sleep(0.05)
    client.send(b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    time.sleep(0.05)
    client.send(b"2\r\ncd\r\n0\r\n\r\n").answer()
    found = json.loads(lines.take()[0])
    parts = [found[key] for key in ("received_us", "parsed_us", "handler_us", "sending_us")]
    assert sum(parts) - found["duration_us"] in range(-4, 5)
    assert all(part >= 50_000 for part in parts[:3]), parts
    assert found["bytes_in"] == len(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n") + 4


def test_the_time_a_slow_reader_takes(serve: Serve) -> None:
    lines = AccessLines("json")
    size = 8 << 20
    rig = serve(lambda request: bytes(size), options={"access_log": lines})
    client = rig.connect(receive_buffer=4096).send(get())
    time.sleep(0.1)
    assert len(client.answer().body) == size
    rig.turn()
    found = json.loads(lines.take()[0])
    assert found["sending_us"] >= 100_000
    assert found["bytes_out"] == size


def test_what_could_not_be_read(serve: Serve) -> None:
    assert re.fullmatch(r'127\.0\.0\.1 - - \[[^]]*\] "-" 400 \d+', logged(serve, "common", b"\0\r\n\r\n")[0])
    assert logged(serve, "combined", b"\0\r\n\r\n")[0].endswith(' "-" "-"')
    found = json.loads(logged(serve, "json", b"\0\r\n\r\n")[0])
    assert list(found) == KEYS
    assert (found["client"], found["status"]) == ("127.0.0.1", 400)
    assert [found[key] for key in ("method", "target", "protocol", "referer", "user_agent")] == [None] * 5


def test_what_was_not_routed(serve: Serve) -> None:
    found = json.loads(logged(serve, "json", get(b"/none"))[0])
    assert (found["status"], found["target"], found["handler_us"]) == (404, "/none", 0)


def test_a_client_without_an_address(serve: Serve, tmp_path: Any) -> None:
    import socket

    from dimcore import Acceptor, Site

    lines = AccessLines("json")
    rig = serve(None, options={"access_log": lines})
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        listener.setblocking(False)
        rig.selector.register(listener, 1, Acceptor(Site(rig.core, rig.router), listener.fileno(), list).on_ready)
        client.connect(str(tmp_path / "s"))
        client.sendall(get())
        rig.turn_for(0.05)
        assert client.recv(100)
        rig.selector.unregister(listener)
    rig.turn_for(0.05)
    assert json.loads(lines.take()[0])["client"] is None


def test_ipv6(serve: Serve) -> None:
    import socket

    from dimcore import Acceptor, Site

    lines = AccessLines("common")
    rig = serve(None, options={"access_log": lines})
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.bind(("::", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        listener.listen()
        listener.setblocking(False)
        rig.selector.register(listener, 1, Acceptor(Site(rig.core, rig.router), listener.fileno(), list).on_ready)
        port = listener.getsockname()[1]
        for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
            with socket.socket(family) as client:
                client.connect((host, port))
                client.sendall(get())
                rig.turn_for(0.05)
                assert client.recv(100)
            rig.turn_for(0.05)
            assert lines.take()[0].decode().startswith(f"{host} - - [")
        rig.selector.unregister(listener)


# --- hostile values


@pytest.mark.parametrize("form", FORMS)
def test_hostile_values(form: str, serve: Serve) -> None:
    request = get(b'/"><\\x?`', b"Referer: " + HOSTILE, b"User-Agent: " + HOSTILE)
    (line,) = logged(serve, form, request, routes={"GET /*": lambda request: "hello"})
    if form == "json":
        found = json.loads(line)
        assert found["user_agent"].encode("latin-1") == HOSTILE
        assert found["referer"].encode("latin-1") == HOSTILE
        assert found["target"].encode("latin-1") == b'/"><\\x?`'
    elif form == "combined":
        quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
        assert len(quoted) == 3
        assert re.sub(r'(?:[^"\\]|\\.)*', "", line.replace('"', "")) == ""
        for text in quoted[1:]:
            value = re.sub(rb"\\(x[0-9a-f]{2}|.)", unescaped, text.encode())
            assert value == HOSTILE
    else:
        assert r'"GET /\"><\\x?` HTTP/1.1" 200' in line


def unescaped(match: re.Match[bytes]) -> bytes:
    word = match[1]
    return bytes.fromhex(word[1:].decode()) if len(word) == 3 else word


@pytest.mark.parametrize("size", range(30))
@pytest.mark.parametrize("form", ["combined", "json"])
def test_every_byte_at_every_place(form: str, size: int, serve: Serve) -> None:
    # Words of eight bytes are looked at at once: a byte may hide at each of their places, and at the end.
    for byte in (b'"', b"\\", b"\xff", b"\t", b"\x80"):
        if byte == b"\t" and size == 0:  # optional whitespace, no part of the value
            continue
        value = b"a" * size + byte + b"b" * (30 - size)
        (line,) = logged(serve, form, get(b"/", b"User-Agent: " + value))
        if form == "json":
            assert json.loads(line)["user_agent"].encode("latin-1") == value
        else:
            escaped = {b'"': r"\"", b"\\": r"\\", b"\xff": r"\xff", b"\t": r"\x09", b"\x80": r"\x80"}[byte]
            assert line.endswith(f'"{"a" * size}{escaped}{"b" * (30 - size)}"')


@pytest.mark.parametrize("byte", [b"a", b'"', b"\xff"])
@pytest.mark.parametrize("form", FORMS)
def test_long_values_are_cut_and_no_line_is_longer_than_a_pipe_takes_at_once(
    form: str, byte: bytes, serve: Serve
) -> None:
    request = (
        b"M" * 31
        + b" /"
        + (byte if byte < b"\x80" else b"a") * 4000
        + b" HTTP/1.1\r\nHost: test\r\nReferer: "
        + byte * 8000
        + b"\r\n"
    )
    (line,) = logged(serve, form, request + b"User-Agent: " + byte * 8000 + b"\r\n\r\n")
    assert len(line) > 1536
    if form == "json":
        found = json.loads(line)
        for key in ("target", "referer", "user_agent"):
            assert found[key].endswith("...")
            assert len(set(found[key].strip("/."))) == 1
    else:
        assert line.count("...") == (1 if form == "common" else 3)


def test_what_just_fits_is_not_cut(serve: Serve) -> None:
    for size in (511, 512):
        (line,) = logged(serve, "json", get(b"/", b"User-Agent: " + b"x" * size))
        assert json.loads(line)["user_agent"] == "x" * size
    (line,) = logged(serve, "json", get(b"/", b"User-Agent: " + b"x" * 513))
    assert json.loads(line)["user_agent"] == "x" * 512 + "..."


def test_pools_of_the_app(serve: Serve) -> None:
    for name, logged_as in (('a "b"\n\x7f', 'a "b"\n\x7f'), ("x" * 200, 8)):
        pools = ConnectionPoolManifold()
        lines = AccessLines("json", pools)
        rig = serve(None, options={"access_log": lines})
        pools.add_pool(name)
        rig.core.pools.add_pool(name)
        client = rig.connect()
        rig.core.pools.index.move(rig.connections()[0].id, 8, 1)
        client.ask()
        rig.turn()
        assert json.loads(lines.take()[0])["pool"] == logged_as


# --- the buffer


def test_a_full_buffer_drops_whole_lines_and_counts_them(serve: Serve) -> None:
    lines = AccessLines("json", limit=3 * LONGEST)
    rig = serve(None, options={"access_log": lines})
    client = rig.connect()
    for _ in range(100):
        client.ask()
    rig.turn()
    assert lines.pending <= 3 * LONGEST
    assert lines.dropped > 0
    data, dropped = lines.take()
    assert [json.loads(line)["status"] for line in data.splitlines()] == [200] * (100 - dropped)
    assert (lines.pending, lines.dropped) == (0, 0)
    client.ask()
    rig.turn()
    assert len(lines.take()[0].splitlines()) == 1


def test_a_large_buffer_is_given_back(serve: Serve) -> None:
    lines = AccessLines("common")
    rig = serve({"GET /*": lambda request: "x"}, options={"access_log": lines})
    client = rig.connect()
    for _ in range(30):
        client.send(get(b"/" + b"z" * 1400) * 20)
        for _ in range(20):
            client.answer()
    rig.turn()
    data, dropped = lines.take()
    assert (data.count(b"\n"), dropped) == (600, 0)
    client.ask()
    rig.turn()
    assert lines.take()[0].count(b"\n") == 1


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="no access log format is called 'xml'; there are common, combined, json"):
        AccessLines("xml")
    with pytest.raises(UsageError, match="limit is 4095; at least 4096 bytes"):
        AccessLines("json", limit=4095)
