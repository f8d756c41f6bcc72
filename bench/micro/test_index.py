"""The index: beside a dict with sets of objects, and the linear list of a traditional server.

Run:  pytest bench/micro/test_index.py --benchmark-only

A group is one operation at one size; a row is one way to do it.  "hot" works on one connection again and
again; "spread" on 1,000 in random order, which adds the cache misses of a large table, of the points and of
the ids themselves.  `per_call_ns` includes the loop around the calls, about 10 ns.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from itertools import repeat
from typing import Protocol

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dimcore.index.index import Index, Point

SIZES = [1_000, 100_000, 1_000_000]
CALLS = 1_000  # in one measured call, so that the call itself costs nothing
ACTIVE, IDLE = 3, 4


class Store(Protocol):
    def get_by_id(self, point_id: str, /) -> object: ...
    def move(self, point_id: str, /, spiral: int, layer: int) -> None: ...
    def count_at(self, spiral: int, layer: int) -> int: ...


class Connection:
    """What a server without an index keeps for each connection."""

    __slots__ = ("entered", "id", "layer", "spiral")

    def __init__(self, number: int) -> None:
        self.id = f"{(1 << 24) + number:x}"
        self.spiral = 0
        self.layer = IDLE
        self.entered = time.monotonic()


class DictAndSets:
    """Ids in a dict, coordinates in a dict of sets."""

    def __init__(self, size: int) -> None:
        self.ids: dict[str, Connection] = {}
        self.cells: defaultdict[tuple[int, int], set[Connection]] = defaultdict(set)
        for number in range(size):
            connection = Connection(number)
            self.ids[connection.id] = connection
            self.cells[0, IDLE].add(connection)

    def get_by_id(self, point_id: str, /) -> Connection | None:
        return self.ids.get(point_id)

    def move(self, point_id: str, /, spiral: int, layer: int) -> None:
        connection = self.ids[point_id]
        self.cells[connection.spiral, connection.layer].discard(connection)
        connection.spiral = spiral
        connection.layer = layer
        connection.entered = time.monotonic()
        self.cells[spiral, layer].add(connection)

    def count_at(self, spiral: int, layer: int) -> int:
        return len(self.cells[spiral, layer])

    def get_at(self, spiral: int, layer: int) -> set[Connection]:
        return self.cells[spiral, layer].copy()

    def expired(self, spiral: int, layer: int, before: float) -> list[Connection]:
        return [connection for connection in self.cells[spiral, layer] if connection.entered < before]


class LinearList:
    """One list, walked for everything."""

    def __init__(self, size: int) -> None:
        self.connections = [Connection(number) for number in range(size)]

    def get_by_id(self, point_id: str, /) -> Connection | None:
        for connection in self.connections:
            if connection.id == point_id:
                return connection
        return None

    def move(self, point_id: str, /, spiral: int, layer: int) -> None:
        connection = self.get_by_id(point_id)
        assert connection is not None
        connection.spiral = spiral
        connection.layer = layer

    def count_at(self, spiral: int, layer: int) -> int:
        return sum(connection.spiral == spiral and connection.layer == layer for connection in self.connections)


@lru_cache(maxsize=1)
def filled_index(size: int) -> tuple[Index, list[str]]:
    index = Index()
    points = [Point(0, IDLE) for _ in range(size)]
    for point in points:
        index.add(point)
    return index, [point.id for point in points]


@lru_cache(maxsize=1)
def filled_dict(size: int) -> tuple[DictAndSets, list[str]]:
    store = DictAndSets(size)
    return store, list(store.ids)


@lru_cache(maxsize=1)
def filled_list(size: int) -> tuple[LinearList, list[str]]:
    store = LinearList(size)
    return store, [connection.id for connection in store.connections]


Fill = Callable[[int], tuple[Store, list[str]]]


def measure(benchmark: BenchmarkFixture, group: str, run: Callable[[], None], calls: int, rounds: int = 50) -> None:
    """Time `run`, which makes so many calls."""
    benchmark.group = group
    benchmark.pedantic(run, rounds=rounds, iterations=1, warmup_rounds=2)  # type: ignore[no-untyped-call]
    if benchmark.stats is not None:
        benchmark.extra_info["per_call_ns"] = round(benchmark.stats.stats.min / calls * 1e9, 1)


def choose(ids: list[str], mode: str, calls: int = CALLS) -> list[str]:
    if mode == "hot":
        return list(repeat(ids[len(ids) // 2], calls))
    return random.Random(7).choices(ids, k=calls)


def measure_get(benchmark: BenchmarkFixture, fill: Fill, size: int, mode: str, calls: int = CALLS) -> None:
    store, ids = fill(size)
    wanted = choose(ids, mode, calls)
    get_by_id = store.get_by_id
    assert get_by_id(wanted[0]) is not None

    def run() -> None:
        for point_id in wanted:
            get_by_id(point_id)

    measure(benchmark, f"get_by_id {mode} {size}", run, calls)


def measure_move(benchmark: BenchmarkFixture, fill: Fill, size: int, mode: str, calls: int = CALLS) -> None:
    store, ids = fill(size)
    wanted = choose(ids, mode, calls // 2)
    move = store.move

    def run() -> None:
        for point_id in wanted:
            move(point_id, 0, ACTIVE)
        for point_id in wanted:
            move(point_id, 0, IDLE)

    measure(benchmark, f"move {mode} {size}", run, calls)


def measure_count(benchmark: BenchmarkFixture, fill: Fill, size: int, calls: int = CALLS) -> None:
    store, _ids = fill(size)
    count_at = store.count_at
    assert count_at(0, IDLE) == size

    def run() -> None:
        for _ in range(calls):
            count_at(0, IDLE)

    measure(benchmark, f"count_at {size}", run, calls)


@pytest.mark.parametrize("mode", ["hot", "spread"])
@pytest.mark.parametrize("size", SIZES)
class TestGetById:
    def test_dimcore(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        measure_get(benchmark, filled_index, size, mode)

    def test_dict_and_sets(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        measure_get(benchmark, filled_dict, size, mode)


@pytest.mark.parametrize("mode", ["hot", "spread"])
@pytest.mark.parametrize("size", SIZES)
class TestMove:
    def test_dimcore(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        measure_move(benchmark, filled_index, size, mode)

    def test_dict_and_sets(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        measure_move(benchmark, filled_dict, size, mode)


@pytest.mark.parametrize("size", SIZES)
class TestCountAt:
    def test_dimcore(self, benchmark: BenchmarkFixture, size: int) -> None:
        measure_count(benchmark, filled_index, size)

    def test_dict_and_sets(self, benchmark: BenchmarkFixture, size: int) -> None:
        measure_count(benchmark, filled_dict, size)


@pytest.mark.parametrize("size", [1_000, 100_000])
class TestLinearList:
    """A few calls are enough: each is a walk."""

    def test_get_by_id(self, benchmark: BenchmarkFixture, size: int) -> None:
        measure_get(benchmark, filled_list, size, "spread", calls=4)

    def test_move(self, benchmark: BenchmarkFixture, size: int) -> None:
        measure_move(benchmark, filled_list, size, "spread", calls=4)

    def test_count_at(self, benchmark: BenchmarkFixture, size: int) -> None:
        measure_count(benchmark, filled_list, size, calls=2)


@pytest.mark.parametrize("size", SIZES)
class TestGetAt:
    """A snapshot that is asked for again after every change, and not read."""

    def test_dimcore(self, benchmark: BenchmarkFixture, size: int) -> None:
        index, ids = filled_index(size)

        def run() -> None:
            for point_id in ids[:CALLS]:
                index.get_at(0, IDLE)
                index.move(point_id, 0, IDLE)

        measure(benchmark, f"get_at and move {size}", run, CALLS)

    def test_dict_and_sets(self, benchmark: BenchmarkFixture, size: int) -> None:
        store, ids = filled_dict(size)
        calls = max(1, 100_000 // size)

        def run() -> None:
            for point_id in ids[:calls]:
                store.get_at(0, IDLE)
                store.move(point_id, 0, IDLE)

        measure(benchmark, f"get_at and move {size}", run, calls, rounds=10)


@pytest.mark.parametrize("size", SIZES)
class TestExpired:
    """Nothing has expired: what a server asks on every turn of its loop."""

    def test_dimcore(self, benchmark: BenchmarkFixture, size: int) -> None:
        index, _ids = filled_index(size)
        before = time.monotonic() - 1e6
        assert index.expired(0, IDLE, before) == []

        def run() -> None:
            for _ in range(CALLS):
                index.expired(0, IDLE, before)

        measure(benchmark, f"expired {size}", run, CALLS)

    def test_dict_and_sets(self, benchmark: BenchmarkFixture, size: int) -> None:
        store, _ids = filled_dict(size)
        before = time.monotonic() - 1e6

        def run() -> None:
            store.expired(0, IDLE, before)

        measure(benchmark, f"expired {size}", run, 1, rounds=10)


@pytest.mark.parametrize("size", SIZES)
class TestAddAndRemove:
    def test_dimcore(self, benchmark: BenchmarkFixture, size: int) -> None:
        index, _ids = filled_index(size)
        points = [Point(0, ACTIVE) for _ in range(CALLS)]

        def run() -> None:
            for point in points:
                index.add(point)
            for point in points:
                index.remove(point.id)

        measure(benchmark, f"add and remove {size}", run, CALLS)

    def test_dict_and_sets(self, benchmark: BenchmarkFixture, size: int) -> None:
        store, _ids = filled_dict(size)
        connections = [Connection(size + number) for number in range(CALLS)]

        def run() -> None:
            for connection in connections:
                store.ids[connection.id] = connection
                store.cells[connection.spiral, connection.layer].add(connection)
            for connection in connections:
                del store.ids[connection.id]
                store.cells[connection.spiral, connection.layer].discard(connection)

        measure(benchmark, f"add and remove {size}", run, CALLS)
