"""The environ of a request: every variable, from requests made by hand and from the wire."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import RequestPoint, Site, parse_request
from dimcore.wsgi.environ import EnvironMaker

Serve = Callable[..., Any]


def make(data: bytes, root: str = "", prefix: str = "", **common: Any) -> dict[str, Any]:
    request = parse_request(data)[0]
    return EnvironMaker(common, root, prefix)(request)


def get(target: str, *fields: str) -> bytes:
    return (
        f"GET {target} HTTP/1.1\r\nHost: h:1\r\n{''.join(f'{field}{chr(13)}{chr(10)}' for field in fields)}\r\n".encode(
            "latin-1"
        )
    )


def test_a_plain_request_in_full() -> None:
    environ = make(get("/"), **{"wsgi.version": (1, 0), "SERVER_NAME": "here"})
    assert environ.pop("wsgi.input").read() == b""
    assert environ == {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "RAW_URI": "/",
        "REQUEST_URI": "/", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "", "HTTP_HOST": "h:1",
        "wsgi.url_scheme": "http", "wsgi.version": (1, 0), "SERVER_NAME": "here",
    }  # fmt: skip


def test_another_in_full() -> None:
    environ = make(
        b"POST /a/b%20c?x=%20&y HTTP/1.0\r\nHost: one\r\nContent-Type: text/x\r\ncontent-length: 3\r\n"
        b"accept: */*\r\nX-Long-Name: \xe9 v\r\n\r\nabc"
    )
    assert environ.pop("wsgi.input").read() == b"abc"
    assert environ == {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a/b c", "QUERY_STRING": "x=%20&y",
        "RAW_URI": "/a/b%20c?x=%20&y", "REQUEST_URI": "/a/b%20c?x=%20&y", "SERVER_PROTOCOL": "HTTP/1.0",
        "REMOTE_ADDR": "", "HTTP_HOST": "one", "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "3", "HTTP_ACCEPT": "*/*",
        "HTTP_X_LONG_NAME": "\xe9 v", "wsgi.url_scheme": "http",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE", "get"])
def test_methods(method: str) -> None:
    assert make(f"{method} /x HTTP/1.1\r\nHost: h\r\n\r\n".encode())["REQUEST_METHOD"] == method


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/%C3%A9", "\xc3\xa9"),  # UTF-8 read as Latin-1: PEP 3333, "Unicode Issues"
        ("/%e9", "\xe9"),
        ("/a%2Fb", "a/b"),
        ("/a%252Fb", "a%2Fb"),
        ("/a//b/../c", "a//b/../c"),
        ("/a+b", "a+b"),
        ("/?", ""),
        ("/x?a?b", "x"),
        ("/" + "%41" * 2000, "A" * 2000),
        ("/" + "a" * 3000, "a" * 3000),
    ],
)
def test_paths(target: str, path: str) -> None:
    environ = make(get(target))
    assert environ["PATH_INFO"] == "/" + path.removeprefix("/")
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == target


def test_an_absolute_target() -> None:
    environ = make(b"GET http://other:9/p?q HTTP/1.1\r\nHost: ignored\r\n\r\n")
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("other:9", "/p", "q")
    assert environ["RAW_URI"] == "http://other:9/p?q"


@pytest.mark.parametrize(
    ("root", "prefix", "target", "script", "path"),
    [
        ("", "/m", "/m", "/m", ""),
        ("", "/m", "/m/", "/m", "/"),
        ("", "/m", "/m/x%20y", "/m", "/x y"),
        ("", "/m", "/%6d/x", "/m", "/x"),
        ("", "/m\u00e9", "/m%C3%A9/x", "/m\xc3\xa9", "/x"),
        ("/root", "", "/x", "/root", "/x"),  # the proxy took it off
        ("/root", "", "/root/x", "/root", "/x"),  # it did not
        ("/root", "", "/root", "/root", ""),
        ("/root", "", "/rooted", "/root", "/rooted"),
        ("/root", "/m", "/m/x", "/root/m", "/x"),
        ("/root", "/m", "/root/m/x", "/root/m", "/x"),
    ],
)
def test_where_the_app_is(root: str, prefix: str, target: str, script: str, path: str) -> None:
    environ = make(get(target), root, prefix)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, path)


def test_fields_that_repeat() -> None:
    environ = make(get("/", "X-A: 1", "x-a: 1", "X-A: 2", "Cookie: a=1", "COOKIE: b=2", "Content-Type: x"))
    assert (environ["HTTP_X_A"], environ["HTTP_COOKIE"], environ["CONTENT_TYPE"]) == ("1,1,2", "a=1; b=2", "x")


def test_an_underscore_spoofs_no_hyphen() -> None:
    environ = make(get("/", "X_Forwarded_For: evil", "Content_Length: 9", "X-Forwarded-For: 1.2.3.4", "_: x", "a_: y"))
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.2.3.4"
    assert not {"CONTENT_LENGTH", "HTTP_CONTENT_LENGTH", "HTTP__", "HTTP_A_"} & set(environ)
    for name in ("X_Forwarded_For", "Host_", "CONTENT_TYPE"):
        assert not [key for key in make(get("/", f"{name}: evil")) if "evil" in str(key)]
        assert "evil" not in make(get("/", f"{name}: evil")).values()


def test_names_of_all_lengths_and_in_the_same_places() -> None:
    fields = [f"X-{'n' * length}-{end}: {length}{end}" for length in (1, 5, 30, 60, 200) for end in "abc"]
    for _ in range(2):  # with and without what the last one left
        environ = make(get("/", *fields))
        for field in fields:
            name, _, value = field.partition(": ")
            assert environ["HTTP_" + name.upper().replace("-", "_")] == value


def test_one_maker_many_requests() -> None:
    """What one request had, the next has not."""
    maker = EnvironMaker({}, "", "")
    first = maker(parse_request(get("/a?b", "X-Y: z", "Content-Type: t"))[0])
    second = maker(parse_request(b"GET / HTTP/1.0\r\n\r\n")[0])
    third = maker(RequestPoint(headers={"Host": ""}))
    assert first["HTTP_HOST"] == "h:1"
    assert not {"HTTP_HOST", "HTTP_X_Y", "CONTENT_TYPE"} & set(second)
    assert (second["QUERY_STRING"], second["PATH_INFO"]) == ("", "/")
    assert third["HTTP_HOST"] == ""
    first.clear()
    assert maker(parse_request(get("/"))[0])["HTTP_HOST"] == "h:1"


def test_values_are_shared_only_where_that_is_safe() -> None:
    fields = ("User-Agent: the same old client", "Authorization: Basic c2VjcmV0", "Cookie: session=0123456789")
    one, other = make(get("/", *fields)), make(get("/", *fields))
    assert one["HTTP_USER_AGENT"] is other["HTTP_USER_AGENT"]
    for secret in ("HTTP_AUTHORIZATION", "HTTP_COOKIE"):
        assert one[secret] == other[secret]
        assert one[secret] is not other[secret]
        references = sys.getrefcount(one[secret])
        assert references == 2  # the environ's, and the one that asks


def test_requests_made_by_hand() -> None:
    request = RequestPoint(method="PUT", path="/x?y", headers={"Host": "h", "A-B": "c"}, body=b"data")
    environ = EnvironMaker({})(request)
    assert environ["wsgi.input"].read() == b"data"
    assert (environ["REQUEST_METHOD"], environ["HTTP_HOST"], environ["HTTP_A_B"]) == ("PUT", "h", "c")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert EnvironMaker({})(RequestPoint(path="/%zz"))["PATH_INFO"] == "/%zz"


def test_what_is_no_request() -> None:
    with pytest.raises(TypeError):
        EnvironMaker({})(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        EnvironMaker(None)  # type: ignore[arg-type]


def test_nothing_is_left_behind() -> None:
    maker = EnvironMaker({})
    request = parse_request(get("/p?q", "X-A: b", "X-A: c"))[0]
    for _ in range(100):
        maker(request)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(1000):
        maker(request)
    assert sys.getallocatedblocks() - before < 50


# --- of a connection ----------------------------------------------------------------------------


def test_who_asks(serve: Serve) -> None:
    maker = EnvironMaker({})
    found: list[dict[str, Any]] = []
    rig = serve(lambda request: found.append(maker(request)) or b"")
    for source in ("127.0.0.1", "127.0.0.1", "127.0.0.2"):
        client = rig.connect(source=source)
        client.ask()
        address, port = client.sock.getsockname()
        assert (found[-1]["REMOTE_ADDR"], found[-1]["REMOTE_PORT"]) == (address, str(port)) == (source, str(port))


def test_a_unix_socket_after_another(serve: Serve, tmp_path: Any) -> None:
    maker = EnvironMaker({})
    found: list[dict[str, Any]] = []
    rig = serve(lambda request: found.append(maker(request)) or b"")
    rig.connect().ask()
    listener = rig.listen(Site(rig.core, rig.router), socket.AF_UNIX, str(tmp_path / "s"))
    rig.connect(listener).ask()
    rig.connect().ask()
    assert [environ["REMOTE_ADDR"] for environ in found] == ["127.0.0.1", "", "127.0.0.1"]
    assert ["REMOTE_PORT" in environ for environ in found] == [True, False, True]


def test_what_a_trusted_proxy_says(serve: Serve) -> None:
    maker = EnvironMaker({})
    found: list[dict[str, Any]] = []
    says: list[Any] = [("9.9.9.9", "https", None, None), (None, None, None, None)]
    rig = serve(lambda request: found.append(maker(request)) or b"", options={"forwarded": lambda *_: says.pop(0)})
    rig.connect().ask()
    rig.connect().ask()
    assert [(each["REMOTE_ADDR"], each["wsgi.url_scheme"]) for each in found] == [("9.9.9.9", "https"), ("", "http")]
    assert not any("REMOTE_PORT" in each for each in found)  # a proxy's: of no use with its client's address


@pytest.mark.parametrize("chunks", [b"0\r\n\r\n", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"])
def test_a_body_in_chunks_that_is_here_has_a_length(chunks: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    environ = make(head + chunks)
    body = environ["wsgi.input"].read()
    assert environ["CONTENT_LENGTH"] == str(len(body))
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize("memory", [3, 1000])
def test_and_one_in_a_temporary_file(serve: Serve, memory: int) -> None:
    maker = EnvironMaker({})

    def handler(request: RequestPoint) -> bytes:
        environ = maker(request)
        assert "HTTP_TRANSFER_ENCODING" not in environ
        return f"{environ['CONTENT_LENGTH']} {environ['wsgi.input'].read().decode()}".encode()

    client = serve({"POST /": handler}, body_memory=memory).connect()
    client.send(b"POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: Chunked\r\n\r\n8\r\nabcdefgh\r\n")
    client.send(b"2\r\nij\r\n0\r\n\r\n")
    assert client.answer().body == b"10 abcdefghij"


def test_the_length_of_one_that_still_arrives_is_not_known(serve: Serve) -> None:
    seen: list[dict[str, Any]] = []

    class Stream:
        def feed(self, piece: bytes) -> None: ...
        def end(self, error: str) -> None: ...

    rig = serve({}, options={"open_stream": lambda connection: Stream()})
    rig.router.add("POST", "/", lambda request: seen.append(EnvironMaker({})(request)), blocking=True).streaming = 1
    client = rig.connect().send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    rig.run_job()
    assert "CONTENT_LENGTH" not in seen[0]
    assert seen[0]["HTTP_TRANSFER_ENCODING"] == "chunked"
    client.sock.close()
