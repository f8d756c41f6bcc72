"""Sets of segments: what a new generation keeps of the one before."""

from __future__ import annotations

import ctypes

import pytest

from dimcore import SegmentError, SegmentSet, UsageError

WANTED = [("board", 1, 5000), ("health", 2, 64)]


def test_by_name() -> None:
    found = SegmentSet(WANTED)
    assert found["health"].fits("health", 2, 64)
    assert "board" in found
    assert "keys" not in found
    with pytest.raises(KeyError):
        found["keys"]


def test_figures() -> None:
    assert SegmentSet(reversed(WANTED)).figures() == [
        {"name": "board", "version": 1, "bytes": 8192},
        {"name": "health", "version": 2, "bytes": 4096},
    ]
    assert SegmentSet(()).figures() == []


def test_what_is_equal_is_kept_with_its_bytes() -> None:
    before = SegmentSet(WANTED)
    memoryview(before["health"])[0] = 1
    after = SegmentSet([*WANTED, ("keys", 1, 32)], before)
    assert after["health"] is before["health"]
    assert after["board"] is before["board"]
    assert "keys" not in before


@pytest.mark.parametrize("changed", [("health", 3, 64), ("health", 2, 65)], ids=["version", "size"])
def test_what_is_another_is_made_anew(changed: tuple[str, int, int]) -> None:
    before = SegmentSet(WANTED)
    memoryview(before["health"])[0] = 1
    after = SegmentSet([WANTED[0], changed], before)
    assert after["board"] is before["board"]
    assert memoryview(after["health"])[0] == 0
    assert memoryview(before["health"])[0] == 1, "workers of before go on with theirs"


def test_what_is_not_wanted_any_more_is_left_out() -> None:
    before = SegmentSet(WANTED)
    assert "health" not in SegmentSet(WANTED[:1], before)


def test_what_was_harmed_is_made_anew() -> None:
    before = SegmentSet(WANTED)
    address = ctypes.addressof(ctypes.c_char.from_buffer(before["health"]))
    ctypes.c_char.from_address(address - 64).value = b"\xff"
    assert SegmentSet(WANTED, before)["health"] is not before["health"]


def test_a_set_that_cannot_be_made_changes_nothing() -> None:
    before = SegmentSet(WANTED)
    with pytest.raises(UsageError, match="two segments are called board"):
        SegmentSet([WANTED[0], WANTED[0]], before)
    with pytest.raises((UsageError, SegmentError)):
        SegmentSet([("board", 1, 1 << 41)], before)
    assert before["board"].fits(*WANTED[0])
