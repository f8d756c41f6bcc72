"""argparse, made quiet and quick: one-line errors, and no formatter that costs more than the command."""

from __future__ import annotations

import argparse
import os
import sys

from dimserver.config.foreign import advice, near
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NoReturn

__all__ = ["Parser", "columns", "terminal_width"]


def terminal_width() -> int:
    """Of the terminal that standard output is, or 80."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 80


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines in which the cells stand below each other."""
    table = list(rows)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in table
    ]


class _Formatter(argparse.HelpFormatter):
    # argparse makes one formatter for each option it is told of.  Without a width each asks `shutil`,
    # whose import (archive formats and all) costs more than this whole module.
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=_WIDTH)

    if sys.version_info[:2] == (3, 14):
        # Colours are looked up, for `inspect` and five milliseconds, in each of them.  They are for help alone: as in
        # Python 3.15, they come with the first use.
        def _set_color(self, color: bool) -> None:
            self._coloured = color
            self.__dict__.pop("_theme", None)
            self.__dict__.pop("_decolor", None)

        def __getattr__(self, name: str) -> Any:
            if name not in {"_theme", "_decolor"}:
                raise AttributeError(name)
            super()._set_color(self._coloured)
            return self.__dict__[name]


_WIDTH = max(60, min(terminal_width(), 120)) - 2


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are ConfigErrors of one line."""

    def __init__(self, command: str, usage: str, description: str) -> None:
        super().__init__(
            prog=f"dimserver {command}",
            usage=f"dimserver {usage}",
            description=description,
            formatter_class=_Formatter,
            allow_abbrev=False,  # `--max` would change its meaning with the next setting
        )

    def parse(self, words: list[str]) -> argparse.Namespace:
        known, extra = self.parse_known_args(words)
        if extra:
            option = next((word for word in extra if word.startswith("-")), None)
            if option is None:
                raise ConfigError(f"unexpected argument '{extra[0]}'; see {self.prog} --help")
            name = option.partition("=")[0]
            # Without the dashes, which would make any two options a little alike.
            options = [each[2:] for each in self._option_string_actions if each.startswith("--")]
            meant = None if advice(name) else near(name, options)
            hint = advice(name) if meant is None else f"; did you mean '--{meant}'?"
            raise ConfigError(f"unknown option '{name}'{hint or '; see ' + self.prog + ' --help'}")
        return known

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message.removeprefix('argument ')}; see {self.prog} --help")
