"""Identity vectors as the seed defines them; placement that is even, stable and cheap to change."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimcore.errors import UsageError
from dimcore.index.connection_point import ConnectionPoint
from dimcore.index.geometry import PlacementError, affinity, compose, identity_vector, rendezvous, z_value

HOSTS = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(20_000)]


@given(st.text())
def test_identity_is_the_seeds(text: str) -> None:
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    x = int.from_bytes(digest[:4], "big") / (2**32)
    y = 1.0 / (x + 0.001)
    assert identity_vector(text) == (x, y)
    assert z_value(text) == x * y


def test_known_values() -> None:
    x, y = identity_vector("127.0.0.1")
    assert x == 0xF528764D / 2**32
    assert y == 1 / (x + 0.001)


def test_a_text_that_is_no_unicode_has_an_identity() -> None:
    assert 0 <= identity_vector("\udcff\ud800")[0] < 1


@pytest.mark.parametrize("value", [None, b"a", 1])
def test_identity_of_no_text(value: str) -> None:
    with pytest.raises(TypeError):
        identity_vector(value)
    with pytest.raises(TypeError):
        z_value(value)


def test_compose() -> None:
    a, b = ConnectionPoint(address=("10.0.0.1", 1)), ConnectionPoint(address=("10.0.0.2", 2))
    expected = z_value("10.0.0.1") * z_value("10.0.0.2")
    assert compose(a, b) == compose("10.0.0.1", b) == compose(a, z_value("10.0.0.2")) == expected
    assert compose(a, b) == compose(b, a)
    assert compose(2, 3) == 6.0
    assert compose(-1.0, 1) == -1.0


@pytest.mark.parametrize("value", [None, object(), b"a", [1]])
def test_compose_of_what_has_no_z(value: float) -> None:
    with pytest.raises(PlacementError, match="z_value"):
        compose(value, "a")
    with pytest.raises(PlacementError, match="z_value"):
        compose("a", value)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 64, 1000])
def test_affinity_is_even(n: int) -> None:
    counts = Counter(affinity(host, n) for host in HOSTS)
    assert set(counts) <= set(range(n))
    expected = len(HOSTS) / n
    squares = sum((counts[place] - expected) ** 2 / expected for place in range(n))
    assert squares < n + 6 * (2 * n) ** 0.5  # chi-square, six standard deviations


def test_affinity_of_a_point_is_that_of_its_host() -> None:
    point = ConnectionPoint(address=("10.0.0.1", 5))
    assert affinity(point, 1000) == affinity("10.0.0.1", 1000)
    assert 0 <= affinity(point, 2**80) < 2**80


@pytest.mark.parametrize("n", [0, -1, 1.5, None, "4"])
def test_affinity_without_places(n: int) -> None:
    with pytest.raises(PlacementError):
        affinity("a", n)


@pytest.mark.parametrize("key", [None, 1, b"a", object()])
def test_key_without_identity(key: str) -> None:
    with pytest.raises(PlacementError, match="identity_vector"):
        affinity(key, 4)
    with pytest.raises(PlacementError, match="identity_vector"):
        rendezvous(key, {"a": 1})


@pytest.mark.parametrize("x", [-0.1, 1.0, float("nan"), float("inf")])
def test_key_with_an_impossible_identity(x: float) -> None:
    class Broken:
        identity_vector = (x, 1.0)

    with pytest.raises(PlacementError, match="at least 0 and below 1"):
        affinity(Broken(), 4)


@pytest.mark.parametrize(
    "servers",
    [
        {"a": 1},
        {"a": 1, "b": 1},
        {"a": 1, "b": 2, "c": 5},
        {f"server{n}": 1 for n in range(10)},
        {"a": 0.001, "b": 0.002},
    ],
)
def test_rendezvous_gives_each_its_share(servers: dict[str, float]) -> None:
    counts = Counter(rendezvous(host, servers) for host in HOSTS)
    total = sum(servers.values())
    squares = 0.0
    for name, weight in servers.items():
        expected = len(HOSTS) * weight / total
        squares += (counts[name] - expected) ** 2 / expected
    assert squares < len(servers) + 6 * (2 * len(servers)) ** 0.5


def test_rendezvous_moves_only_what_it_must() -> None:
    servers = {f"server{n}": 1.0 + n for n in range(5)}
    before = {host: rendezvous(host, servers) for host in HOSTS}
    fewer = {name: weight for name, weight in servers.items() if name != "server3"}
    more = servers | {"server9": 2.0}
    for host, name in before.items():
        if name != "server3":
            assert rendezvous(host, fewer) == name
        assert rendezvous(host, more) in (name, "server9")


@given(st.text(), st.dictionaries(st.text(), st.floats(1e-300, 1e300), min_size=1))
def test_rendezvous_does_not_depend_on_order(key: str, servers: dict[str, float]) -> None:
    chosen = rendezvous(key, servers)
    assert chosen in servers
    assert rendezvous(key, dict(reversed(servers.items()))) == chosen


@pytest.mark.parametrize(
    "servers",
    [{}, {"a": 0}, {"a": -1}, {"a": float("nan")}, {"a": float("inf")}, {"a": 10**400}, {"a": None}, {"a": "1"},
     {1: 1}, {"good": 1, "bad": 0}],
)  # fmt: skip
def test_servers_that_cannot_be_used(servers: dict[str, float]) -> None:
    with pytest.raises(PlacementError) as caught:
        rendezvous("key", servers)
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, ValueError)


def test_placement_is_the_same_in_every_process() -> None:
    code = (
        "from dimcore.index.geometry import affinity, rendezvous\n"
        "servers = {'a': 1, 'b': 2.5, 'c': 1}\n"
        "print([(affinity(str(n), 97), rendezvous(str(n), servers)) for n in range(200)])"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    servers = {"a": 1, "b": 2.5, "c": 1}
    here = [(affinity(str(n), 97), rendezvous(str(n), servers)) for n in range(200)]
    assert outputs == {f"{here}\n"}


def test_placement_is_the_same_in_every_version() -> None:
    """A change here moves every client of every installation to another server."""
    servers = {"alpha": 1, "beta": 2, "gamma": 3}
    expected = ["gamma", "gamma", "beta", "alpha", "beta", "alpha", "beta", "gamma"]
    assert [rendezvous(str(n), servers) for n in range(8)] == expected
    assert [affinity(str(n), 100) for n in range(8)] == [81, 76, 78, 92, 65, 89, 8, 55]
