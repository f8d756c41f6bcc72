"""The values of the tables that a setting consists of."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dimserver.config.setting import Setting

__all__ = ["NamedTables", "Table"]


class Table:
    """The values of one table; read-only.  A class of tables has `rows`, and a slot and a type for each.

    Args:
        given: typed values by attribute name; what is not there has its row's default.

    Attributes:
        given: those values.

    Thread-safety: never changes.
    """

    rows: tuple[Setting, ...] = ()
    __slots__ = ("given",)

    given: Mapping[str, object]

    def __init__(self, given: Mapping[str, object]) -> None:
        object.__setattr__(self, "given", dict(given))
        for row in self.rows:
            object.__setattr__(self, row.attribute, given.get(row.attribute, row.default))

    def identity(self) -> object:
        """What no other table of the list may have as well; None: all differ."""
        return None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("the tables of settings are read-only")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("the tables of settings are read-only")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.given == other.given

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.given)))

    def __repr__(self) -> str:
        # Never the secret itself: this text ends up in logs.
        values = (
            f"{row.attribute}={row.kind.show(value) if row.kind.secret(value) else repr(value)}"
            for row in self.rows
            if (value := self.given.get(row.attribute)) is not None
        )
        return f"{type(self).__name__}({', '.join(values)})"


class NamedTables(Mapping[str, Table]):
    """The tables of a named set, by name; read-only.

    Thread-safety: never changes.
    """

    __slots__ = ("_tables",)

    def __init__(self, tables: Mapping[str, Table] | None = None) -> None:
        self._tables = dict(tables or {})

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __hash__(self) -> int:
        return hash(frozenset(self._tables))

    def __repr__(self) -> str:
        return repr(self._tables)
