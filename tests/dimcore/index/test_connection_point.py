"""Connection points: what the caller gave, what is computed, how small they are."""

from __future__ import annotations

import gc
import io
import sys
import time
import weakref
from typing import Any

import pytest

from dimcore.errors import InvalidCoordinate, UsageError
from dimcore.index.connection_point import ConnectionPoint
from dimcore.index.geometry import identity_vector, z_value
from dimcore.index.index import Index
from dimcore.index.pools import ConnectionSubstrate


def test_arguments_in_order() -> None:
    carrier = object()
    point = ConnectionPoint("id", carrier, ("10.0.0.1", 80), 2, 3, 0.5)
    assert (point.id, point.connection_id) == ("id", "id")
    assert point.socket is carrier
    assert point.address == ("10.0.0.1", 80)
    assert (point.spiral, point.layer, point.position, point.layer_name) == (2, 3, 0.5, "active")
    named = ConnectionPoint(
        connection_id="id", socket=carrier, address=("10.0.0.1", 80), spiral=2, layer=3, position=0.5,
        identity_vector=(0.5, 2.0),
    )  # fmt: skip
    assert (named.id, named.address, named.layer) == (point.id, point.address, point.layer)


def test_nothing_given() -> None:
    point = ConnectionPoint()
    assert (point.id, point.socket, point.address) == ("", None, None)
    assert (point.spiral, point.layer, point.position, point.layer_name) == (0, 1, 0.0, "new")
    Index().add(point)
    assert int(point.id, 16) > 0


@pytest.mark.parametrize("value", ["", 1, b"id", object()])
def test_bad_id(value: str) -> None:
    with pytest.raises(UsageError, match="connection_id"):
        ConnectionPoint(value)


def test_bad_coordinate() -> None:
    with pytest.raises(InvalidCoordinate):
        ConnectionPoint(spiral=64)
    with pytest.raises(InvalidCoordinate):
        ConnectionPoint(layer=0)


def test_id_is_an_exact_str() -> None:
    class Text(str):
        __slots__ = ()

    assert type(ConnectionPoint(Text("id")).id) is str


def test_id_cannot_change_while_indexed() -> None:
    index = Index()
    point = ConnectionPoint("first")
    index.add(point)
    with pytest.raises(UsageError):
        point.__init__("second")  # type: ignore[misc]
    assert index.remove("first") is point


@pytest.mark.parametrize(
    ("address", "host"),
    [(("10.0.0.1", 80), "10.0.0.1"), (("::1", 80, 0, 0), "::1"), (["h", 1], "h"), ("/run/app.sock", "/run/app.sock"),
     (b"\0abstract", "\0abstract"), ("", ""), (None, ""), ((), "()"), ((None, 1), ""), ((b"h", 1), "h"), (5, "5")],
)  # fmt: skip
def test_identity_is_that_of_the_host(address: object, host: str) -> None:
    point = ConnectionPoint(address=address)
    assert point.identity_vector == identity_vector(host)
    assert point.z_value == z_value(host)


@pytest.mark.parametrize("vector", [(0.25, 4.0), [1, -2], (0.0, 0.0)])
def test_identity_may_be_given(vector: tuple[float, float]) -> None:
    for point in (
        ConnectionPoint(identity_vector=vector),
        ConnectionPoint("id", None, ("h", 1), identity_vector=vector),
    ):
        assert point.identity_vector == tuple(vector)
        assert point.z_value == vector[0] * vector[1]
        assert all(type(part) is float for part in point.identity_vector)
    assert ConnectionPoint(identity_vector=vector).id == ""


def test_given_identity_stays_when_the_socket_is_closed() -> None:
    pool = ConnectionSubstrate()
    point = ConnectionPoint("id", io.BytesIO(), ("h", 1), identity_vector=(0.5, 2.0))
    pool.index.add(point)
    pool.transition("id", 6)
    assert point.socket is None
    assert point.identity_vector == (0.5, 2.0)


@pytest.mark.parametrize(
    "vector", [(), (1,), (1, 2, 3), 5, "xy", ("1", "2"), (float("nan"), 1), (1, float("inf")), (10**400, 1), object()]
)
def test_bad_identity(vector: Any) -> None:
    with pytest.raises(UsageError, match="identity_vector must be a pair of finite numbers"):
        ConnectionPoint(identity_vector=vector)


def test_times() -> None:
    index = Index()
    point = ConnectionPoint()
    time.sleep(0.02)
    assert point.idle_seconds >= 0.02
    index.add(point)
    assert point.age_seconds >= 0.02
    assert point.idle_seconds < point.age_seconds - 0.015
    time.sleep(0.02)
    before = point.idle_seconds
    assert before >= 0.02
    index.move(point.id, 0, 1)
    assert point.idle_seconds < before
    index.remove(point.id)
    assert point.age_seconds >= 0.04


def test_size() -> None:
    assert sys.getsizeof(ConnectionPoint()) <= 96
    assert not gc.is_tracked(ConnectionPoint("id", object(), ("h", 1)))


def test_subclass_in_python_is_collected_with_its_cycles() -> None:
    class Live(ConnectionPoint):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.me = self

    point = Live("a")
    gone = weakref.ref(point)
    assert point.id == "a"
    del point
    gc.collect()
    assert gone() is None


def test_held_objects_are_let_go() -> None:
    class Carrier:
        pass

    carrier = Carrier()
    gone = weakref.ref(carrier)
    point = ConnectionPoint("id", carrier)
    del carrier
    assert gone() is not None
    del point
    assert gone() is None
