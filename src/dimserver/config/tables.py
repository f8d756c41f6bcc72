"""Settings whose value is tables: a list of them, or a set in which each has a name.

    [[route]]                  a list: tables of the same rows, in order
    [database.main]            a named set: tables of the same rows, each under its own name

The rows of a table are settings like those of the top level: with a kind, a
default and a reason.
"""

from __future__ import annotations

from collections.abc import Mapping

from dimserver.config.entries import NAME_ALLOWED, entry_form, is_name, join_words, split_entry, split_words
from dimserver.config.foreign import near
from dimserver.config.references import is_reference
from dimserver.config.spelling import Spelling
from dimserver.config.table import NamedTables, Table
from dimserver.config.types.base import Kind, Types
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dimserver.config.references import References
    from dimserver.config.setting import Setting

__all__ = ["ListOf", "NamedSet", "TableKind"]


TableClass = type[Table]  # named here: in a kind, `type` is an attribute


class Reader:
    """Reads the tables of one setting from one source.

    Args:
        setting: of which they are.
        spelling, where: of the source, as for `read_values`.
        references: looks up values that stand somewhere else; None where none may.
        mistakes: gets each message; None raises the first.
    """

    __slots__ = ("_mistakes", "_references", "_setting", "_spelling", "_where")

    def __init__(
        self,
        setting: Setting,
        spelling: Spelling,
        where: str,
        references: References | None,
        mistakes: list[str] | None,
    ) -> None:
        self._setting = setting
        self._spelling = spelling
        self._where = where
        self._references = references
        self._mistakes = mistakes

    @property
    def spelled(self) -> str:
        """What the source calls the setting."""
        return self._where + self._spelling(self._setting)

    def complain(self, message: str) -> None:
        """A mistake: noted, or raised."""
        if self._mistakes is None:
            raise ConfigError(message)
        self._mistakes.append(message)

    def refuse(self, value: object) -> None:
        """The value of the setting is none of its kind."""
        kind = self._setting.kind
        self.complain(f"{self.spelled}: {self._setting.quote(value)} is not allowed; allowed: {kind.allowed()}")

    def at(self, item: int | str) -> str:
        """What the source calls a table."""
        return self._where + self._spelling.table(self._setting, item)

    def look_up(self, value: object) -> object:
        """The value of the setting, or what it refers to."""
        if self._references is None or not is_reference(value):
            return value
        try:
            return self._references.look_up(str(value), self.spelled)
        except ConfigError as error:
            self.complain(str(error))
            return ""

    def table(self, kind: TableKind, value: object, item: int | str) -> Table | None:
        """One table from what a source has for it: an entry, a mapping, or a table; None after a mistake."""
        if type(value) is kind.table:
            return value
        if isinstance(value, str):
            return self._entry(kind, value, item)
        if isinstance(value, Mapping):
            keys = {self._spelling.key(row): row for row in kind.rows}
            return self._rows(kind, value, keys, item, lambda row: self._spelling.row(self._setting, item, row), True)
        self.complain(f"{self.at(item)}: {self._setting.quote(value)} is no table; allowed: {kind.allowed_table()}")
        return None

    def _entry(self, kind: TableKind, text: str, item: int | str) -> Table | None:
        try:
            values = kind.split(text)
        except ConfigError as error:
            self.complain(f"{self.at(item)}: {error}")
            return None
        keys = {row.name: row for row in kind.rows}
        return self._rows(
            kind, values, keys, item, lambda row: f"{self._spelling.table(self._setting, item)}: {row.name}"
        )

    def _rows(
        self,
        kind: TableKind,
        values: Mapping[str, object],
        keys: Mapping[str, Setting],
        item: int | str,
        spell: Callable[[Setting], str],
        typed: bool = False,  # whether values have types, as in a file; those of an entry are text
    ) -> Table | None:
        given: dict[str, object] = {}
        right = True
        for key, value in values.items():
            row = keys.get(key)
            try:
                if row is None:
                    meant = near(str(key), keys)
                    hint = f"did you mean '{meant}'?" if meant else f"allowed: {', '.join(keys)}"
                    raise ConfigError(f"{self.at(item)}: unknown key '{key!s:.80}'; {hint}")
                if value is None and row.default is None:
                    continue
                spelled = self._where + spell(row)
                if typed:
                    self._spelling.check(row, value, spelled)
                given[row.attribute] = row.read(value, spelled, self._references)
            except ConfigError as error:
                right = False
                self.complain(str(error))
        if kind.complete:
            for key, row in keys.items():
                if row.required and key not in values:
                    right = False
                    self.complain(f"{self.at(item)}: '{key}' is missing; it is {row.kind.allowed()}")
        return kind.table(given) if right else None


class TableKind(Kind):
    """Tables of the same rows.

    Args:
        table: the class of the tables.
        first: the row whose value is the first word of an entry; None where every value has its key.
        most: how many tables there may be.

    Attributes:
        rows: of each table.
        keywords: the name of the type of a table that a program gives.
        complete: whether each table of each source must have what is required.
    """

    complete = True

    def __init__(self, table: TableClass, *, first: str | None = None, most: int = 256) -> None:
        self.table = table
        self.rows = table.rows
        self.first = first
        self.most = most
        self.keywords = table.__name__.removesuffix("Table") + "Keywords"
        self.python = self.program_type(self.keywords)

    def program_type(self, table: str) -> str:
        """`python` of this kind, with the name of the type of one table."""
        raise NotImplementedError

    def read_tables(self, value: object, reader: Reader) -> object:
        """The typed value of what a source has; mistakes go to the reader."""
        raise NotImplementedError

    def split(self, text: str) -> dict[str, object]:
        """The values of an entry, by the names of their rows; see `split_entry`."""
        return split_entry(text, self.rows, self.first, self.entry())

    def entry(self) -> str:
        """How an entry is written."""
        return entry_form(self.rows, self.first)

    def allowed_table(self) -> str:
        """What one table may be."""
        return f"a table with {', '.join(row.name for row in self.rows)}"

    def show(self, value: Any) -> str:
        return f"{len(value)} tables" if value else "none"

    def secret(self, value: object) -> bool:
        # A table hides what is secret by itself; of what is none nobody knows which part would be.
        if isinstance(value, (tuple, NamedTables)):
            return False
        text = value if isinstance(value, str) else repr(value)
        return any(row.kind.secret(text) for row in self.rows)


class ListOf(TableKind):
    """A list of tables, as a tuple; that of a stronger source takes the place of a weaker one's."""

    type = "list"
    metavar = "ENTRY"
    typed: Types = (list,)

    def read(self, value: object) -> object:
        if isinstance(value, tuple) and all(type(each) is self.table for each in value):
            return value
        raise ValueError

    def read_tables(self, value: object, reader: Reader) -> object:
        value = reader.look_up(value)
        if isinstance(value, str):  # of the environment: an entry a line, empty lines between them left out
            entries = [(number, line) for number, line in enumerate(value.split("\n"), 1) if line.strip()]
        elif isinstance(value, (list, tuple)):
            entries = list(enumerate(value, 1))
        else:
            reader.refuse(value)
            return ()
        if len(entries) > self.most:
            reader.complain(f"{reader.spelled}: {len(entries)} tables are too many; allowed: at most {self.most}")
            return ()
        tables: dict[int, Table] = {}
        seen: dict[object, int] = {}
        for number, each in entries:
            table = reader.table(self, each, number)
            if table is None:
                continue
            identity = table.identity()
            if identity is not None and seen.setdefault(identity, number) != number:
                reader.complain(
                    f"{reader.at(number)}: {identity!s:.200} is that of {reader.at(seen[identity])} as well"
                )
                continue
            tables[number] = table
        return tuple(tables.values())

    def program_type(self, table: str) -> str:
        return f"Sequence[{table} | str]"

    def resolve(self, value: Any, directory: str) -> object:
        return tuple(_resolve(table, directory) for table in value)

    def allowed(self) -> str:
        return f"at most {self.most} tables with {', '.join(row.name for row in self.rows)}"


class NamedSet(TableKind):
    """Tables by their names; those of several sources are merged, by name and key.

    Args: as for `TableKind`; the first word of an entry is the table's name.
    """

    type = "named set"
    metavar = "ENTRY"
    typed: Types = (dict,)
    complete = False  # what a file leaves out the environment may add

    def __init__(self, table: TableClass, *, most: int = 64) -> None:
        super().__init__(table, most=most)

    def read(self, value: object) -> object:
        if isinstance(value, NamedTables):
            return value
        raise ValueError

    def read_tables(self, value: object, reader: Reader) -> NamedTables:
        pairs: list[tuple[object, object]] = []
        if isinstance(value, Mapping):
            pairs.extend(value.items())
        elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
            for number, each in enumerate(value, 1):  # of the command line
                try:
                    first, *words = split_words(each)
                except ValueError as error:
                    reader.complain(f"{reader.at(number)}: {error}")
                else:
                    pairs.append((first, join_words(words) if words else {}))
        else:
            reader.refuse(value)
        if len(pairs) > self.most:
            reader.complain(f"{reader.spelled}: {len(pairs)} tables are too many; allowed: at most {self.most}")
            return NamedTables()
        tables: dict[str, Table] = {}
        for name, each in pairs:
            if not isinstance(name, str) or not is_name(name):
                reader.complain(f"{reader.spelled}: {name!r:.80} is no name of a table; allowed: {NAME_ALLOWED}")
                continue
            table = reader.table(self, each, name)
            if table is not None:
                tables[name] = _over(tables[name], table) if name in tables else table
        return NamedTables(tables)

    def typed_value(self, setting: Setting, value: object) -> NamedTables:
        """The value that a program gives, which may be plain dicts, typed.

        Raises:
            ConfigError: a bad value.
        """
        return self.read_tables(value, Reader(setting, Spelling(), "", None, None))

    def merge(self, weaker: NamedTables, stronger: NamedTables) -> NamedTables:
        """The tables of two sources."""
        tables = dict(weaker)
        for name, table in stronger.items():
            tables[name] = _over(tables[name], table) if name in tables else table
        return NamedTables(tables)

    def require(self, setting: Setting, value: NamedTables) -> Iterator[str]:
        """A message for each value that no source has given, and that must be."""
        for name, table in value.items():
            for row in self.rows:
                if row.required and row.attribute not in table.given:
                    yield f"[{setting.name}.{name}]: '{row.name}' is missing; it is {row.kind.allowed()}"

    def program_type(self, table: str) -> str:
        return f"Mapping[str, {table} | str]"

    def resolve(self, value: Any, directory: str) -> object:
        return NamedTables({name: _resolve(table, directory) for name, table in value.items()})

    def entry(self) -> str:
        return f"NAME {super().entry()}"

    def allowed(self) -> str:
        return f"at most {self.most} named tables with {', '.join(row.name for row in self.rows)}"


def _over(weaker: Table, stronger: Table) -> Table:
    return type(weaker)({**weaker.given, **stronger.given})


def _resolve(table: Table, directory: str) -> Table:
    kinds = {row.attribute: row.kind for row in table.rows}
    return type(table)({name: kinds[name].resolve(value, directory) for name, value in table.given.items()})
