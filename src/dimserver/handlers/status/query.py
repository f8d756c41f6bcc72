"""The parameters of the built-in endpoints."""

from __future__ import annotations

from math import isfinite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["BadParameter", "Query"]


class BadParameter(Exception):
    """A parameter that is not one, or whose value is not allowed.

    Attributes:
        report: what to tell the client.
    """

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(name)
        self.report = {
            "error": "bad parameter",
            "parameter": name[:100],
            "value": value[:100],
            "allowed": allowed,
        }


class Query:
    """The parameters of a query string; anything doubtful is refused, not guessed.

    Args:
        pairs: decoded names and values.
        known: the names there are.

    Attributes:
        empty: whether there is none.

    Raises:
        BadParameter: an unknown name, or one given twice.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], known: tuple[str, ...]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            if name not in known:
                raise BadParameter(name, value, "no such parameter; these are: " + ", ".join(known))
            if name in self._values:
                raise BadParameter(name, value, "once")
            self._values[name] = value
        self.empty = not self._values

    def integer(self, name: str, low: int, high: int, default: Any = None) -> Any:
        """A whole number of a range, or `default` where it is not given.

        Raises:
            BadParameter: it is not one.
        """
        value = self._values.get(name)
        if value is None:
            return default
        # Not int(): it also takes "1_0", " 1" and the digits of every script.
        if not (value.isascii() and value.isdigit() and len(value) <= 9 and low <= int(value) <= high):
            raise BadParameter(name, value, f"a whole number from {low} to {high}")
        return int(value)

    def text(self, name: str, most: int) -> str | None:
        """Some text, or None where it is not given.

        Raises:
            BadParameter: it is longer than `most` characters.
        """
        value = self._values.get(name)
        if value is not None and len(value) > most:
            raise BadParameter(name, value, f"at most {most} characters")
        return value

    def choice(self, name: str, words: tuple[str, ...], default: str) -> str:
        """One of some words, or `default` where it is not given.

        Raises:
            BadParameter: it is none of them.
        """
        value = self._values.get(name, default)
        if value not in words:
            raise BadParameter(name, value, ", ".join(words))
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number, or `default` where it is not given.

        Raises:
            BadParameter: it is not one.
        """
        value = self._values.get(name)
        if value is None:
            return default
        if value and len(value) <= 40 and not value.strip("0123456789.eE+-"):
            try:
                number = float(value)
            except ValueError:
                pass
            else:
                if isfinite(number):  # "1e999" is infinity
                    return number
        raise BadParameter(name, value, "a finite decimal number")
