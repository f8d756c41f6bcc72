"""The index: each operation, misuse, order, lifetime, and a naive model beside it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import weakref
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from dimcore.errors import DuplicatePoint, InvalidCoordinate, UnknownPoint, UsageError
from dimcore.index.connection_point import ConnectionPoint
from dimcore.index.index import CellSnapshot, Index, Point
from dimcore.seed import DimensionalConnectionIndex


class Tagged(Point):
    """A point with a `__dict__` and weak references."""


def cells(index: Index) -> dict[tuple[int, int], list[Point]]:
    """Everything in the index; reading it must not change it."""
    return {
        (spiral, layer): list(index.get_at(spiral, layer))
        for spiral in range(64)
        for layer in range(1, 8)
        if index.count_at(spiral, layer)
    }


def test_names() -> None:
    assert DimensionalConnectionIndex is Index


def test_connections_are_those_of_clients() -> None:
    index = Index()
    points = [Point(spiral, layer) for spiral in (*range(10), 63) for layer in (1, 7)]
    for point in points:
        index.add(point)
    assert (len(index), index.total_connections()) == (22, 8)
    for point in points[8:]:
        index.remove(point.id)
    assert (len(index), index.total_connections()) == (8, 8)
    index.move(points[0].id, 5, 1)
    assert (len(index), index.total_connections()) == (8, 7)


def test_add_find_move_remove() -> None:
    index = Index()
    point = Point()
    index.add(point, 1, 2)
    assert (point.spiral, point.layer) == (1, 2)
    assert index.get_by_id(point.id) is point
    assert point.id in index
    assert point in index
    assert index.count_at(1, 2) == len(index) == index.total_connections() == index.added == 1
    index.move(point.id, 3, 4)
    assert (point.spiral, point.layer) == (3, 4)
    assert (index.count_at(1, 2), index.count_at(3, 4)) == (0, 1)
    assert index.remove(point.id) is point
    assert (point.spiral, point.layer) == (3, 4)
    assert len(index) == 0
    assert index.get_by_id(point.id) is None
    assert point.id not in index
    assert point not in index
    assert index.added == 1


def test_every_argument_has_a_name() -> None:
    index = DimensionalConnectionIndex()
    point = ConnectionPoint("a")
    index.add(connection=point)
    index.move(connection_id="a", new_spiral=2, new_layer=3)
    assert (point.spiral, point.layer) == (2, 3)
    assert index.get_by_id(connection_id="a") is point
    assert list(index.get_at(spiral=2, layer=3)) == [point]
    assert index.count_at(spiral=2, layer=3) == 1
    assert index.remove(connection_id="a") is point
    assert len(index) == 0


def test_add_takes_the_coordinate_of_the_point() -> None:
    index = Index()
    point = Point(5, 6)
    index.add(point)
    assert index.count_at(5, 6) == 1
    other = Point(5, 6)
    index.add(other, layer=7)
    assert index.count_at(5, 7) == 1


def test_rows_appear_on_demand() -> None:
    index = Index()
    assert index.spirals == 4
    assert index.count_at(63, 7) == 0
    assert index.expired(63, 7, 1e300) == []
    assert index.spirals == 4
    point = Point()
    index.add(point)
    index.move(point.id, 63, 7)
    assert index.spirals == 64
    assert Index(8).spirals == 8


@pytest.mark.parametrize("spirals", [0, 65, -1, 1.5, None, "4"])
def test_bad_number_of_spirals(spirals: int) -> None:
    with pytest.raises(InvalidCoordinate):
        Index(spirals)


def test_ids_are_lower_case_hex_and_never_come_back() -> None:
    index = Index()
    seen: set[str] = set()
    for _ in range(200):
        point = Point()
        index.add(point)
        text = point.id
        assert text not in seen
        assert text == f"{int(text, 16):x}"
        seen.add(text)
        index.remove(text)
        assert point.id == text
    assert all(index.get_by_id(text) is None for text in seen)


@pytest.mark.parametrize(
    "change",
    [str.upper, lambda t: "0" + t, lambda t: t + " ", lambda t: " " + t, lambda t: "0x" + t, lambda t: t + "0" * 9,
     lambda t: t[:-1], lambda t: t.replace("1", "\u0661", 1), lambda t: t + "\0"],
)  # fmt: skip
def test_only_the_exact_text_is_an_id(change: Callable[[str], str]) -> None:
    index = Index()
    points = [Point() for _ in range(11)]
    for point in points:
        index.add(point)
    text = points[10].id
    assert text[-1] == "a"
    assert index.get_by_id(text) is points[10]
    assert index.get_by_id(change(text)) is not points[10]


@pytest.mark.parametrize("value", ["", "nope", "0", "ffffffffffffffff", "f" * 14, "f" * 500, "é", "\ud800"])
def test_unknown_id(value: str) -> None:
    index = Index()
    point = Point()
    index.add(point)
    before = cells(index)
    assert index.get_by_id(value) is None
    assert value not in index
    with pytest.raises(UnknownPoint, match="no point with the id"):
        index.move(value, 0, 1)
    with pytest.raises(UnknownPoint):
        index.remove(value)
    assert cells(index) == before


@pytest.mark.parametrize("value", [None, 5, b"1000000", [], 16777216])
def test_id_that_is_no_str_is_unknown(value: str) -> None:
    index = Index()
    index.add(Point())
    assert index.get_by_id(value) is None
    assert value not in index
    with pytest.raises(UnknownPoint):
        index.move(value, 0, 1)
    with pytest.raises(UnknownPoint):
        index.remove(value)


@pytest.mark.parametrize(
    ("spiral", "layer"),
    [(-1, 1), (64, 1), (0, 0), (0, 8), (0, -1), (10**30, 1), (0, 10**30), (1.0, 1), (0, 1.0), ("0", 1), (0, "1"),
     (None, 1), (0, None)],
)  # fmt: skip
def test_bad_coordinate_changes_nothing(spiral: int, layer: int) -> None:
    index = Index()
    point, out = Point(), Point()
    index.add(point, 2, 3)
    snapshot = index.get_at(2, 3)
    calls: list[Callable[[], object]] = [
        lambda: index.move(point.id, spiral, layer),
        lambda: index.get_at(spiral, layer),
        lambda: index.count_at(spiral, layer),
        lambda: index.expired(spiral, layer, 0.0),
    ]
    if spiral is not None and layer is not None:
        calls.append(lambda: index.add(out, spiral, layer))
    for call in calls:
        with pytest.raises(InvalidCoordinate):
            call()
    assert (point.spiral, point.layer, out.spiral, out.layer) == (2, 3, 0, 1)
    assert index.get_at(2, 3) is snapshot
    assert len(index) == index.added == 1


def test_double_add_changes_nothing() -> None:
    index, other = Index(), Index()
    point = Point()
    index.add(point, 1, 1)
    with pytest.raises(DuplicatePoint, match="in this index already"):
        index.add(point, 2, 2)
    with pytest.raises(DuplicatePoint, match="in another index already"):
        other.add(point, 2, 2)
    assert (point.spiral, point.layer, len(index), len(other)) == (1, 1, 1, 0)
    index.remove(point.id)
    other.add(point)
    assert len(other) == 1


@pytest.mark.parametrize("value", [None, object(), "1000000", 1])
def test_only_points_can_be_added(value: Point) -> None:
    with pytest.raises(TypeError):
        Index().add(value)


# --- ids of the caller's ------------------------------------------------------------------------------


def test_named_point() -> None:
    index = Index()
    point = ConnectionPoint("conn-1")
    index.add(point)
    assert point.id == "conn-1"
    assert index.get_by_id("conn-1") is point
    with pytest.raises(DuplicatePoint, match="conn-1"):
        index.add(ConnectionPoint("conn-1"))
    assert len(index) == 1
    index.move("conn-1", 0, 3)
    assert index.remove("conn-1") is point
    index.add(ConnectionPoint("conn-1"))


def test_named_point_is_not_found_by_its_number() -> None:
    index = Index()
    plain = Point()
    index.add(plain)
    number = plain.id
    index.remove(number)
    named = ConnectionPoint("conn-1")
    index.add(named)
    assert all(index.get_by_id(f"{generation << 24:x}") is None for generation in range(1, 5))


def test_name_that_reads_like_the_number_of_another() -> None:
    index = Index()
    plain = Point()
    index.add(plain)
    with pytest.raises(DuplicatePoint):
        index.add(ConnectionPoint(plain.id))
    index.remove(plain.id)
    # now the name is free, and the slot must never hand out that number
    names = [f"{generation << 24:x}" for generation in range(1, 6)]
    named = {name: ConnectionPoint(name) for name in names}
    for point in named.values():
        index.add(point)
    for _ in range(20):
        fresh = Point()
        index.add(fresh)
        assert fresh.id not in names
        assert index.get_by_id(fresh.id) is fresh
        index.remove(fresh.id)
    for name, point in named.items():
        assert index.get_by_id(name) is point
        index.remove(name)
    assert len(index) == 0


def test_named_point_taken_out_leaves_its_name_free_when_the_index_is_dropped() -> None:
    point = ConnectionPoint("a")
    index = Index()
    index.add(point)
    del index
    Index().add(point)
    assert point.id == "a"


# --- time ---------------------------------------------------------------------------------------------


def test_expired_is_by_entry_time_oldest_first() -> None:
    index = Index()
    points = [Point() for _ in range(6)]
    for point in points[:3]:
        index.add(point, 0, 4)
    middle = time.monotonic()
    for point in points[3:]:
        index.add(point, 0, 4)
    assert index.expired(0, 4, middle) == points[:3]
    assert index.expired(0, 4, middle - 1000) == []
    assert index.expired(0, 4, time.monotonic()) == points
    index.move(points[0].id, 0, 4)
    assert index.expired(0, 4, middle) == points[1:3]
    assert index.expired(0, 4, float("inf")) == [*points[1:], points[0]]
    assert index.expired(0, 4, float("-inf")) == []
    assert index.expired(0, 4, 1e300) == [*points[1:], points[0]]
    assert index.expired(0, 4, 0) == []


def test_expired_before_nan() -> None:
    with pytest.raises(UsageError):
        Index().expired(0, 1, float("nan"))


def test_expired_looks_at_the_head_only() -> None:
    index = Index()
    for _ in range(50_000):
        index.add(Point(), 0, 4)

    def cost(before: float) -> float:
        best = 1.0
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(100):
                index.expired(0, 4, before)
            best = min(best, time.perf_counter() - start)
        return best

    assert cost(0.0) < 0.002  # 100 calls; a walk of the cell alone would take over 10 ms


# --- lifetime -----------------------------------------------------------------------------------------


def test_point_outlives_the_index() -> None:
    index = Index()
    points = [Tagged() for _ in range(100)]
    for point in points:
        index.add(point, 1, 3)
    index.move(points[0].id, 2, 2)
    names = [point.id for point in points]
    del index
    assert [point.id for point in points] == names
    assert (points[0].spiral, points[0].layer) == (2, 2)
    fresh = Index()
    for point in points:
        fresh.add(point)
    assert len(fresh) == 100


def test_index_holds_points_and_lets_go() -> None:
    index = Index()
    point = Tagged()
    before = sys.getrefcount(point)
    index.add(point)
    assert sys.getrefcount(point) == before + 1
    for layer in range(1, 8):
        index.move(point.id, 0, layer)
        assert index.get_by_id(point.id) is point
    assert sys.getrefcount(point) == before + 1
    index.remove(point.id)
    assert sys.getrefcount(point) == before
    index.add(point)
    gone = weakref.ref(point)
    del point
    found = gone()
    assert found is not None
    index.remove(found.id)
    del found
    assert gone() is None


def test_failed_calls_leak_nothing() -> None:
    index = Index()
    point, named = Tagged(), ConnectionPoint("x")
    index.add(point)
    index.add(named)
    counts = [sys.getrefcount(thing) for thing in (index, point, named)]
    calls: list[Callable[[], object]] = [
        lambda: index.add(point),
        lambda: index.add(ConnectionPoint("x")),
        lambda: index.add(Point(), 0, 9),
        lambda: index.move("y", 0, 1),
        lambda: index.move("x", 0, 0),
        lambda: index.remove("y"),
        lambda: index.get_at(99, 1),
        lambda: index.expired(0, 1, float("nan")),
    ]
    for call in calls:
        for _ in range(50):
            with pytest.raises(UsageError):
                call()
    gc.collect()
    assert [sys.getrefcount(thing) for thing in (index, point, named)] == counts


def test_dropped_index_drops_its_points() -> None:
    index = Index()
    gone = []
    for n in range(100):
        point = Tagged()
        index.add(point, n % 4, 1 + n % 7)
        gone.append(weakref.ref(point))
    del point, index
    assert all(reference() is None for reference in gone)


def test_cycle_through_a_point_is_collected() -> None:
    index = Index()
    point = Tagged()
    point.index = index  # type: ignore[attr-defined]
    index.add(point)
    gone = weakref.ref(point)
    del index, point
    gc.collect()
    assert gone() is None


def test_cycle_of_subclasses_with_finalisers_is_collected() -> None:
    ends: list[str] = []

    class LoudIndex(Index):
        def __del__(self) -> None:
            ends.append(f"index of {len(self)}")

    class LoudPoint(ConnectionPoint):
        owner: Index

        def __del__(self) -> None:
            ends.append(f"point {self.id} {len(self.owner)}")

    index = LoudIndex()
    for n in range(3):
        point = LoudPoint(f"p{n}")
        point.owner = index
        index.add(point)
    del index, point
    gc.collect()
    assert sorted(ends) == ["index of 3", "point p0 3", "point p1 3", "point p2 3"]


def test_point_whose_end_changes_the_index() -> None:
    index = Index()

    class Meddler(Point):
        def __del__(self) -> None:
            for point in index.get_at(0, 1):
                index.remove(point.id)
            index.add(Point(), 0, 2)

    for _ in range(5):
        index.add(Meddler(), 0, 1)
    index.remove(index.get_at(0, 1)[0].id)
    assert index.count_at(0, 1) == 0
    assert index.count_at(0, 2) == 5


def test_id_with_hostile_comparison() -> None:
    index = Index()
    point = ConnectionPoint("victim")
    index.add(point)

    class Hostile(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return hash("victim")

        def __eq__(self, other: object) -> bool:
            if "victim" in index:
                index.remove("victim")
            return True

    try:
        index.move(Hostile("other"), 0, 3)
    except UnknownPoint:
        pass
    assert index.total_connections() in (0, 1)
    assert cells(index) in ({}, {(0, 3): [point]})
    for n in range(100):
        index.add(ConnectionPoint(f"n{n}"))
    assert all(index.get_by_id(f"n{n}") is not None for n in range(100))


def test_subclass_with_other_arguments() -> None:
    class Named(Index):
        def __init__(self, name: str, spirals: int) -> None:
            super().__init__(spirals)
            self.name = name

    class Forgetful(Index):
        def __init__(self, first: str, second: str) -> None:
            pass

    assert Named("a", 8).spirals == 8
    index = Forgetful("a", "b")
    index.add(Point())
    assert index.count_at(0, 1) == 1


def test_growth_keeps_ids() -> None:
    index = Index()
    points = [Point() for _ in range(10_000)]
    for point in points:
        index.add(point)
    assert len({point.id for point in points}) == 10_000
    assert all(index.get_by_id(point.id) is point for point in points)
    for point in points[::2]:
        index.remove(point.id)
    assert list(index.get_at(0, 1)) == points[1::2]
    assert all(index.get_by_id(point.id) is None for point in points[::2])


LEAK = """
import gc, resource
from dimcore.index.index import Index
from dimcore.index.connection_point import ConnectionPoint

def work(rounds):
    index = Index()
    for n in range(rounds):
        point = ConnectionPoint("named" if n % 3 == 0 else None)
        index.add(point, n % 4, 1)
        snapshot = index.get_at(n % 4, 1)
        if n % 2:
            list(snapshot)
        index.move(point.id, n % 64, 1 + n % 7)
        index.expired(n % 64, 1 + n % 7, 1e300)
        for wrong in (lambda: index.add(point), lambda: index.move("none", 0, 1), lambda: index.get_at(0, 0)):
            try:
                wrong()
            except Exception:
                pass
        index.remove(point.id)
        if n % 100 == 0:
            index = Index()
    gc.collect()

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

work(20_000)
before = resident()
work(200_000)
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps freed memory back")
def test_memory_does_not_grow() -> None:
    done = subprocess.run([sys.executable, "-c", LEAK], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 512 * 1024


# --- beside a naive model -----------------------------------------------------------------------------

SPIRALS = st.sampled_from([0, 1, 3, 4, 63])
LAYERS = st.integers(1, 7)
NAMES = st.one_of(st.sampled_from(["a", "b", "é", "1000000", "2000000", "1000001", "deadbeef"]), st.text(min_size=1))


class Model(RuleBasedStateMachine):
    """The index beside a dict of lists; snapshots are held across every change."""

    points = Bundle("points")

    def __init__(self) -> None:
        super().__init__()
        self.index = Index()
        self.cells: dict[tuple[int, int], list[Point]] = defaultdict(list)
        self.where: dict[Point, tuple[int, int]] = {}
        self.names: dict[str, Point] = {}
        self.held: list[tuple[CellSnapshot, list[Point]]] = []
        self.marks: list[tuple[float, dict[Point, int]]] = []
        self.moves = 0
        self.entered: dict[Point, int] = {}

    def enter(self, point: Point, spiral: int, layer: int) -> None:
        self.cells[spiral, layer].append(point)
        self.where[point] = (spiral, layer)
        self.moves += 1
        self.entered[point] = self.moves

    def leave(self, point: Point) -> None:
        self.cells[self.where.pop(point)].remove(point)

    @rule(target=points, spiral=SPIRALS, layer=LAYERS)
    def add_plain(self, spiral: int, layer: int) -> Point:
        point = Point()
        self.index.add(point, spiral, layer)
        assert point.id not in self.names
        self.names[point.id] = point
        self.enter(point, spiral, layer)
        return point

    @rule(target=points, spiral=SPIRALS, layer=LAYERS, name=NAMES)
    def add_named(self, spiral: int, layer: int, name: str) -> Point:
        point = ConnectionPoint(name)
        if name in self.names:
            with pytest.raises(DuplicatePoint):
                self.index.add(point, spiral, layer)
        else:
            self.index.add(point, spiral, layer)
            self.names[name] = point
            self.enter(point, spiral, layer)
        return point

    @rule(point=points, spiral=SPIRALS, layer=LAYERS)
    def move(self, point: Point, spiral: int, layer: int) -> None:
        if point in self.where:
            self.index.move(point.id, spiral, layer)
            self.leave(point)
            self.enter(point, spiral, layer)
        elif point.id not in self.names:
            with pytest.raises(UnknownPoint):
                self.index.move(point.id, spiral, layer)

    @rule(point=consumes(points))
    def remove(self, point: Point) -> None:
        if point in self.where:
            assert self.index.remove(point.id) is point
            del self.names[point.id]
            self.leave(point)

    @rule(point=points)
    def add_again(self, point: Point) -> None:
        if point in self.where:
            with pytest.raises(DuplicatePoint):
                self.index.add(point)

    @rule(spiral=SPIRALS, layer=LAYERS, read=st.booleans())
    def hold(self, spiral: int, layer: int, read: bool) -> None:
        snapshot = self.index.get_at(spiral, layer)
        if read:
            assert list(snapshot) == self.cells[spiral, layer]
        self.held.append((snapshot, list(self.cells[spiral, layer])))

    @rule()
    def mark(self) -> None:
        self.marks.append((time.monotonic(), dict(self.entered)))

    @precondition(lambda self: self.marks)
    @rule(data=st.data(), spiral=SPIRALS, layer=LAYERS)
    def expired(self, data: st.DataObject, spiral: int, layer: int) -> None:
        before, entered = data.draw(st.sampled_from(self.marks))
        expected = [point for point in self.cells[spiral, layer] if entered.get(point) == self.entered[point]]
        assert self.index.expired(spiral, layer, before) == expected

    @rule(data=st.data())
    def read_held(self, data: st.DataObject) -> None:
        if self.held:
            snapshot, expected = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
            assert len(snapshot) == len(expected)
            assert list(snapshot) == expected

    @invariant()
    def counts(self) -> None:
        assert len(self.index) == len(self.where)
        for (spiral, layer), points in self.cells.items():
            assert self.index.count_at(spiral, layer) == len(points)

    @invariant()
    def ids(self) -> None:
        for name, point in self.names.items():
            assert self.index.get_by_id(name) is point
            assert (point.spiral, point.layer) == self.where[point]

    def teardown(self) -> None:
        for snapshot, expected in self.held:
            assert list(snapshot) == expected
        assert cells(self.index) == {at: points for at, points in self.cells.items() if points}


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
