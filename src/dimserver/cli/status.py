"""`dimserver status`: how a running server is, on one screen, as JSON, and as an exit code."""

from __future__ import annotations

import json
import sys
import time

from dimserver.cli.operator_client import Server, add_options, choose, wanted_pid
from dimserver.cli.parser import Parser, columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Row = dict[str, Any]

__all__ = ["problems", "screen", "status"]

WELL, NOT_WELL = 0, 1
LOOKS = 6  # at workers that do not answer: one that is busy for a moment is well
PAUSE = 0.4  # seconds between two
MOST_SHOWN = 15  # workers on a screen
UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def status(words: list[str]) -> int:
    """Run the command.

    Args:
        words: that follow its name.

    Returns:
        The exit code: 0 well, 1 not well.

    Raises:
        DimserverError: there is no server, there are several, or it does not answer.
    """
    what = "Show how a running server is: exit 0 well, 1 not well, 3 no server."
    parser = Parser("status", "status [--pid N | --admin ADDRESS] [--json]", what)
    add_options(parser, parser.add_mutually_exclusive_group())
    parser.add_argument("--json", action="store_true", help="all of it, for programs")
    given = parser.parse(words)
    found = look(choose(given, wanted_pid(given)))
    if given.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{_printable(line)}\n" for line in screen(found))
    return WELL if found["well"] else NOT_WELL


def look(server: Server) -> Row:
    """All that is shown, and whether the server is well."""
    for at in range(LOOKS):
        listed = server.get("/api/workers?limit=1000")
        if not listed["missing"]:
            break
        if at + 1 < LOOKS:
            time.sleep(PAUSE)
    shown = server.get("/api/servers")
    (row,) = shown["servers"] or [None]
    stats = server.get("/api/stats")
    wrong = problems(row, listed["workers"], listed["missing"])
    return {
        "well": not wrong,
        "problems": wrong,
        "server": row,
        "workers": listed["workers"],
        "missing": listed["missing"],
        "stats": stats,
    }


def problems(server: Row | None, workers: list[Row], missing: list[Row]) -> list[str]:
    """What is not as it should be, a line each.

    Args:
        server, workers, missing: as the operator's API lists them.
    """
    found = []
    if server is None:
        found.append("the supervisor does not answer")
    else:
        if server["state"] != "serving":
            found.append(f"the server is {server['state']}")
        serving = sum(worker.get("state") == "serving" for worker in workers)
        if serving < server["workers"]:
            found.append(f"{serving} of {server['workers']} workers serve")
    states = {worker["id"]: worker.get("state") for worker in workers}
    for each in missing:
        name = str(each["worker"])
        if states.get(name) == "serving":  # one that drains has no more to answer
            found.append(f"worker {name} does not answer: {each['reason']}")
    return found


def screen(found: Row) -> Iterator[str]:
    """Lines for a terminal.

    Args:
        found: as `look` returns it.
    """
    server, stats = found["server"], found["stats"]
    if server is not None:
        yield f"dimserver {server['version']}, process {server['pid']}, {server['state']} {server['serves']}"
        yield f"  on           {', '.join(server['urls']) or '-'}"
        yield f"  up           {_span(server['uptime'])}, generation {server['generation']}"
    requests = stats["requests"]
    yield (
        f"  requests     {requests['total_requests']:,} ({requests['total_errors']:,} failed), "
        f"{requests['in_flight']:,} in flight, {requests['avg_processing_time_ms']:.3g} ms on average"
    )
    pools = [pool["total_connections"] for pool in stats["connections"].values()]
    names = ("http", "websocket", "api", "admin")
    parts = ", ".join(f"{name} {number:,}" for name, number in zip(names, pools, strict=False) if number)
    yield f"  connections  {sum(pools[: len(names)]):,}{f' ({parts})' if parts else ''}"
    memory = stats["budgets"]["memory"]
    yield f"  memory       {_size(memory['used'])} of {_size(memory['limit'])} held for clients"
    yield f"  crashes      {stats['supervisor']['crashes']:,}"
    if server is not None and server["reload"] is not None:
        entry = server["reload"]
        reason = f": {entry['reason']}" if entry["reason"] else ""
        yield f"  last reload  {entry['state']}, {_span(max(0.0, time.time() - entry['asked']))} ago{reason}"
    yield ""
    yield from _table(found["workers"])
    yield ""
    yield "well" if found["well"] else "not well: " + "; ".join(found["problems"])


def _table(workers: list[Row]) -> Iterator[str]:
    rows = [("WORKER", "PID", "STATE", "AGE", "BUSY", "CONNECTIONS", "IN FLIGHT", "REQUESTS", "ERRORS")]
    for worker in workers[:MOST_SHOWN]:
        state = str(worker.get("state", "-"))
        if state == "serving" and not worker.get("answers"):
            state = "no answer"
        counts = (worker.get(name) for name in ("connections", "in_flight", "requests", "errors"))
        rows.append(
            (
                worker["id"],
                str(worker.get("pid", "-")),
                state,
                _span(worker["age"]) if "age" in worker else "-",
                f"{worker['busy']:.1f} s" if "busy" in worker else "-",
                *("-" if count is None else f"{count:,}" for count in counts),
            )
        )
    for line in columns(rows):
        yield f"  {line.rstrip()}"
    if len(workers) > MOST_SHOWN:
        yield f"  and {len(workers) - MOST_SHOWN} more: --json shows them"


def _span(seconds: float) -> str:
    for size, name in UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} TiB"


def _printable(text: str) -> str:
    """Without what a terminal would take for an order."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
