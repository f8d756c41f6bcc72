"""Finding a route: beside a dict, werkzeug's map, and the linear list of a traditional server.

Run:  pytest bench/micro/test_router.py --benchmark-only

A group is one kind of question at one size; a row is one way to answer it.  "hot" asks for one path again and
again, as a load test does; "spread" asks for 1,000 paths in random order, which adds the cache misses of a large
table and of the paths themselves.  `per_lookup_ns` is for one look-up and
includes the call from Python; the dict has the shorter one, since it is told no method.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from itertools import repeat

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dimcore.http.router import Router, RouteSubstrate

SIZES = [10, 100, 1_000, 10_000, 100_000]
LOOKUPS = 1_000  # in one measured call, so that the call itself costs nothing


def handler(request: object) -> object:
    return request


def measure(benchmark: BenchmarkFixture, group: str, ask: Callable[[str], object], paths: list[str]) -> None:
    """Time `ask` over the paths; the figure is for all of them, `per_lookup_ns` for one."""
    benchmark.group = group
    for path in paths:
        assert ask(path) is not None

    def run() -> None:
        for path in paths:
            ask(path)

    benchmark(run)
    if benchmark.stats is not None:
        benchmark.extra_info["per_lookup_ns"] = round(benchmark.stats.stats.min / len(paths) * 1e9, 1)


def choose(paths: list[str], mode: str) -> list[str]:
    if mode == "hot":
        return list(repeat(paths[len(paths) // 2], LOOKUPS))
    return random.Random(7).choices(paths, k=LOOKUPS)


def exact_patterns(size: int) -> list[str]:
    return [f"/api/v1/resource{number}/items" for number in range(size)]


def prefix_patterns(size: int) -> list[str]:
    return [f"/area{number}/files/" for number in range(size)]


def param_patterns(size: int) -> list[str]:
    return [f"/resource{number}/{{id}}/items" for number in range(size)]


def filled(patterns: list[str], exact: bool = True) -> Router:
    router = Router()
    for pattern in patterns:
        router.add("GET", pattern, handler, exact)
    return router


@pytest.mark.parametrize("mode", ["hot", "spread"])
@pytest.mark.parametrize("size", SIZES)
class TestExact:
    def test_dimcore(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        find = filled(exact_patterns(size)).find_route
        measure(benchmark, f"exact {mode} {size}", partial(find, "GET"), choose(exact_patterns(size), mode))

    def test_dimcore_substrate(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        find = RouteSubstrate(filled(exact_patterns(size))).find
        measure(benchmark, f"exact {mode} {size}", partial(find, "GET"), choose(exact_patterns(size), mode))

    def test_dict(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        table = dict.fromkeys(exact_patterns(size), handler)
        measure(benchmark, f"exact {mode} {size}", table.get, choose(exact_patterns(size), mode))


@pytest.mark.parametrize("mode", ["hot", "spread"])
@pytest.mark.parametrize("size", SIZES)
def test_prefix_dimcore(benchmark: BenchmarkFixture, size: int, mode: str) -> None:
    find = filled(prefix_patterns(size), exact=False).find_route
    paths = choose([f"{pattern}css/site.css" for pattern in prefix_patterns(size)], mode)
    measure(benchmark, f"prefix {mode} {size}", partial(find, "GET"), paths)


@pytest.mark.parametrize("size", [10, 100, 1_000])
def test_prefix_linear_list(benchmark: BenchmarkFixture, size: int) -> None:
    routes = [(pattern, handler) for pattern in prefix_patterns(size)]

    def route_request(path: str) -> object:
        for pattern, answer in routes:
            if path.startswith(pattern):
                return answer
        return None

    paths = choose([f"{pattern}css/site.css" for pattern in prefix_patterns(size)], "spread")
    measure(benchmark, f"prefix spread {size}", route_request, paths)


@pytest.mark.parametrize("mode", ["hot", "spread"])
@pytest.mark.parametrize("size", SIZES)
class TestParam:
    def test_dimcore_find(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        find = filled(param_patterns(size)).find_route
        paths = choose([pattern.format(id=4711) for pattern in param_patterns(size)], mode)
        measure(benchmark, f"param {mode} {size}", partial(find, "GET"), paths)

    def test_dimcore_lookup(self, benchmark: BenchmarkFixture, size: int, mode: str) -> None:
        lookup = filled(param_patterns(size)).lookup
        paths = choose([pattern.format(id=4711) for pattern in param_patterns(size)], mode)
        measure(benchmark, f"param {mode} {size}", partial(lookup, "GET"), paths)


@pytest.mark.parametrize("size", [100, 10_000])
@pytest.mark.parametrize("kind", ["exact", "param"])
def test_werkzeug(benchmark: BenchmarkFixture, size: int, kind: str) -> None:
    routing = pytest.importorskip("werkzeug.routing")
    patterns = exact_patterns(size) if kind == "exact" else param_patterns(size)
    rules = [
        routing.Rule(pattern.replace("{", "<").replace("}", ">"), endpoint=pattern, methods=["GET"])
        for pattern in patterns
    ]
    match = routing.Map(rules).bind("localhost").match
    paths = choose([pattern.format(id=4711) for pattern in patterns], "spread")
    measure(benchmark, f"{kind} spread {size}", partial(match, method="GET"), paths)


def test_register_10_000(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "register 10000"
    patterns = [*exact_patterns(4_000), *prefix_patterns(3_000), *param_patterns(3_000)]
    benchmark(filled, patterns)
