"""How each source writes the names of settings, of the tables of a list, and of the keys in these."""

from __future__ import annotations

from dimserver.config.setting import PREFIX, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["APP_NAME", "FileSpelling", "LineSpelling", "Spelling", "VariableSpelling"]

APP_NAME = "app"  # what is served; on the command line it stands without an option


class Spelling:
    """That of Python: names are attributes.

    Args:
        name: how a setting is written; as its attribute when None.

    Attributes:
        tables_apart: whether the source itself says where a table begins; else its text is split into lines.
    """

    __slots__ = ("_name",)

    def __init__(self, name: Callable[[Setting], str] | None = None) -> None:
        self._name = name

    def __call__(self, setting: Setting) -> str:
        """The name of a setting."""
        return setting.attribute if self._name is None else self._name(setting)

    def key(self, row: Setting) -> str:
        """The name of a row in a table."""
        return row.attribute

    def table(self, setting: Setting, item: int | str) -> str:
        """One table of a setting: by its number, from 1, or by its name."""
        return f"{self(setting)} {item}" if isinstance(item, int) else f"{self(setting)}['{item}']"

    def row(self, setting: Setting, item: int | str, row: Setting) -> str:
        """A row in one table."""
        return f"{self.table(setting, item)}: {self.key(row)}"

    def check(self, row: Setting, value: object, spelled: str) -> None:
        """Look at the type of a value, where the source has types.

        Raises:
            ConfigError: another than `row` takes.
        """


class FileSpelling(Spelling):
    """That of a TOML file.

    Args:
        check: for a row, a value and what the row is called; raises ConfigError for a type it does not take.
    """

    __slots__ = ("_check",)

    def __init__(self, check: Callable[[Setting, object, str], None]) -> None:
        super().__init__()
        self._check = check

    def __call__(self, setting: Setting) -> str:
        return setting.name

    def key(self, row: Setting) -> str:
        return row.name

    def table(self, setting: Setting, item: int | str) -> str:
        return f"[[{setting.name}]] {item}" if isinstance(item, int) else f"[{setting.name}.{item}]"

    def check(self, row: Setting, value: object, spelled: str) -> None:
        self._check(row, value, spelled)


class VariableSpelling(Spelling):
    """That of the environment; without the prefix, which every message writes before it."""

    __slots__ = ()

    def __call__(self, setting: Setting) -> str:
        return setting.variable.removeprefix(PREFIX)

    def key(self, row: Setting) -> str:
        return row.attribute.upper()

    def table(self, setting: Setting, item: int | str) -> str:
        if isinstance(item, int):
            return f"{self(setting)} line {item}"
        return f"{self(setting)}_{item.upper().replace('-', '_')}"

    def row(self, setting: Setting, item: int | str, row: Setting) -> str:
        if isinstance(item, int):
            return f"{self.table(setting, item)}: {row.name}"
        return f"{self.table(setting, item)}_{self.key(row)}"


class LineSpelling(Spelling):
    """That of the command line."""

    __slots__ = ()

    def __call__(self, setting: Setting) -> str:
        return APP_NAME.upper() if setting.name == APP_NAME else setting.option

    def key(self, row: Setting) -> str:
        return row.name

    def table(self, setting: Setting, item: int | str) -> str:
        return f"{setting.option} {item}"


def split_variables(variables: dict[str, str], sets: Mapping[str, Iterable[str]], known: set[str]) -> dict[str, object]:
    """Variables, those of a named set put together: ``DATABASE_MAIN_URL`` is the key ``URL`` of ``main``.

    Args:
        variables: without their prefix.
        sets: for each named set, by its name in the environment, what its keys are called there.
        known: the names of all other settings, which come first.

    Returns:
        What is no setting of its own and belongs to a set stands under the set's name, as ``{name: {key: value}}``.
        The longest key counts: where there are ``SIZE`` and ``POOL_SIZE``, ``X_POOL_SIZE`` is the latter of ``x``.
    """
    whole: dict[str, object] = {}
    for variable, value in variables.items():
        place = None if variable in known else _place(variable, sets)
        if place is None:
            whole[variable] = value
            continue
        name, item, key = place
        tables = whole.setdefault(name, {})
        if isinstance(tables, dict):
            tables.setdefault(item, {})[key] = value
    return whole


def _place(variable: str, sets: Mapping[str, Iterable[str]]) -> tuple[str, str, str] | None:
    for name, keys in sets.items():
        if not variable.startswith(name + "_"):
            continue
        rest = variable[len(name) + 1 :]
        for key in sorted(keys, key=len, reverse=True):
            item = rest.removesuffix("_" + key)
            if item and item != rest:
                return name, item.lower().replace("_", "-"), key
    return None
