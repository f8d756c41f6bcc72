"""What operators list and change, in one shape: a feature declares a `Resource`, and all else follows.

    GET /api/X?limit=&after=      {"X": [{"id": …}], "total": n, "missing": [{"worker": …, "reason": …}]}
                                  with counters of the whole, and of each worker, beside them if it has any
    POST /api/X/ID/VERB           200 or 202 and the row, or 400, 404, 409 and what was wrong

A resource says who keeps its rows (each worker some, the supervisor, or both parts of each), how this process lists
its share of them, and what its verbs do.  Whichever process of the server is asked has the others' shares sent to it:
`collection` for lists, `action` for verbs.  Rows are dicts of plain values with a text under ``id``.
"""

from __future__ import annotations

import enum
from heapq import nlargest, nsmallest

from dimserver.net.worker_rpc import SUPERVISOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from dimserver.handlers.status.types import Context

    Row = dict[str, Any]
    Share = tuple[int, list[Row], dict[str, int]]  # how many there are, those that are wanted, and counters
    Outcome = tuple[int, Row]  # status and content

__all__ = ["Argument", "Keeper", "Page", "Refused", "Resource", "Verb", "conflict", "no_such", "select", "whole"]


class Keeper(enum.Flag):
    """Who has the rows of a resource, or a part of each."""

    WORKERS = enum.auto()
    SUPERVISOR = enum.auto()


class Refused(Exception):
    """A change that cannot be made.

    Attributes:
        outcome: status and content of the answer.
    """

    def __init__(self, status: int, content: Row) -> None:
        super().__init__(content)
        self.outcome: Outcome = (status, content)


def no_such(noun: str, name: str) -> Refused:
    """404: there is no row of this id."""
    return Refused(404, {"error": f"no such {noun}", "id": name[:200]})


def conflict(reason: str) -> Refused:
    """409: not in the state that the row or the server is in."""
    return Refused(409, {"error": reason})


class Argument:
    """What a verb has to be told, a key of the JSON object that is posted.

    Args:
        name: the key.
        read: makes a value of what was given, or raises ValueError.
        allowed: what may be given, for the error.
    """

    __slots__ = ("allowed", "name", "read")

    def __init__(self, name: str, read: Callable[[object], object], allowed: str) -> None:
        self.name = name
        self.read = read
        self.allowed = allowed


def whole(name: str, low: int, high: int) -> Argument:
    """An argument that is a whole number of a range."""

    def read(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return Argument(name, read, f"a whole number from {low} to {high}")


class Verb:
    """What can be done to a row.

    Args:
        act: called in the process that keeps the row, with its id, the arguments by name, and who asks; returns the
            status, 200 for what is done and 202 for what has begun, and the row, or raises `Refused`.
        arguments: each has to be given.
    """

    __slots__ = ("act", "arguments")

    def __init__(self, act: Callable[[str, dict[str, Any], str], Outcome], *arguments: Argument) -> None:
        self.act = act
        self.arguments = arguments


class Page:
    """The rows that are wanted of a list.

    Args:
        limit: how many at most.
        after: those whose ids come after this one; None: from the first on.
        order: those with the most of this come first; "" is the order of ids.
    """

    __slots__ = ("after", "limit", "order")

    def __init__(self, limit: int, after: str | None = None, order: str = "") -> None:
        self.limit = limit
        self.after = after
        self.order = order

    @property
    def plain(self) -> tuple[int, str | None, str]:
        """To be sent to another process, and given to `Page` there."""
        return self.limit, self.after, self.order


class Resource:
    """Base of those that are declared.

    Attributes:
        name: the X of ``/api/X``.
        noun: what one of them is called.
        keepers: who has them.
        listed: whether there is ``GET /api/X`` in this shape.
        numbered: whether ids are whole numbers, and stand in their order; other ids stand in that of their characters.
        shared: whether several processes may have a row of the same id, a part of it each; see `join`.
        orders: keys of numbers in a row by which a list may be ordered as well, the largest first.
        verbs: by name.

    Args:
        context: the process.

    Thread-safety: the loop's thread.
    """

    name = ""
    noun = ""
    keepers = Keeper.WORKERS
    listed = True
    numbered = False
    shared = False
    orders: tuple[str, ...] = ()

    def __init__(self, context: Context) -> None:
        self.context = context
        self.verbs: Mapping[str, Verb] = {}

    # --- what a resource says ---------------------------------------------------------------------

    def rows(self) -> Iterable[Row]:
        """All rows, or parts of rows, that this process has."""
        return ()

    def share(self, page: Page) -> Share:
        """How many rows this process has, those of a page, and counters by name, which are added up.

        One that may have many overrides it, so that a page costs no more than it has to.
        """
        rows = list(self.rows())
        return len(rows), select(rows, page, self.numbered), {}

    def join(self, one: Row, other: Row) -> Row:
        """One row of two parts that have the same id, whichever comes first."""
        raise NotImplementedError

    def keeper(self, name: str) -> int:
        """The number of the process that acts on the row of this id.

        Raises:
            Refused: there can be no such row.
        """
        if Keeper.SUPERVISOR in self.keepers:
            return SUPERVISOR
        number, dash, rest = name.partition("-")  # ids of workers' rows begin with the worker's number
        if not (dash and rest and number.isascii() and number.isdigit() and len(number) <= 9):
            raise no_such(self.noun, name)
        return int(number)

    # --- what follows from it ---------------------------------------------------------------------

    def act(self, verb: str, name: str, arguments: dict[str, Any], who: str) -> Outcome:
        """Do it, in the process that keeps the row."""
        try:
            return self.verbs[verb].act(name, arguments, who)
        except Refused as refused:
            return refused.outcome

    def collect(self, shares: Iterable[Share], page: Page) -> tuple[int, bool, list[Row]]:
        """The list of all processes.

        Returns:
            How many rows there are, whether that is known exactly, and those of the page.
        """
        shares = list(shares)
        if not self.shared:
            every = [row for _, rows, _ in shares for row in rows]
            return sum(total for total, _, _ in shares), True, select(every, page, self.numbered)
        found: dict[str, Row] = {}
        for _, rows, _ in shares:
            for row in rows:
                before = found.get(row["id"])
                found[row["id"]] = row if before is None else self.join(before, row)
        if Keeper.SUPERVISOR in self.keepers:  # it has a part of every row
            total = max([len(found), *(total for total, _, _ in shares)])
            return total, True, select(found.values(), page, self.numbered)
        # Nobody sends all ids of a long list.  The largest share is then the least there can be.
        exact = len(shares) == 1 or all(total == len(rows) for total, rows, _ in shares)
        total = len(found) if exact and len(shares) != 1 else max((total for total, _, _ in shares), default=0)
        return max(total, len(found)), exact, select(found.values(), page, self.numbered)


def select(rows: Iterable[Row], page: Page, numbered: bool = False) -> list[Row]:
    """Those of a page, in its order."""
    key = _number if numbered else _name
    order = page.order
    if order:
        return nlargest(page.limit, rows, key=lambda row: (row[order], key(row)))
    if page.after is not None:
        last = key({"id": page.after})
        rows = [row for row in rows if key(row) > last]
    return nsmallest(page.limit, rows, key=key)


def _number(row: Row) -> Any:
    return int(row["id"])


def _name(row: Row) -> Any:
    return row["id"]
