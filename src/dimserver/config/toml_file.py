"""A TOML file of settings: opened with care, read, and each value looked at for its type.

The file is flat: each key is the name of a setting, as on the command line
without the dashes.  Tables are for settings whose value is tables; around all others
they would give each a second name to learn.
"""

from __future__ import annotations

import os
import stat

from dimserver.config.references import is_reference
from dimserver.config.settings import unknown_setting
from dimserver.config.tables import ListOf, NamedSet
from dimserver.config.types import MiB
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from dimserver.config.setting import Setting
    from dimserver.config.types import Kind

__all__ = ["MAX_FILE", "check_type", "read_toml", "types_of"]

MAX_FILE = 1 * MiB  # every setting with a comment of a page is far below it; a log given by mistake is above it

# What a user calls the types of TOML; dates and times are those left over.
TYPES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
}


def read_toml(
    path: str,
    rows: Iterable[Setting],
    *,
    shown: str = "",
    origin: str = "--config",
    mistakes: list[str] | None = None,
) -> dict[str, Any]:
    """The values of a file, by their keys, each of a type its setting takes; not yet read by its kind.

    Args:
        path: of a regular file.
        rows: the settings it may have.
        shown: what messages call the file; `path` when empty.
        origin: what named the file, for a message that it cannot be opened.
        mistakes: gets the message of each key that is not right, which is then left out; None raises the first.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or has a key or a type that is not allowed.
    """
    shown = shown or path
    values = _parse(_contents(path, shown, origin), shown)
    known = {setting.name: setting for setting in rows}
    right: dict[str, Any] = {}
    for key, value in values.items():
        try:
            _check_key(key, value, known, shown)
        except ConfigError as error:
            if mistakes is None:
                raise
            mistakes.append(str(error))
        else:
            right[key] = value
    return right


def _check_key(key: str, value: object, known: Mapping[str, Setting], shown: str) -> None:
    setting = known.get(key)
    if setting is not None:
        check_type(setting, value, f"{shown}:{key}")
    elif isinstance(value, dict):
        but = f" but {_tables(known)}" if _tables(known) else ""
        raise ConfigError(
            f"{shown}: unknown table '{key:.80}'; settings are keys of the top level, without tables{but}"
        )
    else:
        raise ConfigError(unknown_setting(key, known, f"{shown}:"))


def _tables(known: Mapping[str, Setting]) -> str:
    lists = [f"[[{name}]]" for name, setting in known.items() if isinstance(setting.kind, ListOf)]
    sets = [f"[{name}.NAME]" for name, setting in known.items() if isinstance(setting.kind, NamedSet)]
    return ", ".join(lists + sets)


def _contents(path: str, shown: str, origin: str) -> bytes:
    try:
        # Not to wait for a writer, if it is a pipe.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise ConfigError(f"{origin}: a directory, not a file: '{shown}'")
            if not stat.S_ISREG(mode):  # what gives its text only once cannot be read again at a reload
                raise ConfigError(f"{origin}: not a regular file: '{shown}'")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(MAX_FILE + 1)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise ConfigError(f"{origin}: no such file: '{shown}'") from None
    except PermissionError:
        raise ConfigError(f"{origin}: no permission to read this file: '{shown}'") from None
    except OSError as error:
        raise ConfigError(f"{origin}: {error.strerror or 'cannot be read'}: '{shown}'") from None
    if len(data) > MAX_FILE:
        raise ConfigError(f"{origin}: larger than {MAX_FILE} bytes, the most a file of settings may have: '{shown}'")
    return data


def _parse(data: bytes, shown: str) -> dict[str, Any]:
    import tomllib  # brings re

    try:
        # A mark some editors write before the first byte means nothing in UTF-8.
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}:{_line_and_column(data, error.start)}: not UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_error(str(error), text, shown)) from None
    except RecursionError:
        raise ConfigError(f"{shown}: nested too deeply") from None
    except ValueError as error:  # of Python, not of TOML: a number of thousands of digits, a date that does not exist
        raise ConfigError(f"{shown}: a value cannot be read: {error}") from None


def _line_and_column(data: bytes, at: int) -> str:
    begin = data.rfind(b"\n", 0, at) + 1
    return f"{data.count(10, 0, at) + 1}:{len(data[begin:at].decode(errors='replace')) + 1}"


def _syntax_error(message: str, text: str, shown: str) -> str:
    """`site.toml:3:7: Invalid value` from tomllib's `Invalid value (at line 3, column 7)`."""
    what, _, place = message.removesuffix(")").rpartition(" (at ")
    numbers = [word for word in place.replace(",", "").split() if word.isdigit()]
    if len(numbers) == 2:
        return f"{shown}:{numbers[0]}:{numbers[1]}: {what}"
    return f"{shown}:{_line_and_column(text.encode(), len(text.encode()))}: {what or message} (the end of the file)"


def check_type(setting: Setting, value: object, where: str) -> None:
    """Refuse a value of a type that `setting` does not take.

    Args:
        where: what a message calls the setting.

    Raises:
        ConfigError: it does not take it.
    """
    if setting.kind.refers and is_reference(value):
        return
    if type(value) not in setting.kind.typed:
        given = TYPES.get(type(value), "a date or time")
        written = types_of(setting.kind)
        if isinstance(setting.kind, ListOf):
            written = f"tables [[{setting.name}]]"
        elif isinstance(setting.kind, NamedSet):
            written = f"tables [{setting.name}.NAME]"
        allowed = f"{written} ({setting.kind.allowed()})"
        raise ConfigError(f"{where}: {setting.quote(value)} is {given}; allowed: {allowed}")


def types_of(kind: Kind) -> str:
    """What a value of `kind` may be in a file: `an integer or a string`."""
    names = [TYPES[each] for each in TYPES if each in kind.typed]
    return " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
