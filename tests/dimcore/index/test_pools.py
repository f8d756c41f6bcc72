"""Pools: lifecycle, caps, totals, and counters that stay true whoever moves a point."""

from __future__ import annotations

import gc
import socket
import time
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimcore.errors import DuplicatePoint, IllegalTransition, InvalidCoordinate, UnknownPoint, UsageError
from dimcore.index.connection_point import ConnectionPoint
from dimcore.index.geometry import PlacementError, z_value
from dimcore.index.index import Index, Point
from dimcore.index.pools import SPIRAL_NAMES, ConnectionPoolManifold, ConnectionSubstrate, PoolFull


class Carrier:
    """A socket that counts how often it is closed."""

    def __init__(self, error: Exception | None = None, then: Callable[[], object] | None = None) -> None:
        self.closed = 0
        self.error = error
        self.then = then

    def close(self) -> None:
        self.closed += 1
        if self.then:
            self.then()
        if self.error:
            raise self.error


def check(manifold: ConnectionPoolManifold) -> None:
    for stats in manifold.get_stats().values():
        assert stats["total_created"] - stats["total_closed"] == stats["total_connections"]
        assert all(type(value) is int and value >= 0 for value in stats.values())


def test_pools_by_name() -> None:
    manifold = ConnectionPoolManifold()
    assert manifold.pools == {"http": 0, "websocket": 1, "api": 2, "admin": 3}
    for name, spiral in manifold.pools.items():
        point = manifold.manifest_connection(None, ("10.0.0.1", 1), name)
        assert (point.spiral, point.layer) == (spiral, 1)
        assert manifold.index.get_by_id(point.id) is point
    check(manifold)


def test_stats_at_rest() -> None:
    assert ConnectionPoolManifold().get_stats()["spiral_0"] == {
        "total_connections": 0,
        "active_connections": 0,
        "idle_connections": 0,
        "total_created": 0,
        "total_closed": 0,
        "total_refused": 0,
        "total_requests": 0,
        "bytes_in": 0,
        "bytes_out": 0,
    }
    assert list(ConnectionPoolManifold().get_stats()) == ["spiral_0", "spiral_1", "spiral_2", "spiral_3"]


def test_lifecycle_of_the_seed() -> None:
    manifold = ConnectionPoolManifold()
    carrier = Carrier()
    point = manifold.manifest_connection(carrier, ("10.0.0.1", 1), "http")
    for layer in (2, 3, 4):
        manifold.transition(point.id, layer)
        assert point.layer == layer
    assert manifold.get_stats()["spiral_0"]["idle_connections"] == 1
    assert carrier.closed == 0
    manifold.transition(point.id, 7)
    assert (point.layer, point.spiral, point.layer_name) == (7, 0, "archived")
    assert carrier.closed == 1
    assert point.socket is None
    assert len(manifold.index) == 0
    stats = manifold.get_stats()["spiral_0"]
    assert (stats["total_created"], stats["total_closed"], stats["total_connections"]) == (1, 1, 0)
    with pytest.raises(UnknownPoint):
        manifold.transition(point.id, 7)


def test_illegal_transition_changes_nothing() -> None:
    manifold = ConnectionPoolManifold()
    carrier = Carrier()
    point = manifold.manifest_connection(carrier)
    with pytest.raises(IllegalTransition, match=r"1 \(new\).*4 \(idle\)"):
        manifold.transition(point.id, 4)
    for layer in (0, 8, -1, 1.0, None):
        with pytest.raises(InvalidCoordinate):
            manifold.transition(point.id, layer)  # type: ignore[arg-type]
    assert (point.layer, carrier.closed) == (1, 0)
    with pytest.raises(UnknownPoint):
        manifold.transition("nobody", 2)
    check(manifold)


def test_closed_closes_once() -> None:
    manifold = ConnectionPoolManifold()
    ours, theirs = socket.socketpair()
    with theirs:
        point = manifold.manifest_connection(ours)
        manifold.transition(point.id, 6)
        assert ours.fileno() == -1
        assert theirs.recv(1) == b""
        manifold.transition(point.id, 7)
    carrier = Carrier(OSError(9, "bad descriptor"))
    point = manifold.manifest_connection(carrier)
    manifold.transition(point.id, 6)
    manifold.transition(point.id, 7)
    assert carrier.closed == 1
    manifold.transition(manifold.manifest_connection(object()).id, 7)
    check(manifold)


def test_unknown_pool() -> None:
    manifold = ConnectionPoolManifold()
    for name in ("HTTP", "", "ftp", None, 0, []):
        with pytest.raises(InvalidCoordinate, match="no pool is called"):
            manifold.manifest_connection(None, None, name)  # type: ignore[arg-type]
        with pytest.raises(InvalidCoordinate):
            manifold.pool(name)  # type: ignore[arg-type]
        with pytest.raises(InvalidCoordinate):
            manifold.set_cap(name, 1)  # type: ignore[arg-type]
    assert len(manifold.index) == 0


def test_more_pools() -> None:
    manifold = ConnectionPoolManifold()
    assert manifold.add_pool("mqtt") == 8
    assert manifold.add_pool("spdy", cap=1) == 9
    manifold.manifest_connection(pool_type="spdy")
    with pytest.raises(PoolFull):
        manifold.manifest_connection(pool_type="spdy")
    assert list(manifold.get_stats()) == [f"spiral_{spiral}" for spiral in (0, 1, 2, 3, 8, 9)]
    assert manifold.get_stats()["spiral_9"]["total_connections"] == 1
    assert manifold.index.total_connections() == 0
    for name in ("", "http", "mqtt", "stream", "jobs", None, 5):
        with pytest.raises(UsageError):
            manifold.add_pool(name)  # type: ignore[arg-type]
    for cap in (-1, 1.5, "1", 2**63):
        with pytest.raises(UsageError):
            manifold.add_pool("other", cap)  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            manifold.set_cap("http", cap)  # type: ignore[arg-type]
    while len(manifold.spirals) < 64:
        manifold.add_pool(f"pool{len(manifold.pools)}")
    with pytest.raises(UsageError, match="all 64 spirals have a name"):
        manifold.add_pool("one too many")
    check(manifold)


RESERVED = {"stream": 4, "upstream": 5, "database": 6, "jobs": 7}


def test_reserved_spirals_have_names() -> None:
    manifold = ConnectionPoolManifold()
    assert manifold.spirals == manifold.pools | RESERVED
    assert tuple(manifold.spirals) == SPIRAL_NAMES
    assert [manifold.spirals[name] for name in SPIRAL_NAMES] == list(range(8))
    assert manifold.pools == {"http": 0, "websocket": 1, "api": 2, "admin": 3}


@pytest.mark.parametrize(("name", "spiral"), RESERVED.items())
def test_points_of_other_kinds_live_by_the_same_table_and_count_for_nothing(name: str, spiral: int) -> None:
    manifold = ConnectionPoolManifold()
    before = manifold.get_stats()
    carrier = Carrier()
    point = manifold.manifest_connection(carrier, None, name)
    assert point.spiral == spiral
    with pytest.raises(IllegalTransition):
        manifold.transition(point.id, 4)
    for layer in (2, 3, 4):
        manifold.transition(point.id, layer)
        assert manifold.index.count_at(spiral, layer) == 1
    assert (len(manifold.index), manifold.index.total_connections(), manifold.admitted) == (1, 0, 0)
    assert manifold.get_stats() == before
    assert manifold.pool(name).get_stats()["idle_connections"] == 1
    assert manifold.cleanup_idle(0) == 0, "what is kept idle there has limits of its own"
    assert manifold.pool(name).cleanup_idle(0) == 1
    assert carrier.closed == 1
    assert manifold.get_stats() == before


def test_a_point_stays_of_its_kind() -> None:
    manifold = ConnectionPoolManifold()
    client = manifold.manifest_connection()
    upstream = manifold.manifest_connection(pool_type="upstream")
    manifold.add_pool("more")
    for point, names in ((client, ("upstream", "jobs")), (upstream, ("http", "more", "jobs"))):
        for name in names:
            with pytest.raises(UsageError, match="cannot move to pool"):
                manifold.move_connection(point.id, name)
    assert (client.spiral, upstream.spiral) == (0, 5)
    manifold.move_connection(upstream.id, "upstream")
    manifold.move_connection(client.id, "more")
    assert (client.spiral, manifold.admitted) == (8, 1)


def test_reserved_spirals_have_no_cap() -> None:
    manifold = ConnectionPoolManifold()
    with pytest.raises(UsageError, match="'upstream' has no cap; those with one: http, websocket, api, admin"):
        manifold.set_cap("upstream", 1)


def test_cap() -> None:
    manifold = ConnectionPoolManifold()
    manifold.set_cap("http", 2)
    first = manifold.manifest_connection()
    manifold.manifest_connection()
    with pytest.raises(PoolFull, match="'http' is full: 2") as caught:
        manifold.manifest_connection()
    assert caught.value.status == 503
    manifold.manifest_connection(pool_type="admin")
    assert manifold.get_stats()["spiral_0"]["total_refused"] == 1
    manifold.transition(first.id, 7)
    manifold.manifest_connection()
    manifold.set_cap("http", 0)
    with pytest.raises(PoolFull):
        manifold.manifest_connection()
    manifold.set_cap("http", None)
    manifold.manifest_connection()
    check(manifold)


def test_duplicate_id() -> None:
    manifold = ConnectionPoolManifold()
    manifold.manifest_connection(connection_id="a")
    with pytest.raises(DuplicatePoint):
        manifold.manifest_connection(connection_id="a", pool_type="api")
    assert manifold.get_stats()["spiral_2"]["total_created"] == 0


def test_move_between_pools() -> None:
    manifold = ConnectionPoolManifold()
    point = manifold.manifest_connection()
    manifold.transition(point.id, 3)
    manifold.move_connection(point.id, "api")
    assert (point.spiral, point.layer) == (2, 3)
    stats = manifold.get_stats()
    assert (stats["spiral_0"]["total_created"], stats["spiral_0"]["total_closed"]) == (1, 1)
    assert (stats["spiral_2"]["total_created"], stats["spiral_2"]["total_closed"]) == (1, 0)
    assert manifold.index.added == 1
    manifold.move_connection(point.id, "api")
    assert manifold.get_stats() == stats
    manifold.set_cap("admin", 0)
    with pytest.raises(PoolFull):
        manifold.move_connection(point.id, "admin")
    assert point.spiral == 2
    with pytest.raises(UnknownPoint):
        manifold.move_connection("nobody", "api")
    with pytest.raises(InvalidCoordinate):
        manifold.move_connection(point.id, "nowhere")
    manifold.add_pool("far")
    manifold.move_connection(point.id, "far")
    check(manifold)


def test_cleanup_idle() -> None:
    manifold = ConnectionPoolManifold()
    carriers = [Carrier() for _ in range(6)]
    points = [manifold.manifest_connection(carrier, None, ("http", "api")[n % 2]) for n, carrier in enumerate(carriers)]
    for point in points:
        manifold.transition(point.id, 3)
    for point in points[:4]:
        manifold.transition(point.id, 4)
    assert manifold.cleanup_idle() == 0
    assert manifold.cleanup_idle(60) == 0
    time.sleep(0.02)
    manifold.transition(points[3].id, 4)
    assert manifold.cleanup_idle(0.015) == 3
    assert [carrier.closed for carrier in carriers] == [1, 1, 1, 0, 0, 0]
    assert manifold.cleanup_idle(0) == 1
    assert len(manifold.index) == 2
    for bad in (-1.0, float("nan")):
        with pytest.raises(UsageError):
            manifold.cleanup_idle(bad)
    assert manifold.cleanup_idle(float("inf")) == 0
    check(manifold)


def test_cleanup_while_closing_changes_the_pool() -> None:
    manifold = ConnectionPoolManifold()
    others: list[str] = []

    def meddle() -> None:
        for name in others:
            if name in manifold.index:
                manifold.index.remove(name)

    points = [manifold.manifest_connection(Carrier(then=meddle)) for _ in range(5)]
    for point in points:
        manifold.transition(point.id, 3)
        manifold.transition(point.id, 4)
    others += [point.id for point in points[2:]]
    assert manifold.cleanup_idle(0) == 2
    assert len(manifold.index) == 0
    check(manifold)


def test_manifold_over_a_given_index() -> None:
    index = Index()
    manifold = ConnectionPoolManifold(index)
    assert manifold.index is index
    plain = Point()
    index.add(plain, 1, 3)
    manifold.transition(plain.id, 4)
    manifold.transition(plain.id, 7)
    assert plain.layer == 7
    manifold.manifest_connection()
    with pytest.raises(UsageError):
        manifold.__init__(Index())  # type: ignore[misc]
    with pytest.raises(TypeError):
        ConnectionPoolManifold(object())  # type: ignore[arg-type]
    check(manifold)


def test_substrate() -> None:
    substrate = ConnectionSubstrate()
    point = substrate.manifest(None, ("10.0.0.1", 1))
    other = substrate.manifest(address=("10.0.0.2", 1), connection_id="other")
    assert substrate.index.get_by_id("other") is other
    for layer in (2, 3, 4):
        substrate.transition(point.id, layer)
    assert substrate.compose(point.id, "other") == z_value("10.0.0.1") * z_value("10.0.0.2")
    assert substrate.compose(point, other) == substrate.compose(point.id, other.id)
    assert substrate.compose(point, 2.0) == z_value("10.0.0.1") * 2
    with pytest.raises(UnknownPoint):
        substrate.compose("nobody", point)
    with pytest.raises(PlacementError):
        substrate.compose(point, None)  # type: ignore[arg-type]

    stats = substrate.get_stats()
    assert (stats["total_connections"], stats["idle_connections"], stats["total_created"]) == (2, 1, 2)
    assert substrate.cleanup_idle(0) == 1
    assert substrate.get_stats()["total_closed"] == 1


def test_compose_over_all_pools() -> None:
    manifold = ConnectionPoolManifold()
    point = manifold.manifest_connection(None, ("10.0.0.1", 1), "http")
    other = manifold.manifest_connection(None, ("10.0.0.2", 1), "api", "other")
    assert manifold.compose(point.id, "other") == z_value("10.0.0.1") * z_value("10.0.0.2")
    assert manifold.compose(point, other) == manifold.compose(other, point) == point.z_value * other.z_value
    with pytest.raises(UnknownPoint):
        manifold.compose(point, "nobody")
    with pytest.raises(PlacementError):
        manifold.compose(None, point)  # type: ignore[arg-type]


def test_cleanup_loop_of_the_seed() -> None:
    substrate = ConnectionSubstrate()
    for _ in range(10):
        name = substrate.manifest().id
        for layer in (2, 3, 4):
            substrate.transition(name, layer)
    for point in substrate.index.get_at(0, 4):
        if point.idle_seconds > -1:  # type: ignore[attr-defined]
            substrate.transition(point.id, 7)
    assert substrate.index.total_connections() == 0


def test_substrates_share_an_index() -> None:
    index = Index()
    http, api = ConnectionSubstrate(index), ConnectionSubstrate(index, 2)
    http.manifest()
    api.manifest()
    api.manifest()
    assert (http.get_stats()["total_connections"], api.get_stats()["total_connections"]) == (1, 2)
    assert len(index) == 3
    with pytest.raises(InvalidCoordinate):
        ConnectionSubstrate(index, 64)


def test_pool_of_a_manifold_is_a_substrate() -> None:
    manifold = ConnectionPoolManifold()
    manifold.set_cap("api", 1)
    api = manifold.pool("api")
    assert (api.spiral, api.index, api.pools) == (2, manifold.index, manifold)
    point = api.manifest()
    assert point.spiral == 2
    with pytest.raises(PoolFull):
        api.manifest()
    assert api.get_stats() == manifold.get_stats()["spiral_2"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("nntmcra"), st.integers(0, 9), st.integers(0, 7)), max_size=60),
)
def test_only_the_pools_of_clients_count(steps: list[tuple[str, int, int]]) -> None:
    """Beside a model that has never heard of the other spirals: whatever happens there, nothing that counts changes."""
    manifold, model = ConnectionPoolManifold(), ConnectionPoolManifold()
    for each in (manifold, model):
        each.set_cap("http", 3)
    for name in ("more", "most"):
        manifold.add_pool(name)
    names = list(manifold.spirals)
    clients: list[tuple[Point, Point]] = []
    others: list[Point] = []
    for action, which, layer in steps:
        name = names[which]
        counts = which < 4
        try:
            if action == "n" and counts:
                point = manifold.manifest_connection(pool_type=name)
                clients.append((point, model.manifest_connection(pool_type=name)))
            elif action == "n":
                others.append(manifold.manifest_connection(pool_type=name))
            elif action == "a":
                point = Point(which, max(layer, 1))
                manifold.index.add(point)
                if counts:
                    twin = Point(which, max(layer, 1))
                    model.index.add(twin)
                    clients.append((point, twin))
                else:
                    others.append(point)
            elif action == "c":
                manifold.cleanup_idle(0)
                model.cleanup_idle(0)
            elif counts and clients:
                pair = clients[layer % len(clients)]
                for each, one in zip((manifold, model), pair, strict=True):
                    try:
                        if action == "t":
                            each.transition(one.id, layer)
                        elif action == "m":
                            each.move_connection(one.id, name)
                        else:
                            each.index.remove(one.id)
                    except (UsageError, PoolFull):
                        pass
            elif others:
                point = others[layer % len(others)]
                if action == "t":
                    manifold.transition(point.id, layer)
                elif action == "m" and (
                    not counts or point.spiral < 8
                ):  # out of an added pool it would become a client
                    manifold.move_connection(point.id, name)
                elif action == "m":
                    continue
                else:
                    manifold.index.remove(point.id)
        except (UsageError, PoolFull):
            # A full pool refuses in both: the model has to have counted it, too.
            if action == "n" and counts:
                with pytest.raises(PoolFull):
                    model.manifest_connection(pool_type=name)
        found = {key: value for key, value in manifold.get_stats().items() if key < "spiral_4"}
        assert found == model.get_stats()
        assert manifold.index.total_connections() == model.index.total_connections() == len(model.index)
        check(manifold)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("natmxcr"), st.integers(0, 7), st.integers(0, 7)), max_size=60),
)
def test_created_less_closed_is_what_is_there(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is called, through the pools or behind their back."""
    manifold = ConnectionPoolManifold()
    manifold.set_cap("api", 2)
    names = list(manifold.pools)
    points: list[Point] = []
    before = manifold.get_stats()
    for action, which, layer in steps:
        try:
            if action == "n":
                points.append(manifold.manifest_connection(pool_type=names[which % 4]))
            elif action == "a":
                point = Point(which % 4, max(layer, 1))
                manifold.index.add(point)
                points.append(point)
            elif action == "c":
                manifold.cleanup_idle(0)
            elif points:
                point = points[which % len(points)]
                if action == "t":
                    manifold.transition(point.id, layer)
                elif action == "m":
                    manifold.move_connection(point.id, names[layer % 4])
                elif action == "x":
                    manifold.index.move(point.id, layer % 4, max(which, 1))
                else:
                    manifold.index.remove(point.id)
        except (UsageError, PoolFull):
            pass
        check(manifold)
        now = manifold.get_stats()
        for spiral, stats in now.items():
            for key in ("total_created", "total_closed", "total_refused"):
                assert stats[key] >= before[spiral][key]
        before = now


def test_cycle_through_a_connection_is_collected() -> None:
    class Live(ConnectionPoint):
        pools: ConnectionPoolManifold

    manifold = ConnectionPoolManifold()
    point = Live()
    point.pools = manifold
    manifold.index.add(point)
    gone = weakref.ref(point)
    del manifold, point
    gc.collect()
    assert gone() is None
