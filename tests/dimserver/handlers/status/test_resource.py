"""Rows of one shape: their pages, their order, and those of several processes joined."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status.resource import Keeper, Page, Refused, Resource, Verb, conflict, select, whole
from dimserver.net.worker_rpc import SUPERVISOR


def rows(*ids: str) -> list[dict[str, Any]]:
    return [{"id": each, "size": len(each)} for each in ids]


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in found]


class Boxes(Resource):
    name = "boxes"
    noun = "box"

    def rows(self) -> list[dict[str, Any]]:
        return rows("c", "a", "b")


class Parts(Resource):
    name = "parts"
    shared = True

    def join(self, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        return {"id": one["id"], "size": one["size"] + other["size"]}


def test_pages_in_the_order_of_ids() -> None:
    every = rows("b", "a", "c", "10", "9")
    assert ids(select(every, Page(9))) == ["10", "9", "a", "b", "c"]
    assert ids(select(every, Page(2, "9"))) == ["a", "b"]
    assert ids(select(every, Page(2, "c"))) == []
    assert ids(select(every, Page(0))) == []


def test_numbers_stand_in_their_own_order() -> None:
    every = rows("10", "9", "100", "2")
    assert ids(select(every, Page(9), numbered=True)) == ["2", "9", "10", "100"]
    assert ids(select(every, Page(9, "9"), numbered=True)) == ["10", "100"]


def test_the_largest_first() -> None:
    assert ids(select(rows("a", "ccc", "bb", "dd"), Page(3, order="size"))) == ["ccc", "dd", "bb"]


def test_every_row_is_on_one_page(context: Any) -> None:
    box = Boxes(context)
    found: list[str] = []
    while len(found) < 3:
        _, more, _ = box.share(Page(1, found[-1] if found else None))
        found += ids(more)
    assert found == ["a", "b", "c"]
    assert box.share(Page(1, "c")) == (3, [], {})


def test_rows_of_several_processes(context: Any) -> None:
    shares = [(5, rows("a", "c"), {}), (2, rows("b", "d"), {})]
    total, exact, found = Boxes(context).collect(shares, Page(3))
    assert (total, exact, ids(found)) == (7, True, ["a", "b", "c"])


def test_parts_of_the_same_rows(context: Any) -> None:
    shares = [(2, rows("a", "bb"), {}), (2, rows("bb", "ccc"), {})]
    total, exact, found = Parts(context).collect(shares, Page(9))
    assert (total, exact) == (3, True)
    assert [(row["id"], row["size"]) for row in found] == [("a", 1), ("bb", 4), ("ccc", 3)]
    assert Parts(context).collect([(40, rows("a"), {})], Page(1))[:2] == (40, True)
    assert Parts(context).collect([(40, rows("a"), {}), (2, rows("a"), {})], Page(1))[:2] == (40, False)
    assert Parts(context).collect([], Page(1)) == (0, True, [])


def test_who_keeps_a_row(context: Any) -> None:
    box = Boxes(context)
    assert (box.keeper("3-x"), box.keeper("0-a-b")) == (3, 0)
    for name in ("", "a", "-a", "1-", "x-a", "١-a", "1_0-a", "+1-a", "9999999999-a"):
        with pytest.raises(Refused) as caught:
            box.keeper(name)
        assert caught.value.outcome == (404, {"error": "no such box", "id": name})
    box.keepers = Keeper.SUPERVISOR
    assert box.keeper("whatever") == SUPERVISOR


def test_what_a_verb_refuses_is_its_outcome(context: Any) -> None:
    def act(name: str, arguments: dict[str, Any], who: str) -> Any:
        if name == "b":
            raise conflict("it is shut")
        return 200, {"id": name, "who": who, **arguments}

    box = Boxes(context)
    box.verbs = {"open": Verb(act)}
    assert box.act("open", "a", {"wide": 1}, "me") == (200, {"id": "a", "who": "me", "wide": 1})
    assert box.act("open", "b", {}, "me") == (409, {"error": "it is shut"})


@pytest.mark.parametrize("value", ["3", 3.0, True, None, 0, 10, [], {}, float("nan")])
def test_a_whole_number_is_nothing_else(value: object) -> None:
    argument = whole("workers", 1, 9)
    assert argument.read(9) == 9
    with pytest.raises(ValueError, match=r"^$"):
        argument.read(value)
