"""The two tables: complete, closed, and what the rest of the package relies on."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dimcore.errors import IllegalTransition, InvalidCoordinate
from dimcore.index import states

TABLES = [
    (states.CONNECTION_TABLE, states.CONNECTION_EVENT_NAMES, states.LAYER_NAMES),
    (states.REQUEST_TABLE, states.REQUEST_EVENT_NAMES, states.STAGE_NAMES),
]


def may(check: object, source: int, target: int) -> bool:
    try:
        check(source, target)  # type: ignore[operator]
    except IllegalTransition:
        return False
    return True


@pytest.mark.parametrize(("table", "events", "names"), TABLES)
def test_tables_are_complete(
    table: tuple[tuple[int, ...], ...], events: tuple[str, ...], names: tuple[str, ...]
) -> None:
    assert len(table) == len(names) == len(set(names)) == 8
    assert len(set(events)) == len(events)
    assert all(len(row) == len(events) for row in table)
    assert all(0 <= target <= 7 for row in table for target in row)


@pytest.mark.parametrize(("table", "events", "names"), TABLES)
def test_every_state_is_reached_and_leads_to_the_end(
    table: tuple[tuple[int, ...], ...], events: tuple[str, ...], names: tuple[str, ...]
) -> None:
    for start in range(8):
        reached, open_ends = {start}, [start]
        while open_ends:
            for target in table[open_ends.pop()]:
                if target and target not in reached:
                    reached.add(target)
                    open_ends.append(target)
        assert 7 in reached
        if start == 0:
            assert reached == set(range(8))
    assert not any(table[7])


@pytest.mark.parametrize(
    "path",
    [(0, 1, 2, 3, 4, 7), (1, 3, 4, 3, 4, 3, 5, 6, 7), (1, 3, 2, 3), (1, 5, 6), (1, 6, 7), (2, 7), (3, 7), (4, 7),
     (5, 7), (6, 7), (1, 7), (3, 3), (4, 4), (1, 1)],
)  # fmt: skip
def test_connection_paths(path: tuple[int, ...]) -> None:
    for source, target in pairwise(path):
        states.check_connection(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [(7, 1), (7, 3), (7, 7), (6, 3), (6, 6), (5, 3), (5, 4), (4, 2), (3, 1), (1, 4), (0, 3), (0, 7), (2, 1)],
)
def test_connection_ways_that_do_not_exist(source: int, target: int) -> None:
    with pytest.raises(IllegalTransition) as caught:
        states.check_connection(source, target)
    text = str(caught.value)
    assert f"{source} ({states.LAYER_NAMES[source]})" in text
    assert f"{target} ({states.LAYER_NAMES[target]})" in text
    assert "allowed: " in text


def test_message_tells_what_is_allowed() -> None:
    with pytest.raises(IllegalTransition, match=r"allowed: 5 \(closing\), 6 \(closed\), 7 \(archived\)$"):
        states.check_connection(5, 3)
    with pytest.raises(IllegalTransition, match="allowed: nothing"):
        states.check_connection(7, 1)


@pytest.mark.parametrize(
    "path", [(0, 1, 2, 3, 4, 5, 6, 7), (1, 5, 6, 7), (2, 5), (3, 5), (1, 7), (5, 7), (1, 1), (5, 5)]
)
def test_request_paths(path: tuple[int, ...]) -> None:
    for source, target in pairwise(path):
        states.check_request(source, target)


@pytest.mark.parametrize(("source", "target"), [(3, 2), (1, 3), (1, 6), (4, 6), (6, 5), (7, 1), (2, 4), (6, 6)])
def test_request_ways_that_do_not_exist(source: int, target: int) -> None:
    with pytest.raises(IllegalTransition, match=states.STAGE_NAMES[target]):
        states.check_request(source, target)


@pytest.mark.parametrize("value", [-1, 8, 10**30, 1.0, "1", None])
def test_what_is_no_state(value: int) -> None:
    for check in (states.check_connection, states.check_request):
        with pytest.raises(InvalidCoordinate):
            check(value, 1)
        with pytest.raises(InvalidCoordinate):
            check(1, value)
    with pytest.raises(InvalidCoordinate):
        states.next_layer(value, "close")
    with pytest.raises(InvalidCoordinate):
        states.next_stage(value, "sent")


def test_lookup_agrees_with_the_tables() -> None:
    """The C arrays are what runs; the tuples are what is shown."""
    for step, check, (table, events, _names) in (
        (states.next_layer, states.check_connection, TABLES[0]),
        (states.next_stage, states.check_request, TABLES[1]),
    ):
        for source, row in enumerate(table):
            for event, target in zip(events, row, strict=True):
                if target:
                    assert step(source, event) == target
                else:
                    with pytest.raises(IllegalTransition, match="cannot happen"):
                        step(source, event)
            assert {t for t in range(1, 8) if may(check, source, t)} == set(row) - {0}


@pytest.mark.parametrize("event", ["", "ACCEPTED", "explode", None, 3, []])
def test_unknown_event(event: str) -> None:
    with pytest.raises(IllegalTransition, match="no event is called"):
        states.next_layer(1, event)
    with pytest.raises(IllegalTransition, match="no event is called"):
        states.next_stage(1, event)


def test_names_of_methods() -> None:
    assert states.METHOD_NAMES == ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "OTHER")
