"""Requests: what is decoded when asked for, requests made by hand, and how long they last."""

from __future__ import annotations

import gc
import sys

import pytest
from tests.wire.answers import split_answers
from tests.wire.stepping import SteppedServer

from dimcore import (
    BadRequest,
    QueryParams,
    RequestPoint,
    RequestResponseManifold,
    UsageError,
    identity_vector,
    parse_request,
    z_value,
)


def parsed(data: bytes) -> RequestPoint:
    """The request at the start of `data`."""
    result = parse_request(data)
    assert result is not None
    return result[0]


def get(*lines: str, target: str = "/") -> RequestPoint:
    """A GET with these header lines."""
    text = "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/1.1", "Host: h", *lines, ""))
    return parsed(text.encode("latin-1"))


# --- parse_request ----------------------------------------------------------------------------------


def test_what_is_used() -> None:
    data = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhiGET "
    result = parse_request(data)
    assert result is not None
    request, used = result
    assert data[used:] == b"GET "
    assert (request.method, request.path, request.body) == ("POST", "/a", b"hi")


def test_a_head_that_is_not_complete() -> None:
    assert parse_request(b"") is None
    assert parse_request(b"GET / HTTP/1.1\r\nHost: h\r\n") is None


@pytest.mark.parametrize(
    ("framing", "body"), [("Content-Length: 5", b"hell"), ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n")]
)
def test_a_body_that_is_not_complete(framing: str, body: bytes) -> None:
    head = f"POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n".encode()
    result = parse_request(head + body)
    assert result is not None
    assert result[1] == len(head)
    with pytest.raises(BadRequest, match="missing"):
        _ = result[0].body


def test_the_limit_of_the_body() -> None:
    data = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    assert parse_request(data, 5) is not None
    with pytest.raises(BadRequest) as refusal:
        parse_request(data, 4)
    assert refusal.value.status == 413


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("H")])
def test_any_bytes_like(make: type) -> None:
    assert parsed(make(b"GET /abc HTTP/1.1\r\nHost: h\r\n\r\n")).path == "/abc"


@pytest.mark.parametrize("wrong", ["text", 5, None])
def test_not_bytes(wrong: object) -> None:
    with pytest.raises(TypeError):
        parse_request(wrong)  # type: ignore[arg-type]


def test_the_request_outlives_the_buffer() -> None:
    data = bytearray(b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nX: y\r\nContent-Length: 2\r\n\r\nhi")
    request = parsed(data)  # type: ignore[arg-type]
    headers = request.headers
    data[:] = b"\xff" * len(data)
    del data
    gc.collect()
    assert (request.path, request.query_string, request.body) == ("/a", "b=c", b"hi")
    del request
    gc.collect()
    assert headers.items() == [("host", "h"), ("x", "y"), ("content-length", "2")]


# --- target, query, cookies, body -------------------------------------------------------------------


def test_the_parts_of_a_target() -> None:
    request = get(target="/a%20b/%C3%A4?x=1&y=%26")
    assert request.raw_target == "/a%20b/%C3%A4?x=1&y=%26"
    assert request.raw_path == "/a%20b/%C3%A4"
    assert request.path == "/a b/ä"
    assert request.query_string == "x=1&y=%26"


@pytest.mark.parametrize(
    ("escaped", "path"),
    [("/%41", "/A"), ("/%2541", "/%41"), ("/%", "/%"), ("/%4", "/%4"), ("/%zz%41", "/%zzA"), ("/%ff", "/\ufffd"),
     ("/%00", "/\0"), ("/%e4%bd%a0", "/你"), ("/%E4%bd", "/\ufffd"), ("/a+b", "/a+b"), ("/%c0%af", "/\ufffd\ufffd")],
)  # fmt: skip
def test_percent_decoding(escaped: str, path: str) -> None:
    assert get(target=escaped).path == path
    assert RequestPoint(path=escaped).path == path


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []), ("a", [("a", "")]), ("a=", [("a", "")]), ("=b", [("", "b")]), ("a=b", [("a", "b")]),
        ("a=b=c", [("a", "b=c")]), ("&&a=b&&", [("a", "b")]), ("a=1&a=2&b=3", [("a", "1"), ("a", "2"), ("b", "3")]),
        ("a+b=c+d", [("a b", "c d")]), ("%61=%26%3D%2B", [("a", "&=+")]), ("a=%", [("a", "%")]),
        ("a=1;b=2", [("a", "1;b=2")]),
        ("a=?", [("a", "?")]),
    ],
)  # fmt: skip
def test_query(query: str, pairs: list[tuple[str, str]]) -> None:
    params = get(target=f"/?{query}").query_params
    assert isinstance(params, QueryParams)
    assert params.pairs == pairs
    first: dict[str, str] = {}
    for name, value in pairs:
        first.setdefault(name, value)
    assert params == first
    assert params.getall("a") == [value for name, value in pairs if name == "a"]


def test_query_is_decoded_once() -> None:
    request = get(target="/?a=b")
    assert request.query_params is request.query_params


@pytest.mark.parametrize(
    ("line", "cookies"),
    [
        ("", {}), ("a=b", {"a": "b"}), ("a=b; c=d", {"a": "b", "c": "d"}), ("a=b;c=d", {"a": "b", "c": "d"}),
        ('a="b c"', {"a": "b c"}), ('a="', {"a": '"'}), ('a=""', {"a": ""}), ('a="b', {"a": '"b'}), ("a", {}),
        ("=b", {}),
        ("a=", {"a": ""}), ("a=b=c", {"a": "b=c"}), ("a=1; a=2", {"a": "1"}), ("; ;a=b;", {"a": "b"}),
        ("a=%41", {"a": "%41"}), ("a=\xe4", {"a": "\xe4"}),
    ],
)  # fmt: skip
def test_cookies(line: str, cookies: dict[str, str]) -> None:
    assert get(f"Cookie: {line}").cookies == cookies


def test_cookies_of_several_fields() -> None:
    assert get("Cookie: a=1; b=2", "Cookie: b=3; c=4").cookies == {"a": "1", "b": "2", "c": "4"}


@pytest.mark.parametrize(
    ("body", "value"),
    [(b"{}", {}), (b' [1, "\xc3\xa4"] ', [1, "ä"]), (b"null", None), (b"1.5", 1.5), (b'"\\ud83d\\ude00"', "😀")],
)
def test_json(body: bytes, value: object) -> None:
    assert RequestPoint(body=body).json() == value


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{} {}", b"NaN", b"[Infinity]", b"\xff", b"\xef\xbb\xbf{}", "{}".encode("utf-16"),
    b"[" * 100_000, b"1" * 5000]
)  # fmt: skip
def test_not_json(body: bytes) -> None:
    with pytest.raises(BadRequest, match="not JSON") as refusal:
        RequestPoint(body=body).json()
    assert refusal.value.status == 400


def test_host() -> None:
    assert get().host == "h"
    assert get(target="http://other:81/").host == "other:81"
    assert parsed(b"GET / HTTP/1.0\r\n\r\n").host is None
    assert RequestPoint(headers={"Host": "x"}).host == "x"


def test_version() -> None:
    assert get().http_version == "1.1"
    assert parsed(b"GET / HTTP/1.0\r\n\r\n").http_version == "1.0"
    assert RequestPoint().http_version == "1.1"


def test_identity() -> None:
    request = get(target="/some/path?query")
    assert request.identity_vector == identity_vector("/some/path")
    assert request.z_value == z_value("/some/path")


# --- made by hand -----------------------------------------------------------------------------------


def test_by_hand() -> None:
    request = RequestPoint("mine", "POST", "/a%20b?c=d", {"X-A": " b ", "Cookie": "e=f"}, b"[1]", layer=3, position=2.5)
    assert (request.request_id, request.id, request.method) == ("mine", "mine", "POST")
    assert (request.path, request.query_params, request.raw_target) == ("/a b", {"c": "d"}, "/a%20b?c=d")
    assert request.headers.items() == [("x-a", "b"), ("cookie", "e=f")]
    assert (request.cookies, request.json()) == ({"e": "f"}, [1])
    assert (request.spiral, request.layer, request.position, request.stage_name) == (1, 3, 2.5, "routed")
    assert (request.connection, request.client_ip, request.params) == (None, None, {})
    assert request.processing_time_ms >= 0
    assert repr(request) == "<RequestPoint mine POST /a%20b?c=d (1, 3)>"


def test_defaults() -> None:
    request = RequestPoint()
    assert (request.method, request.path, request.query_string, request.body) == ("GET", "/", "", b"")
    assert (request.spiral, request.layer, len(request.headers)) == (0, 1, 0)
    assert request.request_id != RequestPoint().request_id


@pytest.mark.parametrize(
    ("method", "spiral"),
    [("GET", 0), ("POST", 1), ("PUT", 2), ("DELETE", 3), ("PATCH", 4), ("OPTIONS", 5), ("HEAD", 6), ("TRACE", 7),
     ("get", 7)],
)  # fmt: skip
def test_the_spiral_follows_the_method(method: str, spiral: int) -> None:
    request = RequestPoint(method=method)
    assert (request.spiral, request.method) == (spiral, method)
    assert parsed(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode()).spiral == spiral


def test_a_spiral_of_ones_own() -> None:
    assert RequestPoint(method="POST", spiral=0).spiral == 0
    assert RequestPoint(method="POST", spiral=9).method == "POST"


@pytest.mark.parametrize("method", ["", "A B", "A\n", "\xe4", "\ud800", "G(T"])
def test_a_bad_method(method: str) -> None:
    with pytest.raises(UsageError, match="token"):
        RequestPoint(method=method)


@pytest.mark.parametrize(
    "values",
    [{"layer": 0}, {"layer": 8}, {"layer": 99}, {"layer": -1}, {"spiral": -1}, {"spiral": 64}, {"path": "/" * 65536},
     {"path": "\ud800"}, {"request_id": ""}, {"request_id": 5}],
)  # fmt: skip
def test_bad_values(values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        RequestPoint(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"body": 5}, {"body": "text"}, {"path": 5}, {"body": None}, {"method": None}])
def test_values_of_the_wrong_type(values: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        RequestPoint(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("headers", [{"A": "b"}, [("A", "b")], (pair for pair in [("A", "b")]), {b"A": b"b"}])
def test_headers_as_mapping_or_pairs(headers: object) -> None:
    request = RequestPoint(headers=headers)  # type: ignore[arg-type]
    assert request.headers.items() == request.headers.items() == [("a", "b")]


@pytest.mark.parametrize(
    "pair",
    [("", "b"), ("A B", "c"), ("A:", "b"), ("\xe4", "b"), ("\u20ac", "b"), ("A", "b\r\nC: d"), ("A", "\0"),
     ("A", "\u20ac"),
     ("A", 5), (5, "b"), ("A", None), ("A", "b" * 70_000)],
)  # fmt: skip
def test_bad_headers(pair: tuple[object, object]) -> None:
    request = RequestPoint(headers=[pair])  # type: ignore[list-item]
    with pytest.raises(UsageError):
        _ = request.headers


def test_too_many_headers() -> None:
    assert len(RequestPoint(headers=[("a", "b")] * 100).headers) == 100
    with pytest.raises(UsageError, match="101"):
        _ = RequestPoint(headers=[("a", "b")] * 101).headers


def test_made_anew() -> None:
    request = RequestPoint(path="/a?b=c", headers={"A": "b"}, body=b"x")
    headers = request.headers
    assert (len(headers), request.query_params) == (1, {"b": "c"})
    request.__init__(path="/d")  # type: ignore[misc]
    gc.collect()
    assert (request.path, request.query_params, request.body, len(headers)) == ("/d", {}, b"", 0)


def test_never_made() -> None:
    request = RequestPoint.__new__(RequestPoint)
    assert (request.path, request.raw_target, request.query_string, request.body) == ("/", "", "", b"")
    assert request.headers.items() == []
    assert request.cookies == {}


def test_a_subclass() -> None:
    class Mine(RequestPoint):
        pass

    assert Mine(path="/a").path == "/a"


def test_size() -> None:
    # Fields, head and object are all there is of a small request in flight.
    assert sys.getsizeof(RequestPoint()) <= 352
    assert not gc.is_tracked(RequestPoint())


# --- kept longer than its handler runs --------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 50, 10_000])
def test_kept_after_the_handler(step: int) -> None:
    kept: list[RequestPoint] = []
    manifold = RequestResponseManifold()

    def handler(request: RequestPoint) -> bytes:
        if "keep" in request.query_params:
            kept.append(request)
        return b""

    manifold.register_route("POST", "/", handler, exact=False)
    data = b"".join(
        b"POST /%d?%s HTTP/1.1\r\nHost: h\r\nX-Number: %d\r\nContent-Length: 4\r\n\r\n%04d"
        % (number, b"keep" if number % 3 == 0 else b"", number, number)
        for number in range(60)
    )
    with SteppedServer(manifold) as server:
        with server.connect() as client:
            for start in range(0, len(data), step):
                client.send(data[start : start + step])
            assert len(split_answers(client.received)[0]) == 60
        assert server.reports == []
    gc.collect()
    assert len(kept) == 20
    for number, request in zip(range(0, 60, 3), kept, strict=True):
        assert request.path == f"/{number}"
        assert request.headers.items() == [("host", "h"), ("x-number", str(number)), ("content-length", "4")]
        assert request.body == b"%04d" % number
        assert request.query_params == {"keep": ""}
    index = manifold.index
    assert not any(index.count_at(spiral, layer) for spiral in range(8) for layer in range(1, 8))


def test_half_a_head_can_be_looked_at() -> None:
    # The point of a request whose head is not complete reuses the memory of an earlier one.
    manifold = RequestResponseManifold()
    manifold.register_route("GET", "/", lambda request: b"", exact=False)
    with SteppedServer(manifold) as server, server.connect() as client:
        client.send(b"GET /some/path?query HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n")
        client.send(b"POST /other HTTP/1.1\r\nHost:")
        (request,) = manifold.index.get_at(7, 1)
        assert (request.path, request.method, request.query_string, request.body) == ("/", "POST", "", b"")
        assert (request.headers.items(), request.cookies, request.stage_name) == ([], {}, "received")
        assert (request.raw_target, request.host, request.http_version) == ("", None, "1.1")
        assert repr(request)
