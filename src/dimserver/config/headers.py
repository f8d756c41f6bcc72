"""Rows of the table: fields that are added to answers."""

from __future__ import annotations

from dimserver.config.setting import Setting
from dimserver.config.table import Table
from dimserver.config.tables import ListOf
from dimserver.config.types import AddedFieldName, FieldValue, RoutePattern
from dimserver.errors import ConfigError

__all__ = ["HEADERS", "HEADER_ROWS", "HeaderTable"]

ANSWERS = "Answers"
ENTRY = "NAME: VALUE"

HEADER_ROWS: tuple[Setting, ...] = (
    Setting(
        ANSWERS, "name", AddedFieldName(), None,
        "The name of the field. An answer that has a field of this name keeps its own.",
        "None: a table without it would say nothing.",
        required=True,
    ),
    Setting(
        ANSWERS, "value", FieldValue(), None,
        "Its value.",
        "None: a table without it would say nothing.",
        required=True,
    ),
    Setting(
        ANSWERS, "pattern", RoutePattern(), None,
        "Which paths: a pattern as in route. Of tables with one name those with the most specific pattern count.",
        "None: all paths.",
    ),
)  # fmt: skip


class HeaderTable(Table):
    """One `[[header]]`."""

    rows = HEADER_ROWS
    __slots__ = tuple(row.attribute for row in HEADER_ROWS)

    name: str
    value: str
    pattern: str | None

    def identity(self) -> object:
        """All of it: a name may have several values."""
        where = "" if self.pattern is None else f" of {self.pattern}"
        return f"'{self.name}: {self.value}'{where}"


class HeaderList(ListOf):
    """A list whose entries are written as fields are everywhere: `Name: value`.  A pattern takes a table."""

    metavar = ENTRY

    def split(self, text: str) -> dict[str, object]:
        name, colon, value = text.partition(":")
        if not colon:
            raise ConfigError(f"{text!r:.80} has no colon; allowed: {ENTRY}")
        return {"name": name.lstrip(" \t"), "value": value.lstrip(" \t")}

    def entry(self) -> str:
        return ENTRY


HEADERS: tuple[Setting, ...] = (
    Setting(
        ANSWERS, "header", HeaderList(HeaderTable, most=64), (),
        "Fields to add to answers that have none of their name, whoever makes them: routes, mounts, WSGI and ASGI "
        "apps, static files, the server itself.",
        "None: which fields answers need is known to the app and its operator alone.",
    ),
)  # fmt: skip
