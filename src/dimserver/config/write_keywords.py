"""The types of what a program gives, made from the table: `App(**settings)` and the options of routes.

python -m dimserver.config.write_keywords > src/dimserver/config/keywords.py
"""

from __future__ import annotations

from dimserver.config.routing import NOT_OPTIONS, ROUTE_ROWS
from dimserver.config.settings import SETTINGS
from dimserver.config.tables import TableKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dimserver.config.setting import Setting

__all__ = ["module"]

HEAD = '''\
"""The types of what a program gives; for type checkers, and loaded by nothing else.

Written by `python -m dimserver.config.write_keywords > src/dimserver/config/keywords.py`; a test compares.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Required, TypedDict

__all__ = [{names}]
'''


def module() -> str:
    """The whole of ``keywords.py``."""
    options = ["exact: bool", *(_option(row) for row in ROUTE_ROWS if row.name not in NOT_OPTIONS)]
    classes = {
        "RouteOptions": ("What the decorators of routes take beside the pattern; see `App.route`.", options),
    }
    for setting in SETTINGS:
        if isinstance(setting.kind, TableKind):
            lines = list(_attributes(setting.kind.rows))
            classes[setting.kind.keywords] = (f"One table of the setting `{setting.name}`.", lines)
    what = "What `App` and `App.run` take; `dimserver config` describes each."
    classes["SettingsKeywords"] = (what, list(_attributes(SETTINGS)))
    head = HEAD.format(names=", ".join(f'"{name}"' for name in sorted(classes)))
    if "Mapping[" not in "".join(line for _, lines in classes.values() for line in lines):
        head = head.replace("Mapping, ", "")
    return head + "".join(_class(name, *parts) for name, parts in classes.items())


def _class(name: str, what: str, lines: Iterable[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f'\n\nclass {name}(TypedDict, total=False):\n    """{what}"""\n\n{body}'


def _option(row: Setting) -> str:
    """A flag is a program's own: no text of an operator's."""
    return f"{row.attribute}: {'bool' if row.kind.python == 'bool | str' else row.kind.python}"


def _attributes(rows: Iterable[Setting]) -> Iterator[str]:
    for row in rows:
        optional = row.default is None and not row.required
        kind = row.kind.python + (" | None" if optional else "")
        yield f"{row.attribute}: {f'Required[{kind}]' if row.required else kind}"


if __name__ == "__main__":
    import sys

    sys.stdout.write(module())
