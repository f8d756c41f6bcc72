"""Sets of paths, beside what the router finds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimcore import Router
from dimserver.worker.path_sets import PathSet

PARTS = ("a", "b", "", "{x}")
# Every path that tells patterns of up to three segments apart.
PATHS = [
    "/" + "/".join(parts) for count in range(1, 6) for parts in itertools.product(("a", "b", "", "c"), repeat=count)
]
patterns = st.tuples(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3), st.booleans()).map(
    lambda drawn: ("/" + "/".join(f"{{x{i}}}" if p == "{x}" else p for i, p in enumerate(drawn[0])), drawn[1])
)


def fitting(pattern: str, exact: bool) -> set[str]:
    router = Router()
    router.add("GET", pattern, print, exact)
    return {path for path in PATHS if router.find_route("GET", path)}


@given(patterns, patterns)
def test_what_two_patterns_have_in_common(one: tuple[str, bool], other: tuple[str, bool]) -> None:
    first, second = PathSet(*one), PathSet(*other)
    paths, others = fitting(*one), fitting(*other)
    assert first.overlaps(second) == second.overlaps(first) == bool(paths & others)
    assert first.covers(second) == (paths >= others)
    if paths == others or not paths & others:
        return
    router = Router()
    for pattern, exact in (one, other):
        router.add("GET", PathSet(pattern, exact).pattern, print, exact)
    wins = router.routes()[first.specificity < second.specificity]
    assert {router.find_route("GET", path) for path in paths & others} == {wins}


@given(patterns)
def test_the_names_of_parameters_count_for_nothing(drawn: tuple[str, bool]) -> None:
    paths = PathSet(*drawn)
    assert fitting(paths.pattern, drawn[1]) == fitting(*drawn)
    assert PathSet(paths.pattern, drawn[1]).pattern == paths.pattern


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("/*", ["/", "/a", "/a/b"], []),
        ("/a/*", ["/a/", "/a/b", "/a/b/c"], ["/a", "/", "/ab"]),
        ("/a", ["/a"], ["/a/", "/"]),
        ("/{x}/*", ["/a/", "/a/b"], ["/a", "/", "//b"]),
    ],
)
def test_patterns_of_settings(pattern: str, inside: list[str], outside: list[str]) -> None:
    paths = PathSet.of(pattern)
    found = fitting(paths.pattern, paths.exact)
    assert found.issuperset(inside)
    assert found.isdisjoint(outside)
