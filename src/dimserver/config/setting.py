"""One setting: its name, its kind, its default, and why."""

from __future__ import annotations

from dimserver.errors import ConfigError
from dimserver.kinds import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dimserver.kinds import Kind

__all__ = ["Setting", "did_you_mean"]


class Setting:
    """One row of the table.

    Attributes:
        group: the heading it is listed under.
        name: as on the command line without the dashes, for example `limit-head`.
        kind: how its value is read, checked and shown.
        default: the value it has when nobody gives one.
        what: what it does; one sentence.
        reason: why the default is what it is.
        attribute: its name in Python, for example `limit_head`.
        option: its name on the command line, for example `--limit-head`.
    """

    __slots__ = ("attribute", "default", "group", "kind", "name", "option", "reason", "what")

    def __init__(self, group: str, name: str, kind: Kind, default: object, what: str, reason: str) -> None:
        self.group = group
        self.name = name
        self.kind = kind
        self.default = default
        self.what = what
        self.reason = reason
        self.attribute = name.replace("-", "_")
        self.option = "--" + name

    def read(self, value: object, spelled: str) -> object:
        """The typed value of this setting.

        Args:
            value: text or a typed value, as the source has it.
            spelled: what the source calls this setting; for the error message.

        Raises:
            ConfigError: not a value of this setting.
        """
        try:
            return self.kind.read(value)
        except ValueError:
            pass
        shown = "the value given" if isinstance(self.kind, Token) else _quoted(value)
        raise ConfigError(f"{spelled}: {shown} is not allowed; allowed: {self.kind.allowed()}")

    def show_default(self) -> str:
        """The default as a user would write it."""
        return self.kind.show(self.default)


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:60] + "…" + text[-10:]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word nearest to `word`, or an empty text."""
    import difflib  # needed for mistakes only, and it brings re

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
