"""Who may read, and who may act."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status.access import ACTING, Access, is_admin, is_forwarded, refuse_reading

LOCAL = ("127.0.0.1", 40000)
REMOTE = ("203.0.113.9", 40000)
TOKEN = "s3cret-token"
OPEN = Access()
GUARDED = Access(TOKEN)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_may_read(ask: Any, peer: Any, address: str) -> None:
    assert OPEN.may_read(ask(peer=peer((address, 1))))


def test_the_admin_listener_and_the_program_itself_may_read(ask: Any, peer: Any, admin: Any) -> None:
    for connection in (admin, peer(None, 3), peer("/run/peer.sock", 3), None):
        assert OPEN.may_read(ask(peer=connection))


@pytest.mark.parametrize("address", [None, "/run/peer.sock"])
def test_who_comes_through_a_unix_socket_is_not_local(ask: Any, peer: Any, address: Any) -> None:
    """Mostly it is a proxy's, which speaks for anybody."""
    assert not OPEN.may_read(ask(peer=peer(address)))


@pytest.mark.parametrize(
    "address",
    ["203.0.113.9", "10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1", "::ffff:::1", "127.0.0.1.evil.example",
     "127.evil.example.com", "127.0.0", "127.0.0.256", "", "0.0.0.0", "fe80::1%lo"],
)  # fmt: skip
def test_others_may_not(ask: Any, peer: Any, address: str) -> None:
    assert not OPEN.may_read(ask(peer=peer((address, 1))))


@pytest.mark.parametrize("pool", [0, 1, 2])
def test_other_pools_give_no_rights(ask: Any, peer: Any, pool: int) -> None:
    assert not OPEN.may_read(ask(peer=peer(REMOTE, pool)))
    assert not OPEN.may_act(ask(peer=peer(LOCAL, pool)))
    assert not is_admin(ask(peer=peer(LOCAL, pool)))


FORWARDING = [
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
    "X-Forwarded-Server", "X-Forwarded-Anything", "X-Forwarded", "X-Real-IP", "X-Original-Forwarded-For", "X-Client-IP",
    "CF-Connecting-IP", "True-Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "CDN-Loop",
]  # fmt: skip


@pytest.mark.parametrize("name", FORWARDING)
def test_a_client_behind_a_local_proxy_is_not_local(ask: Any, admin: Any, name: str) -> None:
    assert is_forwarded([name])
    assert not OPEN.may_read(ask(**{name: "203.0.113.9"}))
    assert not OPEN.may_read(ask(**{name: ""}))
    assert OPEN.may_read(ask(peer=admin, **{name: "203.0.113.9"}))


def test_usual_fields_are_no_sign_of_a_proxy() -> None:
    assert not is_forwarded(["Host", "User-Agent", "X-Request-Id", "X-Requested-With", "Forward", "Viable", "Cookie"])


def test_a_client_that_a_proxy_introduced_is_not_local(ask: Any, peer: Any) -> None:
    connection = peer(LOCAL)
    connection.proxied = True
    assert not OPEN.may_read(ask(peer=connection))
    connection.proxied = False
    assert OPEN.may_read(ask(peer=connection))


def test_where_the_listener_or_a_proxy_says_so_nobody_is_local(ask: Any, admin: Any) -> None:
    assert not Access(local=False).may_read(ask())
    assert Access(local=False).may_read(ask(peer=admin))


def test_who_speaks_http_1_0_is_not_local(ask: Any, admin: Any) -> None:
    request = ask()
    request.http_version = "1.0"
    assert not OPEN.may_read(request)
    request = ask(peer=admin)
    request.http_version = "1.0"
    assert OPEN.may_act(request)


HOSTS = ["localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:8080", "127.9.9.9", "[::1]", "[::1]:8080",
         "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:1"]  # fmt: skip
FOREIGN = ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "[::2]",
           "[::1", "[::1]x", "0.0.0.0", "0", "127.1", "::1", "", "localhost, evil.example", "my.host"]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_of_this_machine(ask: Any, admin: Any, host: str) -> None:
    assert OPEN.may_read(ask(host=host))
    assert OPEN.may_read(ask(peer=admin, host=host))
    assert OPEN.may_act(ask(peer=admin, host=host))


@pytest.mark.parametrize("host", [*FOREIGN, [], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_page_that_gave_its_name_our_address_gets_nothing(ask: Any, peer: Any, admin: Any, host: Any) -> None:
    """DNS rebinding; and of HTTP/1.0 without Host nobody knows whom it is for."""
    assert not OPEN.may_read(ask(host=host))
    assert not OPEN.may_read(ask(peer=admin, host=host))
    assert not OPEN.may_act(ask(peer=admin, host=host))
    assert OPEN.may_read(ask(peer=peer(None, 3), host=host))


def test_names_of_the_operators_own(ask: Any, admin: Any) -> None:
    access = Access(hosts=("my.host", "10.0.0.1"))
    for host in ("my.host", "My.Host:80", "10.0.0.1:80", "localhost"):
        assert access.may_read(ask(host=host))
        assert access.may_act(ask(peer=admin, host=host))
    assert not access.may_read(ask(host="your.host"))


@pytest.mark.parametrize(
    ("target", "local"),
    [("/api/stats", True), ("http://localhost/api/stats", True), ("http://127.0.0.1:80?x", True),
     ("http://evil.example/api/stats", False), ("http://evil.example?/localhost", False), ("*", False)],
)  # fmt: skip
def test_an_absolute_target_overrules_host(ask: Any, target: str, local: bool) -> None:
    request = ask()
    request.raw_target = target
    assert OPEN.may_read(request) is local


@pytest.mark.parametrize("value", ["Bearer s3cret-token", "bearer s3cret-token", "BEARER  s3cret-token"])
def test_the_token_opens(ask: Any, stranger: Any, admin: Any, value: str) -> None:
    assert GUARDED.may_read(ask(peer=stranger, host="shop.example", authorization=value))
    assert GUARDED.may_read(ask(authorization=value))
    assert GUARDED.may_read(ask(peer=admin, host="10.0.0.1", authorization=value))
    assert GUARDED.may_act(ask(peer=admin, host="10.0.0.1", authorization=value))
    assert GUARDED.may_act(ask(peer=stranger, host="shop.example", authorization=value))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["Bearer wrong"],
        ["Bearer s3cret-toke"],
        ["Bearer s3cret-token2"],
        ["Basic s3cret-token"],
        ["s3cret-token"],
        ["Bearer s3cret-tokén"],
        ["Bearer \udcff"],
        ["Bearer s3cret-token", "Bearer s3cret-token"],
    ],
)
def test_anything_else_does_not(ask: Any, peer: Any, stranger: Any, admin: Any, values: list[str]) -> None:
    """Neither does it for local clients, and those of the admin listener's port."""
    for connection in (stranger, peer(LOCAL), admin):
        assert not GUARDED.may_read(ask(peer=connection, authorization=values))
        assert not GUARDED.may_act(ask(peer=connection, authorization=values))


def test_the_admin_listeners_unix_socket_never_asks(ask: Any, peer: Any) -> None:
    for address in (None, "/run/peer.sock"):
        request = ask(peer=peer(address, 3), host=[])
        assert GUARDED.may_read(request)
        assert GUARDED.may_act(request)


@pytest.mark.parametrize("value", ["Bearer ", "Bearer None", "Bearer"])
def test_without_a_token_no_token_opens(ask: Any, stranger: Any, value: str) -> None:
    assert not OPEN.may_read(ask(peer=stranger, authorization=value))


def test_without_a_token_the_admin_listener_is_enough_to_act_unless_a_page_asks(
    ask: Any, peer: Any, admin: Any
) -> None:
    assert OPEN.may_act(ask(peer=admin))
    assert OPEN.may_act(ask(peer=None))
    for origin in ("https://evil.example", "null", ""):
        assert not OPEN.may_act(ask(peer=admin, origin=origin))
        assert not GUARDED.may_act(ask(peer=peer(None, 3), origin=origin))


SAME = {"host": "10.0.0.1:9000", "origin": "http://10.0.0.1:9000", "authorization": "Bearer " + TOKEN}


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        (SAME, True),
        ({**SAME, "sec_fetch_site": "same-origin"}, True),
        ({**SAME, "sec_fetch_site": "none"}, False),
        ({**SAME, "sec_fetch_site": "same-site"}, False),
        ({**SAME, "sec_fetch_site": "cross-site"}, False),
        ({**SAME, "sec_fetch_site": ["same-origin", "cross-site"]}, False),
        ({**SAME, "host": "Shop.example", "origin": "https://shop.example:443"}, True),
        ({**SAME, "host": "shop.example:80", "origin": "http://shop.example"}, True),
        ({**SAME, "host": "shop.example:443", "origin": "http://shop.example"}, False),
        ({**SAME, "origin": "http://10.0.0.1"}, False),
        ({**SAME, "origin": "https://console.example"}, False),
        ({**SAME, "origin": "null"}, False),
        ({**SAME, "origin": ""}, False),
        ({**SAME, "origin": "10.0.0.1:9000"}, False),
        ({**SAME, "origin": "chrome-extension://10.0.0.1:9000"}, False),
        ({**SAME, "origin": [SAME["origin"], SAME["origin"]]}, False),
        ({"authorization": SAME["authorization"], "sec_fetch_site": "cross-site"}, False),
        ({"authorization": SAME["authorization"], "sec_fetch_site": "none"}, True),
    ],
)
def test_a_page_acts_with_the_token_and_from_here_alone(
    ask: Any, admin: Any, peer: Any, fields: dict[str, Any], may: bool
) -> None:
    assert GUARDED.may_act(ask(peer=admin, **fields)) is may
    assert GUARDED.may_act(ask(peer=peer(REMOTE), **fields)) is may
    without = {name: value for name, value in fields.items() if name != "authorization"}
    assert not GUARDED.may_act(ask(peer=admin, **without))


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin"])
def test_without_a_token_no_page_acts(ask: Any, admin: Any, peer: Any, site: str) -> None:
    for connection in (admin, peer(None, 3)):
        assert not OPEN.may_act(ask(peer=connection, sec_fetch_site=site))
        assert OPEN.may_act(ask(peer=connection, sec_fetch_site="none"))


def test_a_refusal_says_who_may(read: Any) -> None:
    found = read(refuse_reading(), 403)
    assert found["error"] == "forbidden"
    for detail in (found["detail"], ACTING):
        assert "admin listener" in detail
        assert "local-hosts" in detail
