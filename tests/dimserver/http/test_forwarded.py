"""Who a request is from, behind proxies: only the trusted are believed, and only as far as they can know."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimserver import App
from dimserver.http.forwarded import MAX_HOPS, Forwarding

PROXIES = ("10.0.0.0/8", "192.0.2.1/32", "fd00::/8")
PEER = ("10.0.0.1", 4711)
CLIENT = "203.0.113.9"


class Fields:
    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = pairs

    def getall(self, name: str) -> list[str]:
        return [value for known, value in self.pairs if known.lower() == name.lower()]


def by_x(value: str, peer: Any = PEER, **more: str) -> tuple[str | None, ...]:
    pairs = [("X-Forwarded-For", value)] + [(name.replace("_", "-"), text) for name, text in more.items()]
    return Forwarding(PROXIES, host=True)(peer, Fields(*pairs))[:3]


def by_forwarded(*values: str, peer: Any = PEER) -> tuple[str | None, ...]:
    return Forwarding(PROXIES, "forwarded", host=True)(peer, Fields(*(("Forwarded", value) for value in values)))[:3]


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (CLIENT, CLIENT),
        (f"1.1.1.1, {CLIENT}", CLIENT),  # what is left of the first stranger is the stranger's
        (f"1.1.1.1, {CLIENT}, 10.9.9.9, 192.0.2.1", CLIENT),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),  # all are ours: who asked is one of us
        (f"{CLIENT}:8080", CLIENT),
        ("2001:db8::0:1", "2001:db8::1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:203.0.113.9", CLIENT),
        (f"{CLIENT}, ::ffff:10.1.1.1, fd12::1", CLIENT),
        (f" , {CLIENT} ,, ", CLIENT),
        ("", "10.0.0.1"),
        ("unknown", None),
        ("_hidden", None),
        ("1.1.1.1, unknown", None),
        ("1.1.1.1, nonsense", None),
        ("127.0.0.1.1", None),
        ("0x7f.1", None),
        ("010.0.0.1", None),
        ("fe80::1%eth0", None),
        ("[203.0.113.9]", None),
        ("[::1", None),
        ("[::1]x", None),
        ("[::1]:", None),
        ("203.0.113.9:", None),
        ("203.0.113.9:x", None),
        ("\u0661.1.1.1", None),
        ("1" * 100, None),
    ],
)
def test_the_client_of_x_forwarded_for(value: str, client: str | None) -> None:
    assert by_x(value)[0] == client


def test_several_fields_are_one_list() -> None:
    fields = Fields(("X-Forwarded-For", f"1.1.1.1, {CLIENT}"), ("x-forwarded-for", "10.5.5.5"))
    assert Forwarding(PROXIES)(PEER, fields)[0] == CLIENT


def test_a_stranger_is_not_believed() -> None:
    told = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil", "X_Request_Id": "x"}
    assert by_x("127.0.0.1", ("203.0.113.1", 1), **told) == ("203.0.113.1", None, None)
    assert by_x("127.0.0.1", None, **told) == (None, None, None)
    assert by_forwarded("for=127.0.0.1;proto=https", peer=("2001:db8::7", 1)) == ("2001:db8::7", None, None)
    assert by_x("127.0.0.1", ("unknown", 0)) == (None, None, None)


def test_a_unix_socket_is_trusted_where_it_says_so() -> None:
    fields = Fields(("X-Forwarded-For", CLIENT), ("X-Forwarded-Proto", "https"))
    assert Forwarding(["unix"])(None, fields) == (CLIENT, "https", None, None)
    assert Forwarding(["unix"])(None, Fields()) == (None, None, None, None)


def test_only_the_header_that_was_chosen_counts() -> None:
    both = Fields(("X-Forwarded-For", CLIENT), ("Forwarded", "for=127.0.0.1;proto=https"))
    assert Forwarding(PROXIES)(PEER, both)[:2] == (CLIENT, None)
    both = Fields(("X-Forwarded-For", "127.0.0.1"), ("Forwarded", f"for={CLIENT};proto=https"))
    assert Forwarding(PROXIES, "forwarded")(PEER, both)[:2] == (CLIENT, "https")


@pytest.mark.parametrize(
    ("nodes", "protos", "scheme"),
    [
        (CLIENT, "https", "https"),
        (CLIENT, "HTTPS", "https"),
        (CLIENT, "wss", "https"),
        (CLIENT, "ws", "http"),
        (CLIENT, "gopher", None),
        (CLIENT, "", None),
        (f"1.1.1.1, {CLIENT}", "https, http", "http"),  # each proxy added to both lists
        (f"{CLIENT}, 10.1.1.1", "https, http", "https"),
        (f"1.1.1.1, {CLIENT}", "https", "https"),  # the proxy set it anew
        (CLIENT, "https, http", "http"),  # the client sent one of its own: the nearest proxy's counts
        ("", "https", "https"),
    ],
)
def test_scheme(nodes: str, protos: str, scheme: str | None) -> None:
    assert by_x(nodes, X_Forwarded_Proto=protos)[1] == scheme


@pytest.mark.parametrize("host", ["example.com", "example.com:8443", "[2001:db8::1]:80", "a_b.example", "192.0.2.7"])
def test_host(host: str) -> None:
    assert by_x(CLIENT, X_Forwarded_Host=host)[2] == host
    assert by_forwarded(f'for={CLIENT};host="{host}"')[2] == host


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a@b", "<x>", "a:b", "a:123456", "[x]", "x" * 256, "a\u00e9"])
def test_hosts_that_are_none(host: str) -> None:
    assert by_x(CLIENT, X_Forwarded_Host=host)[2] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"for={CLIENT}", (CLIENT, None, None)),
        (f"For={CLIENT};Proto=HTTPS;by=10.0.0.1;Host=example.com", (CLIENT, "https", "example.com")),
        (f'for="{CLIENT}:4711"', (CLIENT, None, None)),
        ('for="[2001:db8:cafe::17]:4711"', ("2001:db8:cafe::17", None, None)),
        ('for="[2001:db8:cafe::17]:_port"', ("2001:db8:cafe::17", None, None)),
        (f"for=1.1.1.1, for={CLIENT};proto=https, for=10.1.1.1;proto=http", (CLIENT, "https", None)),
        (f"for={CLIENT}, for=10.1.1.1;proto=https", (CLIENT, "https", None)),  # who knows says so
        ('for="\\203.0.113.9"; proto=http ; x="a,b;c"', (CLIENT, "http", None)),
        ("for=_hidden;proto=https", (None, "https", None)),
        ("for=unknown", (None, None, None)),
        ("proto=https", (None, "https", None)),
        (f"for={CLIENT};for=1.1.1.1", (None, None, None)),
        (f"for={CLIENT}; proto", (None, None, None)),
        (f"for={CLIENT};", (None, None, None)),
        (f"for= {CLIENT}", (None, None, None)),
        # An odd quote of the client's does not swallow what the proxy added.
        (f'for=", for={CLIENT}', (CLIENT, None, None)),
        ('for=", for="[2001:db8::1]"', ("2001:db8::1", None, None)),
        (f'for="\\", for={CLIENT}', (CLIENT, None, None)),
        ("", ("10.0.0.1", None, None)),
    ],
)
def test_forwarded(value: str, expected: tuple[str | None, ...]) -> None:
    assert by_forwarded(value) == expected


def test_several_forwarded_fields_are_one_list() -> None:
    assert by_forwarded("for=1.1.1.1", f"for={CLIENT}, for=10.1.1.1")[0] == CLIENT


def test_too_many_hops() -> None:
    assert by_x(", ".join([CLIENT] + ["10.1.1.1"] * (MAX_HOPS - 1)))[0] == CLIENT
    assert by_x(", ".join([CLIENT] + ["10.1.1.1"] * MAX_HOPS))[0] is None
    assert by_forwarded(", ".join([f"for={CLIENT}"] + ["for=10.1.1.1"] * (MAX_HOPS - 1)))[0] == CLIENT
    assert by_forwarded(", ".join([f"for={CLIENT}"] + ["for=10.1.1.1"] * MAX_HOPS))[0] is None


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        (["abc-1.2_3~4+/=:;@"], True), (["x" * 128], True), (["x" * 129], False), ([""], False), (["a b"], False),
        (['a"'], False), (["a\\"], False), (["a,b"], False), (["a", "b"], False), ([], False), (["\u00e9"], False),
    ],
)  # fmt: skip
def test_request_id(values: list[str], taken: bool) -> None:
    fields = Fields(*(("x-request-ID", value) for value in values))
    resolve = Forwarding(PROXIES, id_header="X-Request-Id")
    assert resolve(PEER, fields)[3] == (values[0] if taken else None)
    assert resolve(("203.0.113.1", 1), fields)[3] is None
    assert Forwarding(PROXIES)(PEER, fields)[3] is None


@given(st.text(st.sampled_from('for=";,\\ 1.0:[]a_%\tproto')), st.sampled_from(["for", "x"]))
def test_whatever_a_client_writes_does_not_change_what_the_proxy_added(text: str, kind: str) -> None:
    if kind == "x":
        assert by_x(f"{text}, {CLIENT}")[0] == CLIENT
    else:
        assert by_forwarded(f"{text}, for={CLIENT}") == (CLIENT, None, None)
    by_x(text)
    by_forwarded(text)


# --- as a handler and the access log see it


def test_a_request(serve: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    app = App()

    @app.get("/")
    def who(request: Any) -> dict[str, Any]:
        return {
            "client": request.client_ip, "scheme": request.scheme, "host": request.host,
            "id": request.request_id, "found": request.id != request.request_id,
        }  # fmt: skip

    log = tmp_path / "log"
    server = serve(
        app, trusted_proxies="127.0.0.1", forwarded_host=True, request_id_header="X-Request-Id", access_log="json",
        access_log_file=log,
    )  # fmt: skip
    wire = server.connect()
    fields = ("X-Forwarded-For: 9.9.9.9, 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: example.com")
    told = json.loads(wire.get("/", *fields, "X-Request-Id: abc").answer()[2])
    assert told == {"client": CLIENT, "scheme": "https", "host": "example.com", "id": "abc", "found": True}
    plain = json.loads(wire.get("/").answer()[2])  # the same object serves it, and has forgotten
    assert (plain["client"], plain["scheme"], plain["host"], plain["found"]) == (
        "127.0.0.1",
        "http",
        "localhost",
        False,
    )
    wire.get("/", "X-Forwarded-For: unknown").answer()
    server.stop()
    first, second, third = map(json.loads, log.read_text().splitlines())
    assert (first["client"], first["peer"], first["request_id"]) == (CLIENT, "127.0.0.1", "abc")
    assert (second["client"], second["peer"], second["request_id"]) == ("127.0.0.1", "127.0.0.1", plain["id"])
    assert (third["client"], third["peer"]) == (None, "127.0.0.1")


@pytest.mark.parametrize("header", ["x-forwarded", "forwarded"])
def test_the_host_counts_only_where_that_is_asked_for(header: str) -> None:
    fields = Fields(("X-Forwarded-Host", "evil.example"), ("Forwarded", f"for={CLIENT};host=evil.example"))
    assert Forwarding(PROXIES, header)(PEER, fields)[2] is None
    assert Forwarding(PROXIES, header, host=True)(PEER, fields)[2] == "evil.example"


@pytest.mark.parametrize(
    ("proto", "host", "expected"),
    [
        ("https", "shop.example", ["shop.example", "shop.example", "443"]),
        ("http", "shop.example:8000", ["shop.example:8000", "shop.example", "8000"]),
        ("https", "[::1]", ["[::1]", "[::1]", "443"]),
    ],
)
def test_the_host_a_wsgi_app_sees(serve: Callable[..., Any], proto: str, host: str, expected: list[str]) -> None:
    def names(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps([environ[name] for name in ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT")]).encode()]

    app = App()
    app.mount("/", names)
    fields = (f"X-Forwarded-Proto: {proto}", f"X-Forwarded-Host: {host}")
    wire = serve(app, trusted_proxies="127.0.0.1", forwarded_host=True).connect()
    assert json.loads(wire.get("/", *fields).answer()[2]) == expected
    own = serve(app, trusted_proxies="127.0.0.1").connect()
    port = str(own.sock.getpeername()[1])
    assert json.loads(own.get("/", *fields).answer()[2]) == ["localhost", "127.0.0.1", port]


def test_nobody_is_trusted_unless_said(serve: Callable[..., Any]) -> None:
    app = App()
    app.get("/")(lambda request: [request.client_ip, request.scheme, request.host])
    wire = serve(app).connect()
    fields = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: example.com")
    assert json.loads(wire.get("/", *fields).answer()[2]) == ["127.0.0.1", "http", "localhost"]
