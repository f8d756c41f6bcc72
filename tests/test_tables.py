"""State machines as docs/design.md shows them: `python tests/test_tables.py` writes them there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from dimcore.conn.phase import PHASE_NAMES, PHASE_TABLE
from dimcore.index.states import (
    CONNECTION_EVENT_NAMES,
    CONNECTION_TABLE,
    LAYER_NAMES,
    REQUEST_EVENT_NAMES,
    REQUEST_TABLE,
    STAGE_NAMES,
)
from dimserver.supervisor.reloads import AFTER, Outcome
from dimserver.supervisor.slots import TRANSITIONS, Event, State

DOCUMENT = Path(__file__).parents[1] / "docs" / "design.md"
COMMAND = "python tests/test_tables.py"
BEGIN, END = f"<!-- tables:begin, written by `{COMMAND}` -->", "<!-- tables:end -->"


def grid(corner: str, columns: Sequence[str], rows: dict[str, Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [[corner, *columns], ["---"] * (len(columns) + 1), *([name, *cells] for name, cells in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by_event(title: str, states: Sequence[str], events: Sequence[str], table: Sequence[Sequence[int]]) -> str:
    rows = {states[at]: [states[cell] if cell else "" for cell in row] for at, row in enumerate(table) if any(row)}
    return f"{title}\n\n{grid('', events, rows)}"


def drawing() -> str:
    """All tables."""
    phases = {
        PHASE_NAMES[at]: ["✓" if way and at != to else "" for to, way in enumerate(row)]
        for at, row in enumerate(PHASE_TABLE)
    }
    slots = {
        state.name.lower(): [
            TRANSITIONS[state, event].name.lower() if (state, event) in TRANSITIONS else "" for event in Event
        ]
        for state in State
        if state is not State.ENDED
    }
    title = "Layers of a connection (`index/states.pyx`):"
    layers = by_event(title, LAYER_NAMES, CONNECTION_EVENT_NAMES, CONNECTION_TABLE)
    stages = by_event("Stages of a request (`index/states.pyx`):", STAGE_NAMES, REQUEST_EVENT_NAMES, REQUEST_TABLE)
    workers = grid("", [event.name.lower() for event in Event], slots)
    names = [outcome.value for outcome in Outcome]
    after = {outcome.value: ["✓" if to in AFTER[outcome] else "" for to in Outcome] for outcome in Outcome}
    reloads = grid("", names, {name: cells for name, cells in after.items() if any(cells)})
    parts = [
        "The first column is the state before, the first row what happens.",
        layers,
        stages,
        f"Phases of an exchange (`conn/phase.pyx`), and which may follow:\n\n{grid('', PHASE_NAMES, phases)}",
        f"States of a worker process (`supervisor/slots.py`):\n\n{workers}",
        f"States of a reload (`supervisor/reloads.py`), and which may follow:\n\n{reloads}",
    ]
    return "\n\n".join(parts)


def written(text: str) -> str:
    """A document with the drawing between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{DOCUMENT.name} has no {BEGIN}"
    assert end, f"{DOCUMENT.name} has no {END}"
    return f"{before}{BEGIN}\n\n{drawing()}\n\n{END}{after}"


@pytest.mark.skipif(not DOCUMENT.exists(), reason="no documentation beside an installed package")
def test_the_documentation_shows_them() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == written(text), f"write it anew: {COMMAND}"


def test_a_row_has_a_cell_for_each_column() -> None:
    for row, line in itertools.pairwise(drawing().splitlines()):
        if row.startswith("|") and line.startswith("|"):
            assert row.count("|") == line.count("|")


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
