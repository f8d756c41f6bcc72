"""Points on their own, and snapshots of cells while the cells change."""

from __future__ import annotations

import copy
import gc
import operator
import pickle
import sys
import weakref
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

import pytest

from dimcore.errors import InvalidCoordinate, UsageError
from dimcore.index.cell import CellSnapshot, Point
from dimcore.index.index import Index


class Tagged(Point):
    """A point with a `__dict__` and weak references."""


def filled(count: int, spiral: int = 0, layer: int = 1) -> tuple[Index, list[Point]]:
    index = Index()
    points = [Tagged() for _ in range(count)]
    for point in points:
        index.add(point, spiral, layer)
    return index, list(points)


def test_point_defaults() -> None:
    point = Point()
    assert (point.spiral, point.layer, point.position, point.id) == (0, 1, 0.0, "")
    assert repr(point) == "<Point without id at (0, 1)>"
    point.position = 2.5
    assert point.position == 2.5


@pytest.mark.parametrize(("spiral", "layer"), [(-1, 1), (64, 1), (0, 0), (0, 8), (10**30, 1), (0, -(10**30))])
def test_point_outside(spiral: int, layer: int) -> None:
    with pytest.raises(InvalidCoordinate, match=r"must be \d+ to \d+"):
        Point(spiral, layer)


@pytest.mark.parametrize("value", [1.0, "1", None, b"", object()])
def test_point_coordinate_is_no_int(value: object) -> None:
    with pytest.raises(InvalidCoordinate, match="must be an int"):
        Point(value, 1)  # type: ignore[arg-type]
    with pytest.raises(InvalidCoordinate, match="must be an int"):
        Point(1, value)  # type: ignore[arg-type]


def test_point_accepts_what_is_an_index() -> None:
    class Three:
        def __index__(self) -> int:
            return 3

    point = Point(Three(), Three())
    assert (point.spiral, point.layer) == (3, 3)


def test_coordinates_are_read_only() -> None:
    point = Point()
    for name in ("spiral", "layer", "id"):
        with pytest.raises(AttributeError):
            setattr(point, name, 1)


def test_init_again_cannot_move_an_indexed_point() -> None:
    index, (point,) = filled(1)
    with pytest.raises(UsageError):
        point.__init__(3, 3)  # type: ignore[misc]
    assert (point.spiral, point.layer, index.count_at(0, 1)) == (0, 1, 1)


def test_points_cannot_be_copied_or_pickled() -> None:
    with pytest.raises(TypeError):
        copy.copy(Point())
    with pytest.raises(TypeError):
        pickle.dumps(Point())


def test_point_size() -> None:
    assert sys.getsizeof(Point()) <= 80


def test_snapshot_is_a_sequence_in_entry_order() -> None:
    index, points = filled(5)
    snapshot = index.get_at(0, 1)
    assert len(snapshot) == 5
    assert list(snapshot) == points
    assert snapshot[0] is points[0]
    assert snapshot[-1] is points[-1]
    assert snapshot[1:3] == tuple(points[1:3])
    assert points[2] in snapshot
    assert Point() not in snapshot
    assert set(snapshot) == set(points)
    with pytest.raises(IndexError):
        snapshot[5]
    assert repr(snapshot) == "<CellSnapshot of 5 points>"


def test_snapshot_made_by_hand_is_empty() -> None:
    assert list(CellSnapshot()) == []
    assert not CellSnapshot()


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("change", ["move away", "move in place", "remove", "add", "move in"])
def test_snapshot_is_untouched_by_changes(change: str, read_before: bool) -> None:
    index, points = filled(4)
    elsewhere = Point()
    index.add(elsewhere, 2, 2)
    snapshot = index.get_at(0, 1)
    if read_before:
        assert list(snapshot) == points
    if change == "move away":
        index.move(points[1].id, 0, 2)
    elif change == "move in place":
        index.move(points[1].id, 0, 1)
    elif change == "remove":
        index.remove(points[1].id)
    elif change == "add":
        index.add(Point(), 0, 1)
    else:
        index.move(elsewhere.id, 0, 1)
    assert len(snapshot) == 4
    assert list(snapshot) == points
    fresh = index.get_at(0, 1)
    assert fresh is not snapshot
    assert len(fresh) == index.count_at(0, 1)
    assert list(fresh) != points


def test_snapshot_is_shared_until_the_cell_changes() -> None:
    index, points = filled(3)
    first = index.get_at(0, 1)
    assert index.get_at(0, 1) is first
    assert list(first) == points
    assert index.get_at(0, 1) is first
    index.add(Point(), 3, 3)
    assert index.get_at(0, 1) is first
    index.add(Point(), 0, 1)
    assert index.get_at(0, 1) is not first


def test_snapshot_that_nobody_keeps_leaves_no_trace() -> None:
    index, points = filled(3)
    for _ in range(3):
        assert len(index.get_at(0, 1)) == 3
        index.move(points[0].id, 0, 1)


def test_snapshot_of_an_empty_cell_and_of_a_missing_row() -> None:
    index = Index()
    empty, missing = index.get_at(0, 1), index.get_at(63, 7)
    index.add(Point(), 0, 1)
    index.add(Point(), 63, 7)
    assert list(empty) == list(missing) == []
    assert len(index.get_at(63, 7)) == 1


def test_moving_while_iterating() -> None:
    index, points = filled(100)
    for point in index.get_at(0, 1):
        index.move(point.id, 0, 4)
    assert list(index.get_at(0, 4)) == points
    for point in index.get_at(0, 4):
        index.remove(point.id)
    assert index.total_connections() == 0


def test_snapshot_outlives_index_and_points() -> None:
    index, points = filled(3)
    waiting = index.get_at(0, 1)
    del index
    assert list(waiting) == points

    index, points = filled(3)
    held = index.get_at(0, 1)
    references = [weakref.ref(point) for point in points]
    for point in points:
        index.remove(point.id)
    del index, points, point
    assert [reference() is not None for reference in references] == [True] * 3
    assert len(list(held)) == 3
    del held
    assert [reference() is None for reference in references] == [True] * 3


def test_unread_snapshot_does_not_keep_the_index_once_the_cell_changed() -> None:
    class Watched(Index):
        pass

    index = Watched()
    gone = weakref.ref(index)
    point = Tagged()
    index.add(point)
    snapshot = index.get_at(0, 1)
    index.move(point.id, 0, 2)
    del index
    assert gone() is None
    assert list(snapshot) == [point]


@pytest.mark.parametrize("held", [False, True])
def test_cycle_through_a_snapshot_is_collected(held: bool) -> None:
    index = Index()
    point = Tagged()
    index.add(point)
    point.snapshot = index.get_at(0, 1)  # type: ignore[attr-defined]
    if held:
        index.move(point.id, 0, 2)
    else:
        assert len(list(point.snapshot)) == 1  # type: ignore[attr-defined]
    gone = weakref.ref(point)
    del index, point
    gc.collect()
    assert gone() is None


def test_finaliser_that_changes_the_cell_while_a_snapshot_is_read() -> None:
    """A tuple's allocation may start the collector, and with it any code."""
    index, points = filled(50)

    class Trap:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            for point in index.get_at(0, 1):
                index.move(point.id, 0, 2)

    old = gc.get_threshold()
    snapshot = index.get_at(0, 1)
    try:
        Trap()
        gc.set_threshold(1, 1, 1)
        read = list(snapshot)
    finally:
        gc.set_threshold(*old)
    gc.collect()
    assert read == points
    assert index.count_at(0, 2) == 50


# --- a snapshot as a set ---------------------------------------------------------------------------------

BINARY = (operator.and_, operator.or_, operator.sub, operator.xor)
ORDER = (operator.eq, operator.ne, operator.le, operator.lt, operator.ge, operator.gt)


def cells() -> tuple[Index, list[Point]]:
    """Five points: three at (0, 1), two at (0, 2)."""
    index, points = filled(5)
    for point in points[3:]:
        index.move(point.id, 0, 2)
    return index, points


@pytest.mark.parametrize("read", ["waiting", "shared", "held", "settled"])
@pytest.mark.parametrize("operation", [*BINARY, *ORDER], ids=lambda function: function.__name__)
@pytest.mark.parametrize(
    "kind", [set, frozenset, lambda points: dict.fromkeys(points).keys()], ids=["set", "frozenset", "keys"]
)
def test_a_snapshot_calculates_as_a_set(
    kind: Callable[[Any], Any], operation: Callable[[Any, Any], Any], read: str
) -> None:
    index, points = cells()
    here = set(points[:3])
    for other in (set(), here, set(points[2:]), set(points), {points[0]}):
        snapshot = index.get_at(0, 1)
        if read in ("shared", "settled"):
            list(snapshot)
        if read in ("held", "settled"):
            index.move(points[0].id, 0, 1)
        assert operation(snapshot, kind(other)) == operation(here, other)
        assert operation(kind(other), snapshot) == operation(other, here)


def test_two_snapshots_calculate_with_each_other() -> None:
    index, points = cells()
    new, shaken = index.get_at(0, 1), index.get_at(0, 2)
    assert new & shaken == set()
    assert new | shaken == set(points)
    assert new - shaken == new
    assert new ^ shaken == set(points)
    assert new != shaken
    assert new.isdisjoint(shaken)
    assert not new.isdisjoint([points[0]])
    assert isinstance(new | shaken, frozenset)


def test_a_snapshot_is_a_set_to_isinstance_and_hash() -> None:
    index, points = cells()
    snapshot = index.get_at(0, 1)
    assert isinstance(snapshot, AbstractSet)
    assert hash(snapshot) == hash(frozenset(points[:3]))
    assert {snapshot: 1}[frozenset(points[:3])] == 1  # type: ignore[index]
    assert snapshot == index.get_at(0, 1)
    assert CellSnapshot() == set() == CellSnapshot()


@pytest.mark.parametrize("other", [[], (), None, "text", 5, {}])
def test_a_snapshot_is_equal_to_sets_alone_and_calculates_with_them_alone(other: object) -> None:
    index, points = cells()
    snapshot = index.get_at(0, 1)
    assert snapshot != other
    assert snapshot != tuple(points[:3])
    for operation in (*BINARY, *ORDER[2:]):
        with pytest.raises(TypeError):
            operation(snapshot, other)
        with pytest.raises(TypeError):
            operation(other, snapshot)


def test_a_set_takes_a_snapshot_in_place() -> None:
    index, points = cells()
    known = set(points)
    known -= index.get_at(0, 1)
    assert known == set(points[3:])
    known |= index.get_at(0, 1)
    assert known == set(points)


def test_membership_of_an_unchanged_cell_is_that_of_the_index() -> None:
    index, points = cells()
    elsewhere, stranger = Index(), Point()
    other = Point()
    elsewhere.add(other)
    snapshot = index.get_at(0, 1)
    assert [point in snapshot for point in points] == [True, True, True, False, False]
    assert other not in snapshot
    assert stranger not in snapshot
    assert points[0].id not in snapshot
    assert [] not in snapshot
    index.move(points[0].id, 0, 2)
    index.remove(points[1].id)
    assert [point in snapshot for point in points] == [True, True, True, False, False]
    assert [] not in snapshot
