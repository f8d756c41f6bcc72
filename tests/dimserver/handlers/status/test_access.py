"""Who may read, and who may act."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status.access import may_act, may_read, refuse_acting, refuse_reading

REMOTE = ("203.0.113.9", 40000)
TOKEN = "s3cret-token"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_may_read(ask: Any, peer: Any, address: str) -> None:
    assert may_read(ask(peer=peer((address, 1))), None)


def test_unix_sockets_admins_and_the_program_itself_may_read(ask: Any, peer: Any, admin: Any) -> None:
    for connection in (peer(None), peer("/run/peer.sock"), admin, None):
        assert may_read(ask(peer=connection), None)


@pytest.mark.parametrize(
    "address",
    ["203.0.113.9", "10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1", "::ffff:::1", "127.0.0.1.evil.example",
     "127.evil.example.com", "127.0.0", "127.0.0.256", "", "0.0.0.0", "fe80::1%lo"],
)  # fmt: skip
def test_others_may_not(ask: Any, peer: Any, address: str) -> None:
    assert not may_read(ask(peer=peer((address, 1))), None)


@pytest.mark.parametrize("pool", [0, 1, 2])
def test_other_pools_give_no_rights(ask: Any, peer: Any, pool: int) -> None:
    assert not may_read(ask(peer=peer(REMOTE, pool)), None)
    assert not may_act(ask(peer=peer(("127.0.0.1", 1), pool)), None)


@pytest.mark.parametrize("name", ["forwarded", "via", "x_forwarded_for", "x_real_ip"])
def test_a_client_behind_a_local_proxy_is_not_local(ask: Any, peer: Any, admin: Any, name: str) -> None:
    for address in (("127.0.0.1", 1), None):
        assert not may_read(ask(peer=peer(address), **{name: "203.0.113.9"}), None)
    assert may_read(ask(peer=admin, **{name: "203.0.113.9"}), None)


def test_a_client_that_a_proxy_introduced_is_not_local(ask: Any, peer: Any) -> None:
    for address in (("127.0.0.1", 1), None):
        connection = peer(address)
        connection.proxied = True
        assert not may_read(ask(peer=connection), None)
        connection.proxied = False
        assert may_read(ask(peer=connection), None)


@pytest.mark.parametrize("value", ["Bearer s3cret-token", "bearer s3cret-token", "BEARER  s3cret-token"])
def test_the_token_opens(ask: Any, stranger: Any, admin: Any, value: str) -> None:
    assert may_read(ask(peer=stranger, authorization=value), TOKEN)
    assert may_act(ask(peer=admin, authorization=value), TOKEN)
    assert not may_act(ask(peer=stranger, authorization=value), TOKEN)


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
def test_anything_else_does_not(ask: Any, stranger: Any, admin: Any, values: list[str]) -> None:
    assert not may_read(ask(peer=stranger, authorization=values), TOKEN)
    assert not may_act(ask(peer=admin, authorization=values), TOKEN)


@pytest.mark.parametrize("value", ["Bearer ", "Bearer None", "Bearer"])
def test_without_a_token_no_token_opens(ask: Any, stranger: Any, value: str) -> None:
    assert not may_read(ask(peer=stranger, authorization=value), None)


def test_without_a_token_the_admin_listener_is_enough_to_act_unless_a_page_asks(ask: Any, admin: Any) -> None:
    assert may_act(ask(peer=admin), None)
    assert may_act(ask(peer=None), None)
    assert not may_act(ask(peer=admin, origin="https://evil.example"), None)
    assert not may_act(ask(peer=admin, origin="null"), None)
    assert may_act(ask(peer=admin, origin="https://console.example", authorization="Bearer " + TOKEN), TOKEN)


def test_a_refusal_says_who_may(read: Any) -> None:
    for answer in (refuse_reading(), refuse_acting()):
        found = read(answer, 403)
        assert found["error"] == "forbidden"
        assert "admin listener" in found["detail"]
