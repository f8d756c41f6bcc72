"""The connections of workers, as rows that can be sent to another one and joined there."""

from __future__ import annotations

from heapq import merge
from itertools import chain, islice

from dimcore import ConnectionPoint, Roll
from dimcore.index.pools import SPIRAL_NAMES
from dimcore.index.states import LAYER_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from dimcore import Index
    from dimserver.handlers.status.types import Later

    Row = tuple[int, int, bytes]
    Slices = Iterable[Sequence[Row]]

__all__ = ["close_connection", "join", "rows", "spread"]

CLOSED = 6  # the layer
AT_ONCE = 100  # rows joined in one slice; about 50 us


def rows(index: Index, worker: int, spirals: Iterable[int], layers: Iterable[int], limit: int) -> Iterator[list[Row]]:
    """The first connections of some cells, cell by cell, and within a cell the one that entered first first.

    Args:
        index: of this worker.
        worker: its number; the ids begin with it, so that they are unique among all workers.
        spirals, layers: the cells.
        limit: rows at most; cells behind it are not looked at.

    Returns:
        Slices of about 50 us each; see `dimcore.Roll`.
    """
    return Roll(index, worker, SPIRAL_NAMES, spirals, layers, limit)


def join(lists: Iterable[Slices], limit: int) -> Iterator[list[bytes]]:
    """The rows of several workers in the order of one, without what they are ordered by; in slices."""
    merged = islice(merge(*map(chain.from_iterable, lists)), limit)
    while found := [text for _, _, text in islice(merged, AT_ONCE)]:
        yield found


def spread(loop: Later, slices: Iterator[Any], done: Callable[[list[Any], BaseException | None], object]) -> None:
    """Make slices one a round of the loop, each behind the events of its round.

    Args:
        loop: where others are served meanwhile.
        slices: whose `next` makes one.
        done: called once, on a later round, with all slices, or with those there are and what went wrong.
    """
    made: list[Any] = []

    def step() -> None:
        try:
            made.append(next(slices))
        except StopIteration:
            done(made, None)
        except Exception as error:
            done(made, error)
        else:
            loop.call_soon(step)

    loop.call_soon(step)


def close_connection(index: Index, worker: int, name: str) -> dict[str, Any] | None:
    """Close a connection of this worker.

    Returns:
        Its row, or None when there is none with this id.
    """
    point = index.get_by_id(name)
    close = getattr(point, "close", None)  # a program may keep points of its own there, which nobody can close
    if not isinstance(point, ConnectionPoint) or close is None:
        return None
    import json

    row: dict[str, Any] = json.loads(Roll.describe(index, worker, SPIRAL_NAMES, point))
    close()
    # At once, or after the answer that is on its way.
    layer = point.layer if index.get_by_id(name) is point else CLOSED
    return {**row, "layer": layer, "layer_name": LAYER_NAMES[layer]}
