"""Tables in one line: how a table is written on a command line and in a variable.

    entry = first *( SP word )
    first = the value of the first row, or in a named set the name of the table
    word  = KEY "=" VALUE  |  KEY  |  "no-" KEY         the last two turn a flag on and off

Words are split and quoted as a shell does it: `title="a b"` is one word.

No message repeats a value: it may be a secret.
"""

from __future__ import annotations

from dimserver.config.foreign import near
from dimserver.config.types.text import Flag
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dimserver.config.setting import Setting

__all__ = ["MOST_NAME", "NAME_ALLOWED", "entry_form", "is_name", "join_words", "split_entry", "split_words"]

MOST_NAME = 40  # characters of the name of a table
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
NAME_CHARACTERS = LETTERS | frozenset("0123456789-")
NAME_ALLOWED = f"a name of 1 to {MOST_NAME} small letters, digits and hyphens that begins with a letter"


def split_words(text: str) -> list[str]:
    """The words of an entry, split and quoted as a shell does it; at least one.

    Raises:
        ConfigError: a quotation has no end, or there is nothing.
    """
    from shlex import split  # by those who have entries; it brings re

    try:
        words = split(text)
    except ValueError:
        raise ConfigError("a quotation has no end") from None
    if not words:
        raise ConfigError("an entry is empty")
    return words


def join_words(words: Iterable[str]) -> str:
    """An entry that `split_words` makes these words of."""
    from shlex import join

    return join(words)


def split_entry(text: str, rows: Iterable[Setting], first: str | None, form: str) -> dict[str, object]:
    """The values of an entry, by the names of their rows.

    Args:
        rows: of the table.
        first: the row whose value is the first word; None where every value has its key.
        form: how an entry is written; for the error message.

    Raises:
        ConfigError: it cannot be read; the message does not say where it stands.
    """
    known = {row.name: row for row in rows}
    values: dict[str, object] = {}
    for place, word in enumerate(split_words(text)):
        key, equals, value = word.partition("=")
        if place == 0 and first is not None and not (equals and key in known):
            key, value = first, word
        elif not equals:
            key, value = _flag(word, known, form)
        if key in values:
            raise ConfigError(f"'{key:.80}' is there twice")
        values[key] = value
    return values


def _flag(word: str, rows: Mapping[str, Setting], form: str) -> tuple[str, str]:
    for key, value in ((word, "true"), (word.removeprefix("no-"), "false")):
        row = rows.get(key)
        if row is not None:
            if not isinstance(row.kind, Flag):
                raise ConfigError(f"'{word}' has no value; it is written {key}={row.kind.metavar}")
            return key, value
    shown = "a word" if any(row.kind.secret(word) for row in rows.values()) else f"'{word:.80}'"
    meant = near(word, rows)
    hint = f"did you mean '{meant}'?" if meant else f"allowed: {form}"
    raise ConfigError(f"{shown} is no key; {hint}")


def entry_form(rows: Iterable[Setting], first: str | None) -> str:
    """How an entry is written; arguments as for `split_entry`."""
    words: list[str] = []
    for row in rows:
        if row.name == first:
            words.insert(0, row.kind.metavar)
        else:
            words.append(f"[{row.name}]" if isinstance(row.kind, Flag) else f"[{row.name}={row.kind.metavar}]")
    return " ".join(words)


def is_name(text: str) -> bool:
    """Whether a table of a named set may be called so: what it is called in the environment is one name as well."""
    return text[:1] in LETTERS and text != "" and len(text) <= MOST_NAME and NAME_CHARACTERS.issuperset(text)
