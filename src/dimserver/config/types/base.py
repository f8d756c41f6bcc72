"""What every kind of value has in common."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Kind"]

Types = tuple[type, ...]  # named here: in the class, `type` is an attribute


class Kind:
    """One kind of value.

    Attributes:
        type: its name in `dimserver config`.
        unit: what a bare number counts, or "".
        metavar: how help text writes the value.
        optional: whether the empty text (and None) unset it.
        typed: what it may be in a TOML file.
        python: the type of what a program may give, text always among it; for type checkers.
        refers: whether a text may say where the value is, as `env:NAME` or `file:PATH`.
    """

    type = "text"
    unit = ""
    metavar = "TEXT"
    optional = False
    typed: Types = (str,)
    python = "str"
    refers = True

    def read(self, value: object) -> object:
        """The typed value.

        Args:
            value: text, or a value of the right type already.

        Raises:
            ValueError: it is neither; `allowed` says what would be.
        """
        if self.optional and (value is None or value == ""):
            return None
        if isinstance(value, str):
            return self.parse(value)
        return self.check(value)

    def parse(self, text: str) -> object:
        """Typed value of a text, or ValueError."""
        raise NotImplementedError

    def check(self, value: object) -> object:
        """`value` if it is of this kind and within range, or ValueError."""
        raise ValueError(value)

    def allowed(self) -> str:
        """What `read` takes, as it stands in an error message."""
        raise NotImplementedError

    def hint(self, value: object) -> str:
        """What to write instead of this wrong value, as the end of a message; empty where nobody can tell."""
        del value
        return ""

    def show(self, value: Any) -> str:
        """`value` as a user would write it."""
        return "none" if value is None else str(value)

    def secret(self, value: object) -> bool:
        """Whether `value`, right or wrong, may hold what no message is to repeat."""
        del value
        return False

    def resolve(self, value: Any, directory: str) -> object:
        """`value` with a relative path in it made absolute; other values as they are.

        Args:
            value: as `read` returned it.
            directory: absolute; what a relative path starts from.
        """
        del directory
        return value
