"""The connections of one worker, as rows that can be sent to another one."""

from __future__ import annotations

from heapq import merge
from itertools import islice

from dimserver.handlers.status.names import LAYERS, pool_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from dimserver.handlers.status.types import Connection, Index

    Row = dict[str, Any]

__all__ = ["close_connection", "join", "rows"]


def rows(index: Index, worker: int, spirals: Iterable[int], layers: Iterable[int], limit: int) -> list[Row]:
    """The first connections of some cells, cell by cell, and within a cell the one that entered first first.

    Args:
        index: of this worker.
        worker: its number; the ids begin with it, so that they are unique among all workers.
        spirals, layers: the cells.
        limit: rows at most; cells behind it are not looked at.
    """
    return [_describe(point, worker) for point in _oldest(index, spirals, tuple(layers), limit)]


def join(lists: Iterable[list[Row]], limit: int) -> list[Row]:
    """The rows of several workers in the order of one."""
    return list(islice(merge(*lists, key=_order), limit))


def close_connection(index: Index, name: str) -> bool:
    """Close a connection of this worker; False when it has none with this id."""
    point = index.get_by_id(name)
    close = getattr(point, "close", None)  # a program may keep points of its own there, which nobody can close
    if close is None:
        return False
    close()
    return True


def _order(row: Row) -> tuple[int, int, float]:
    return row["spiral"], row["layer"], -row["idle"]


def _oldest(index: Index, spirals: Iterable[int], layers: tuple[int, ...], limit: int) -> Iterator[Connection]:
    # No more than is wanted: a snapshot of a cell with ten thousand points touches each of them, twice.
    for spiral in spirals:
        if spiral < index.spirals:  # other workers may have more
            for layer in layers:
                if limit and index.count_at(spiral, layer):
                    found = list(index.oldest(spiral, layer, limit))
                    limit -= len(found)
                    yield from found


def _describe(point: Connection, worker: int) -> Row:
    # A program may add points of its own to the pools; those have an age, but no traffic.
    request = getattr(point, "request", None)
    proxy = getattr(point, "proxy", None)
    return {
        "id": f"{worker}-{point.id}",
        "worker": worker,
        "client": _client(point.address),
        "proxy": None if proxy is None else proxy if isinstance(proxy, str) else _client(proxy),
        "spiral": point.spiral,
        "pool": pool_name(point.spiral),
        "layer": point.layer,
        "layer_name": LAYERS[point.layer - 1] if 1 <= point.layer <= len(LAYERS) else "",
        "age": round(point.age_seconds, 3),
        "idle": round(point.idle_seconds, 3),
        "requests": getattr(point, "requests", 0),
        "bytes_in": getattr(point, "bytes_in", 0),
        "bytes_out": getattr(point, "bytes_out", 0),
        "stage": None if request is None else request.stage_name,
    }


def _client(address: tuple[str, int] | str | None) -> str:
    if not isinstance(address, tuple):
        return f"unix:{address}" if address else "unix"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
