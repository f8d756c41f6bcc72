"""Budgets: exact sums, who has to go when they are spent, and who never has to."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dimcore import UsageError
from dimcore.budget import Budget, Holder

KIB = 1024
LARGE = 64 * KIB


class Crowd:
    """Holders of one budget, and who was ended in which order."""

    def __init__(self, limit: int, reserved: int | None = None) -> None:
        self.budget = Budget(limit, reserved)
        self.ended: list[str] = []
        self.holders: dict[str, Holder] = {}

    def add(self, name: str, held: int, *, lags: bool = False) -> bool:
        holder = Holder(self.budget, lambda: self.ended.append(name))
        self.holders[name] = holder
        fits = holder.hold(held)
        holder.lags = lags
        return fits

    def held(self, name: str) -> int:
        return self.holders[name].bytes


def test_what_is_held_is_counted_to_the_byte() -> None:
    budget = Budget(1000)
    first, second = Holder(budget), Holder(budget)
    assert first.hold(300)
    assert second.hold(100)
    assert first.hold(250)
    assert (budget.used, budget.holders, budget.peak) == (350, 2, 400)
    first.hold(0)
    assert (budget.used, budget.holders) == (100, 1)
    del second
    assert (budget.used, budget.holders) == (0, 0)
    assert budget.figures() == {"limit": 1000, "used": 0, "peak": 400, "holders": 0, "ended": 0, "refused": 0}


def test_a_quarter_is_kept_for_those_who_hold_little() -> None:
    crowd = Crowd(4000 * KIB)
    assert crowd.budget.reserved == 1000 * KIB
    assert crowd.add("large", 3000 * KIB)
    assert not crowd.add("too much", LARGE)
    crowd.holders["too much"].hold(0)
    for number in range(15):
        assert crowd.add(f"small {number}", LARGE - 1)
    assert crowd.budget.used > 3900 * KIB
    assert not crowd.add("nothing left", LARGE - 1)


def test_small_holders_may_take_all_there_is() -> None:
    crowd = Crowd(640 * KIB)
    assert all(crowd.add(str(number), LARGE - 1) for number in range(10))
    assert not crowd.add("11", LARGE - 1)


def test_the_one_with_the_most_byte_seconds_goes_first() -> None:
    crowd = Crowd(1000 * KIB, 0)
    crowd.add("long", 200 * KIB, lags=True)
    time.sleep(0.03)
    crowd.add("much", 300 * KIB, lags=True)
    time.sleep(0.001)
    crowd.add("new", 320 * KIB, lags=True)
    for newcomer, gone in (("a", "long"), ("b", "much"), ("c", "new")):
        assert crowd.add(newcomer, 310 * KIB)
        assert crowd.ended == []  # not by the one that grows: when nothing else is going on
        crowd.budget.settle()
        assert crowd.ended == [gone]
        assert crowd.held(gone) == 0
        crowd.ended.clear()
    assert crowd.budget.figures()["ended"] == 3


def test_as_many_go_as_are_needed_and_no_more() -> None:
    crowd = Crowd(100 * LARGE, 0)
    for number in range(100):
        crowd.add(f"{number}", LARGE, lags=True)
    assert crowd.add("new", 10 * LARGE)
    crowd.budget.settle()
    assert len(crowd.ended) == 10
    assert crowd.budget.used == 100 * LARGE


def test_nobody_who_keeps_the_rate_goes() -> None:
    crowd = Crowd(1000 * KIB, 0)
    crowd.add("keeps it", 900 * KIB)
    time.sleep(0.01)
    crowd.add("lags", 70 * KIB, lags=True)
    assert not crowd.add("new", 200 * KIB)  # the end of who lags would not be enough
    crowd.holders["new"].hold(0)
    assert crowd.budget.refused == 1
    crowd.budget.settle()
    assert crowd.held("keeps it") == 900 * KIB


def test_one_that_is_found_below_its_rate_behind_many_that_are_not() -> None:
    crowd = Crowd(1000 * LARGE, 0)
    for number in range(999):
        crowd.add(f"keeps {number}", LARGE)
    time.sleep(0.002)
    crowd.add("lags", LARGE, lags=True)
    found = False
    for _ in range(4):  # each newcomer looks at a bounded number of them, and the next one goes on from there
        found = found or crowd.add("new", LARGE)
        crowd.holders["new"].hold(0)
    assert found
    crowd.budget.settle()
    assert crowd.ended == ["lags"]


def test_the_choice_is_bounded_work() -> None:
    crowd = Crowd(50_000 * KIB, 0)
    for number in range(50_000):
        crowd.add(str(number), KIB)
    began = time.perf_counter()
    for _ in range(20):
        assert not crowd.add("new", KIB)
        crowd.holders["new"].hold(0)
    assert (time.perf_counter() - began) / 20 < 0.001  # a walk of all takes longer than that


def test_of_the_small_ones_none_goes_for_a_large_one_that_they_do_not_hinder() -> None:
    crowd = Crowd(1000 * KIB)
    crowd.add("small", 60 * KIB, lags=True)
    crowd.add("large", 740 * KIB)
    time.sleep(0.002)
    assert not crowd.add("new", 100 * KIB)
    crowd.budget.settle()
    assert crowd.ended == []


def test_one_that_has_caught_up_stays_where_there_is_room_by_then() -> None:
    crowd = Crowd(200 * KIB, 0)
    crowd.add("slow", 150 * KIB, lags=True)
    assert crowd.add("new", 100 * KIB)
    crowd.holders["slow"].lags = False
    crowd.holders["new"].hold(0)
    crowd.budget.settle()
    assert crowd.ended == []
    assert crowd.held("slow") == 150 * KIB


def test_what_is_to_go_may_go_by_itself_or_grow() -> None:
    crowd = Crowd(300 * KIB, 0)
    crowd.add("one", 150 * KIB, lags=True)
    crowd.add("two", 150 * KIB, lags=True)
    time.sleep(0.002)
    assert crowd.add("new", 290 * KIB)
    assert crowd.holders["one"].hold(160 * KIB)
    crowd.holders["two"].hold(0)
    assert crowd.budget.used == 450 * KIB
    crowd.budget.settle()
    assert crowd.ended == ["one"]
    assert crowd.budget.used == 290 * KIB


def test_the_end_of_one_may_do_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[object] = []
    budget = Budget(300 * KIB, 0)
    others = [Holder(budget) for _ in range(2)]

    def end() -> None:
        others.pop().hold(0)
        others.append(Holder(budget))
        others[-1].hold(20 * KIB)
        raise ValueError("as it happens")

    slow = Holder(budget, end)
    for holder in (slow, *others):
        holder.hold(100 * KIB)
    slow.lags = True
    newcomer = Holder(budget)
    assert newcomer.hold(50 * KIB)
    monkeypatch.setattr(sys, "unraisablehook", lambda told: faults.append(told.exc_type))
    budget.settle()
    assert faults == [ValueError]
    assert slow.bytes == 0
    assert budget.used == 170 * KIB


def test_without_an_end_nobody_is_ended() -> None:
    budget = Budget(100 * KIB, 0)
    holder = Holder(budget)
    holder.hold(90 * KIB)
    holder.lags = True
    assert not Holder(budget).hold(20 * KIB)


@pytest.mark.parametrize(("limit", "reserved"), [(0, None), (-1, None), (10, 11), (10, -1), (1 << 62, None)])
def test_numbers_out_of_range(limit: int, reserved: int | None) -> None:
    with pytest.raises(UsageError):
        Budget(limit, reserved)
    budget = Budget(10)
    with pytest.raises(UsageError):
        budget.resize(limit, reserved)
    assert (budget.limit, budget.reserved) == (10, 2)


def test_no_holder_holds_less_than_nothing() -> None:
    with pytest.raises(UsageError, match="-1"):
        Holder(Budget(10)).hold(-1)


class Sums(RuleBasedStateMachine):
    """Any holders, any order: the sums are what a plain addition has, and the limits hold where they can."""

    def __init__(self) -> None:
        super().__init__()
        self.crowd = Crowd(1000 * KIB)
        self.serial = 0

    @rule(held=st.integers(0, 400 * KIB), lags=st.booleans())
    def come(self, held: int, lags: bool) -> None:
        self.serial += 1
        name = str(self.serial)
        before = {other: holder.lags for other, holder in self.crowd.holders.items() if holder.bytes}
        if not self.crowd.add(name, held, lags=lags):
            # Whoever is told so gives it back; and nobody was left who could have gone.
            self.crowd.holders[name].hold(0)
            if len(before) <= 16:
                self.crowd.budget.settle()
                small = held < LARGE
                assert not any(
                    holder.lags and holder.bytes and (small or holder.bytes >= LARGE)
                    for holder in self.crowd.holders.values()
                )

    @precondition(lambda self: self.crowd.holders)
    @rule(data=st.data(), held=st.integers(0, 400 * KIB))
    def change(self, data: st.DataObject, held: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.crowd.holders)))
        before = self.crowd.held(name)
        if not self.crowd.holders[name].hold(held):
            self.crowd.holders[name].hold(before)

    @precondition(lambda self: self.crowd.holders)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        del self.crowd.holders[data.draw(st.sampled_from(sorted(self.crowd.holders)))]

    @precondition(lambda self: self.crowd.holders)
    @rule(data=st.data(), lags=st.booleans())
    def catch_up(self, data: st.DataObject, lags: bool) -> None:
        self.crowd.budget.settle()  # who is to go, and whose room is taken, goes although it catches up in between
        self.crowd.holders[data.draw(st.sampled_from(sorted(self.crowd.holders)))].lags = lags

    @rule()
    def settle(self) -> None:
        keeping = {name for name, holder in self.crowd.holders.items() if not holder.lags}
        self.crowd.ended.clear()
        self.crowd.budget.settle()
        assert not keeping & set(self.crowd.ended)
        assert self.crowd.budget.used <= self.crowd.budget.limit

    @invariant()
    def sums(self) -> None:
        held = [holder.bytes for holder in self.crowd.holders.values()]
        assert self.crowd.budget.used == sum(held)
        assert self.crowd.budget.large == sum(size for size in held if size >= LARGE)
        assert self.crowd.budget.holders == sum(1 for size in held if size)

    def teardown(self) -> None:
        self.crowd.holders.clear()
        self.crowd.budget.settle()
        assert (self.crowd.budget.used, self.crowd.budget.large, self.crowd.budget.holders) == (0, 0, 0)


Sums.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSums = Sums.TestCase
