"""Parameters: what is doubtful is refused, and named."""

from __future__ import annotations

import pytest

from dimserver.handlers.status.query import BadParameter, Query


def refused(pairs: list[tuple[str, str]], *low_high: int) -> dict[str, str]:
    with pytest.raises(BadParameter) as caught:
        Query(pairs, ("a", "b")).integer("a", *low_high)
    return caught.value.report


def test_values() -> None:
    query = Query([("a", "7"), ("b", "-2.5e1")], ("a", "b"))
    assert query.integer("a", 0, 9) == 7
    assert query.number("b", 0.0) == -25.0
    assert not query.empty


def test_what_is_not_given() -> None:
    query = Query([], ("a", "b"))
    assert query.empty
    assert query.integer("a", 0, 9) is None
    assert query.integer("a", 0, 9, 5) == 5
    assert query.number("b", 1.5) == 1.5


@pytest.mark.parametrize("value", ["4", "-1", "", "1_0", "١", "9" * 5000, "x", "1.5", " 1", "+1"])
def test_whole_numbers(value: str) -> None:
    assert refused([("a", value)], 0, 3) == {
        "error": "bad parameter",
        "parameter": "a",
        "value": value[:100],
        "allowed": "a whole number from 0 to 3",
    }


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "infinity", "1e999", "", "1_0", " 1", "0x1", "e", "1" * 41, "١"]
)
def test_numbers(value: str) -> None:
    with pytest.raises(BadParameter) as caught:
        Query([("b", value)], ("a", "b")).number("b", 0.0)
    assert caught.value.report["allowed"] == "a finite decimal number"


def test_names() -> None:
    assert refused([("a", "0"), ("a", "0")], 0, 3)["allowed"] == "once"
    assert refused([("c", "0")], 0, 3)["allowed"] == "no such parameter; these are: a, b"
    assert refused([("c" * 200, "0")], 0, 3)["parameter"] == "c" * 100
