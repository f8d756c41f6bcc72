"""One setting: its name, its kind, its default, and why."""

from __future__ import annotations

from dimserver.config.references import is_reference
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dimserver.config.references import References
    from dimserver.config.types import Kind

__all__ = ["PREFIX", "Setting", "did_you_mean"]

PREFIX = "DIMSERVER_"  # of the variables of the environment


class Setting:
    """One row of the table.

    Attributes:
        group: the heading it is listed under.
        name: as on the command line without the dashes, for example `limit-head`.
        kind: how its value is read, checked and shown.
        default: the value it has when nobody gives one.
        what: what it does; one sentence.
        reason: why the default is what it is.
        fixed: whether its value stays as it was at the start: a reload does not change it.
        required: whether each table must have it; a row of a table only.
        attribute: its name in Python, for example `limit_head`.
        option: its name on the command line, for example `--limit-head`.
        variable: its name in the environment, for example `DIMSERVER_LIMIT_HEAD`.
    """

    __slots__ = (
        "attribute", "default", "fixed", "group", "kind", "name", "option", "reason", "required", "variable", "what",
    )  # fmt: skip

    def __init__(
        self,
        group: str,
        name: str,
        kind: Kind,
        default: object,
        what: str,
        reason: str,
        *,
        fixed: bool = False,
        required: bool = False,
    ) -> None:
        self.group = group
        self.name = name
        self.kind = kind
        self.default = default
        self.what = what
        self.reason = reason
        self.fixed = fixed
        self.required = required
        self.attribute = name.replace("-", "_")
        self.option = "--" + name
        self.variable = PREFIX + self.attribute.upper()

    def read(self, value: object, spelled: str, references: References | None = None) -> object:
        """The typed value of this setting.

        Args:
            value: text or a typed value, as the source has it.
            spelled: what the source calls this setting; for the error message.
            references: looks up a value that stands somewhere else; None takes every text as it is.

        Raises:
            ConfigError: not a value of this setting, or a reference to nothing.
        """
        shown = ""
        if references is not None and self.kind.refers and is_reference(value):
            reference = str(value)
            value = references.look_up(reference, spelled)
            shown = f"the value of '{reference:.80}'"  # never the value: it may be another secret by mistake
        try:
            return self.kind.read(value)
        except ValueError:
            pass
        hint = "" if shown or self.kind.secret(value) else self.kind.hint(value)
        shown = shown or self.quote(value)
        raise ConfigError(f"{spelled}: {shown} is not allowed; allowed: {self.kind.allowed()}{hint}")

    def quote(self, value: object) -> str:
        """`value`, right or wrong, as a message may repeat it: shortened, and never a secret."""
        if self.kind.secret(value):
            return "the value given"
        text = repr(value)
        return text if len(text) <= 80 else text[:60] + "…" + text[-10:]

    def show_default(self) -> str:
        """The default as a user would write it."""
        return self.kind.show(self.default)


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`; did you mean 'x'?` for the known word nearest to `word`, or an empty text.

    Args:
        word: what was written; upper and lower case count alike.
        known: what could have been meant.
        prefix: what a user writes before each of them.
    """
    import difflib  # needed for mistakes only, and it brings re

    words = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    return f"; did you mean '{prefix}{words[near[0]]}'?" if near else ""
