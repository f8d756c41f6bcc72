"""Counters by address: against a plain dictionary, and given back in every order."""

from __future__ import annotations

import random
from collections import Counter
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimcore import UsageError
from dimcore.net.address_counts import Addresses


def owner(host: str) -> str:
    """Who an address is counted for, the slow way."""
    found = ip_address(host)
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or int(found) >> 64)
    return str(found)


HOSTS = [
    *(f"10.0.0.{number}" for number in range(12)),
    *(f"::ffff:10.0.0.{number}" for number in range(6)),
    *(f"2001:db8:0:{network:x}::{number}" for network in range(6) for number in (1, 2)),
    "::", "::1", "::a00:1", "0.0.0.0", "255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]  # fmt: skip


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(["enter", "enter", "leave"]), st.sampled_from(HOSTS)), max_size=300),
)
def test_as_a_dictionary_would_count(most: int, steps: list[tuple[str, str]]) -> None:
    addresses, model = Addresses(), Counter[str]()
    for step, host in steps:
        who = owner(host)
        if step == "enter":
            assert addresses.admit(host, most) == (model[who] < most)
            model[who] = min(most, model[who] + 1)
        else:
            addresses.release(host)
            model[who] = max(0, model[who] - 1)
        assert addresses.count(host) == model[who]
    assert {host: addresses.count(host) for host in HOSTS} == {host: model[owner(host)] for host in HOSTS}
    assert addresses.used == sum(count > 0 for count in model.values())


@pytest.mark.parametrize("seed", range(3))
def test_many_addresses_come_and_go(seed: int) -> None:
    """The table grows, closes its gaps and is given back, and no counter is lost meanwhile."""
    chance = random.Random(seed)
    addresses, model = Addresses(), Counter[str]()
    for _ in range(2):
        for _ in range(20_000):
            host = f"10.{chance.randrange(4)}.{chance.randrange(40)}.{chance.randrange(40)}"
            if chance.random() < 0.6:
                assert addresses.admit(host, 3) == (model[host] < 3)
                model[host] = min(3, model[host] + 1)
            else:
                addresses.release(host)
                model[host] = max(0, model[host] - 1)
        assert addresses.used == sum(count > 0 for count in model.values()) > 1000
        for host, count in model.items():
            assert addresses.count(host) == count
            for _ in range(count):
                addresses.release(host)
        model.clear()
        assert addresses.used == 0


def test_neighbours_of_one_network_are_one_client() -> None:
    addresses = Addresses()
    for number in range(5):
        assert addresses.admit(f"2001:db8::{number:x}:0:0:1", 5)
    assert not addresses.admit("2001:db8::ffff:ffff:ffff:ffff", 5)
    assert addresses.admit("2001:db8:0:1::1", 5)
    assert addresses.used == 2


def test_an_ipv4_address_is_the_same_however_it_came_in() -> None:
    addresses = Addresses()
    assert addresses.admit("::ffff:192.0.2.1", 1)
    assert not addresses.admit("192.0.2.1", 1)
    assert addresses.admit("::192.0.2.1", 1)  # which is an IPv6 address of the network 0
    addresses.release("192.0.2.1")
    assert addresses.admit("::ffff:192.0.2.1", 1)


def test_a_limit_that_was_lowered_holds_for_the_next() -> None:
    addresses = Addresses()
    assert all(addresses.admit("192.0.2.1", 5) for _ in range(5))
    assert not addresses.admit("192.0.2.1", 2)
    for _ in range(3):
        addresses.release("192.0.2.1")
    assert not addresses.admit("192.0.2.1", 2)
    addresses.release("192.0.2.1")
    assert addresses.admit("192.0.2.1", 2)


def test_giving_back_what_nobody_has() -> None:
    addresses = Addresses()
    addresses.release("192.0.2.1")
    assert addresses.admit("192.0.2.2", 1)
    addresses.release("192.0.2.1")
    assert (addresses.count("192.0.2.1"), addresses.count("192.0.2.2"), addresses.used) == (0, 1, 1)


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4.5", "::g", "1.2.3.4:80", "ü", "\0"])
def test_what_is_no_address(text: str) -> None:
    addresses = Addresses()
    for call in (lambda: addresses.admit(text, 1), lambda: addresses.release(text), lambda: addresses.count(text)):
        with pytest.raises(UsageError, match="is no IPv4 or IPv6 address"):
            call()


def test_a_count_that_cannot_be() -> None:
    with pytest.raises(OverflowError):
        Addresses().admit("::1", -1)
