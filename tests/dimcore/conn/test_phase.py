"""The table of phases: its shape, and that every way of it is one that connections take."""

from __future__ import annotations

from dimcore.conn.phase import FACT_NAMES, PHASE_NAMES, PHASE_TABLE

READING, GREETING, BUSY, STREAMING, UPGRADED, LINGERING, GONE = range(7)


def test_its_shape() -> None:
    assert len(PHASE_TABLE) == len(PHASE_NAMES) == 7
    assert all(len(row) == len(PHASE_NAMES) and set(row) <= {0, 1} for row in PHASE_TABLE)
    assert len(set(PHASE_NAMES) | set(FACT_NAMES)) == len(PHASE_NAMES) + len(FACT_NAMES)


def test_everything_ends_and_nothing_comes_back() -> None:
    assert all(row[GONE] for row in PHASE_TABLE)
    assert PHASE_TABLE[GONE] == (0, 0, 0, 0, 0, 0, 1)
    assert PHASE_TABLE[LINGERING] == (0, 0, 0, 0, 0, 0, 1)


def test_another_protocol_does_not_give_the_connection_back() -> None:
    assert [PHASE_NAMES[at] for at, way in enumerate(PHASE_TABLE[UPGRADED]) if way] == ["lingering", "gone"]


def test_what_a_handler_does_begins_and_ends_in_reading() -> None:
    for phase in (GREETING, BUSY, STREAMING):
        assert PHASE_TABLE[READING][phase]
        assert [at for at, way in enumerate(PHASE_TABLE[phase]) if way] == [READING, GONE]
