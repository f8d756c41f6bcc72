"""What is shown of a server, and when it is not well."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dimserver.cli.status import MOST_SHOWN, problems, screen


def server(**more: Any) -> dict[str, Any]:
    return {
        "id": "7", "pid": 7, "state": "serving", "version": "1.2", "serves": "shop", "urls": ["http://127.0.0.1:1"],
        "uptime": 7300.0, "workers": 2, "generation": 3, "reload": None, **more,
    }  # fmt: skip


def worker(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number), "pid": 10 + number, "state": "serving", "age": 90.0, "busy": 0.0, "connections": 1,
        "in_flight": 0, "requests": 12345, "errors": 0, "answers": True, **more,
    }  # fmt: skip


STATS = {
    "requests": {"total_requests": 24690, "total_errors": 2, "in_flight": 1, "avg_processing_time_ms": 0.5},
    "connections": {f"spiral_{number}": {"total_connections": number} for number in range(4)},
    "budgets": {"memory": {"used": 3 << 20, "limit": 1 << 30}},
    "supervisor": {"crashes": 4},
}


@pytest.mark.parametrize(
    ("row", "workers", "missing", "found"),
    [
        (server(), [worker(0), worker(1)], [], []),
        (server(), [worker(0), worker(1), worker(2, state="draining")], [{"worker": 2, "reason": "gone"}], []),
        (server(state="starting"), [worker(0), worker(1)], [], ["the server is starting"]),
        (server(), [worker(0), worker(1, state="starting")], [], ["1 of 2 workers serve"]),
        (
            server(),
            [worker(0), worker(1, answers=False)],
            [{"worker": 1, "reason": "no answer within 0.2 s"}],
            ["worker 1 does not answer: no answer within 0.2 s"],
        ),
        (
            None,
            [{"id": "0", "answers": True}],
            [{"worker": "supervisor", "reason": "gone"}],
            ["the supervisor does not answer"],
        ),
    ],
)  # fmt: skip
def test_problems(row: Any, workers: Any, missing: Any, found: list[str]) -> None:
    assert problems(row, workers, missing) == found


def shown(**more: Any) -> list[str]:
    return list(
        screen({"well": True, "problems": [], "server": server(), "workers": [worker(0)], "stats": STATS, **more})
    )


def test_a_screen() -> None:
    assert shown() == [
        "dimserver 1.2, process 7, serving shop",
        "  on           http://127.0.0.1:1",
        "  up           2 h, generation 3",
        "  requests     24,690 (2 failed), 1 in flight, 0.5 ms on average",
        "  connections  6 (websocket 1, api 2, admin 3)",
        "  memory       3 MiB of 1 GiB held for clients",
        "  crashes      4",
        "",
        "  WORKER  PID  STATE    AGE    BUSY   CONNECTIONS  IN FLIGHT  REQUESTS  ERRORS",
        "  0       10   serving  1 min  0.0 s  1            0          12,345    0",
        "",
        "well",
    ]


def test_what_is_not_well_and_the_last_reload() -> None:
    entry = {"state": "failed", "asked": time.time() - 5, "reason": "no such module"}
    lines = shown(
        well=False,
        problems=["a", "b"],
        server=server(reload=entry),
        workers=[worker(0, answers=False), {"id": "1", "state": "starting"}],
    )
    assert "  last reload  failed, 5 s ago: no such module" in lines
    assert any(line.startswith("  0       10   no answer ") for line in lines)
    assert any(line.split()[:3] == ["1", "-", "starting"] for line in lines)
    assert lines[-1] == "not well: a; b"


def test_many_workers_fit_a_screen() -> None:
    lines = shown(workers=[worker(number) for number in range(512)])
    assert len(lines) < MOST_SHOWN + 14
    assert f"  and {512 - MOST_SHOWN} more: --json shows them" in lines
