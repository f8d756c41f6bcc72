"""Slots and worker processes: the table of states, and the delays between one failure and the next try."""

from __future__ import annotations

from typing import Any

import pytest

from dimcore import SegmentSet
from dimserver.supervisor.slots import (
    AT_ONCE,
    HEALTHY,
    MOST_DELAY,
    TRANSITIONS,
    Event,
    Generation,
    Process,
    Slot,
    State,
    back_off,
)
from dimserver.worker.recycling import SPREAD, jitter


def process() -> Process:
    channel: Any = None
    return Process(1234, Slot(0), Generation(1, "shop", {}, SegmentSet(())), channel)


def test_a_life() -> None:
    worker = process()
    assert worker.state is State.IMPORTING
    assert worker.step(Event.LOADED) is State.IMPORTING
    assert worker.step(Event.READY) is State.OPENING
    begun = worker.since
    assert worker.step(Event.DISMISSED) is State.SERVING
    leaving = worker.since
    assert leaving >= begun
    assert worker.step(Event.DISMISSED) is State.LEAVING
    assert worker.since == leaving
    assert worker.step(Event.EXITED) is State.LEAVING
    assert worker.state is State.ENDED


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_what_the_table_does_not_have_is_refused(state: State, event: Event) -> None:
    worker = process()
    worker.state = state
    if (state, event) in TRANSITIONS:
        worker.step(event)
        assert worker.state is TRANSITIONS[state, event]
    else:
        with pytest.raises(RuntimeError, match=f"worker 1234: {event.name} while {state.name}"):
            worker.step(event)
        assert worker.state is state


def test_every_state_can_end_and_the_end_is_the_end() -> None:
    for state in State:
        assert ((state, Event.EXITED) in TRANSITIONS) == (state is not State.ENDED)
        assert ((state, Event.DISMISSED) in TRANSITIONS) == (state is not State.ENDED)


def test_delays_grow_to_a_limit_and_differ() -> None:
    assert [back_off(failures) for failures in range(AT_ONCE + 1)] == [0] * (AT_ONCE + 1)
    for failures in range(AT_ONCE + 1, 60):
        least = min(MOST_DELAY, 0.1 * 2 ** (failures - AT_ONCE - 1)) * (1 - SPREAD)
        assert least <= back_off(failures) <= MOST_DELAY * (1 + SPREAD)
    assert len({back_off(8) for _ in range(10)}) > 1


def test_a_worker_that_served_well_is_replaced_at_once() -> None:
    slot = Slot(0)
    for _ in range(AT_ONCE):
        assert slot.lost(0.0) == 0
    assert slot.lost(0.0) > 0
    assert slot.lost(HEALTHY - 1) > 0
    assert slot.failures == AT_ONCE + 2
    assert slot.lost(HEALTHY) == 0
    assert slot.failures == 1


def test_a_worker_that_answered_anything_is_replaced_at_once() -> None:
    slot = Slot(0)
    for _ in range(20):
        assert slot.lost(0.1, 1) == 0
    for _ in range(AT_ONCE):
        delay = slot.lost(0.1)
    assert delay > 0


def test_jitter_stays_within_its_spread() -> None:
    values = [jitter(100) for _ in range(200)]
    assert min(values) >= 100 * (1 - SPREAD)
    assert max(values) <= 100 * (1 + SPREAD)
    assert max(values) - min(values) > 10
