"""Numbers: counts, times, sizes, permissions."""

from __future__ import annotations

from dimserver.config.types.base import Kind, Types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["HOUR", "MINUTE", "SECOND", "Duration", "GiB", "Integer", "KiB", "MiB", "Mode", "Size", "Threads", "Workers"]

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

SECOND = 1.0
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def _digits(text: str) -> int:
    # int() also takes "1_000", " 7 " and the digits of other scripts: none of them is meant by anybody.
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError
    return int(text)


def _decimal(text: str) -> float:
    whole, point, fraction = text.partition(".")
    if point and not (fraction.isascii() and fraction.isdigit() and len(fraction) <= 9):
        raise ValueError
    return float(_digits(whole)) if not point else float(f"{_digits(whole)}.{fraction}")


class Integer(Kind):
    """A whole number from `low` to `high`."""

    type = "integer"
    metavar = "N"
    typed: Types = (int,)
    python = "int | str"

    def __init__(
        self, low: int, high: int, unit: str = "", *, optional: bool = False, zero: str = "", note: str = ""
    ) -> None:
        self.low = low
        self.high = high
        self.unit = unit
        self.optional = optional
        self.zero = zero  # what 0 means, where it is not a number like the others
        self.note = note  # why the range is what it is, where a user may expect more

    def parse(self, text: str) -> object:
        return self.check(_digits(text))

    def check(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError
        return value

    def allowed(self) -> str:
        numbers = f"{self.low} only" if self.low == self.high else f"a whole number from {self.low} to {self.high}"
        zero = f"0: {self.zero}" if self.zero else ""
        remark = self.note or zero
        return f"{numbers} ({remark})" if remark else numbers

    def show(self, value: Any) -> str:
        return f"{value} ({self.zero})" if value == 0 and self.zero else super().show(value)


class Workers(Integer):
    """How many worker processes; `auto` is 0."""

    metavar = "N|auto"
    typed = (int, str)
    word = "auto"

    def __init__(self) -> None:
        super().__init__(0, 512, "processes")

    def parse(self, text: str) -> object:
        if text == self.word:
            return 0
        number = super().parse(text)
        if number == 0:
            raise ValueError
        return number

    def allowed(self) -> str:
        return f"a whole number from 1 to {self.high}, or {self.word}"

    def show(self, value: Any) -> str:
        return super().show(value) if value else self.word


class Threads(Integer):
    """How many threads; `auto` is None."""

    metavar = "N|auto"
    typed = (int, str)
    word = "auto"

    def __init__(self) -> None:
        super().__init__(0, 1024, "threads")

    def read(self, value: object) -> object:
        return None if value is None or value == self.word else super().read(value)

    def allowed(self) -> str:
        return f"a whole number from 0 to {self.high}, or {self.word}"

    def show(self, value: Any) -> str:
        return self.word if value is None else super().show(value)


class _Suffixed(Kind):
    """A number with an optional unit; without one it counts `unit`."""

    suffixes: tuple[tuple[str, float], ...] = ()  # lower case, longest first

    def __init__(self, low: float, high: float, *, optional: bool = False) -> None:
        self.low = low
        self.high = high
        self.optional = optional

    def number(self, text: str) -> float:
        lowered = text.strip().lower()
        for suffix, factor in self.suffixes:
            if lowered.endswith(suffix):
                return _decimal(lowered[: -len(suffix)].rstrip()) * factor
        return _decimal(lowered)

    def allowed(self) -> str:
        return f"{self.show(self.low)} to {self.show(self.high)}"


# What people write for the units, longest first.
WORDS = (
    ("milliseconds", "ms"), ("seconds", "s"), ("minutes", "m"), ("minute", "m"), ("second", "s"), ("hours", "h"),
    ("hour", "h"), ("mins", "m"), ("secs", "s"), ("msec", "ms"), ("min", "m"), ("sec", "s"), ("hrs", "h"), ("hr", "h"),
)  # fmt: skip


def _is_number(text: str) -> bool:
    try:
        _decimal(text)
    except ValueError:
        return False
    return True


class Duration(_Suffixed):
    """Seconds as float; text may say `500ms`, `10s`, `5m` or `1h`."""

    type = "duration"
    unit = "seconds"
    metavar = "SECONDS"
    typed = (int, float, str)
    python = "float | str"
    suffixes = (("ms", SECOND / 1000), ("s", SECOND), ("m", MINUTE), ("h", HOUR))

    def parse(self, text: str) -> object:
        return self.check(self.number(text))

    def check(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise ValueError  # a NaN fails the comparison too
        return float(value)

    def allowed(self) -> str:
        return f"{super().allowed()} (a number of seconds, or with a unit: ms, s, m, h)"

    def hint(self, value: object) -> str:
        text = value.strip().lower() if isinstance(value, str) else ""
        for word, unit in WORDS:
            if text.endswith(word) and _is_number(text.removesuffix(word).strip()):
                return f"; did you mean {text.removesuffix(word).strip()}{unit}?"
        return ""

    def show(self, value: Any) -> str:
        return f"{value * 1000:g} ms" if 0 < value < 1 else f"{value:.9g} s"


class Size(_Suffixed):
    """Bytes as int; text may say `16MiB`, `16M`, `512KiB` or `512k` (powers of 1024)."""

    type = "size"
    unit = "bytes"
    metavar = "BYTES"
    typed = (int, str)
    python = "int | str"
    suffixes = (
        ("kib", KiB),
        ("mib", MiB),
        ("gib", GiB),
        ("k", KiB),
        ("m", MiB),
        ("g", GiB),
        ("b", 1),
    )

    def parse(self, text: str) -> object:
        number = self.number(text)
        if number != int(number):
            raise ValueError
        return self.check(int(number))

    def check(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError
        return value

    def allowed(self) -> str:
        return f"{super().allowed()} (a number of bytes, or with a unit: B, KiB, MiB, GiB, or K, M, G for short)"

    def hint(self, value: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if text[-2:].lower() in ("kb", "mb", "gb"):
            binary = f"{text[:-2].rstrip()}{text[-2].upper()}iB"
            try:
                self.parse(binary)
            except ValueError:
                return ""
            return f"; did you mean {binary}?"
        return ""

    def show(self, value: Any) -> str:
        if value is None:
            return "none"
        for name, factor in (("GiB", GiB), ("MiB", MiB), ("KiB", KiB)):
            if value and value % factor == 0:
                return f"{value // factor} {name}"
        return f"{value} B"


class Mode(Kind):
    """Permissions of a file as int; text is octal, with or without a prefix: `660`, `0660` or `0o660`.

    In a TOML file it is text: of a bare 440 nobody could say whether it was meant in tens or in eights.
    """

    type = "mode"
    unit = "octal"
    metavar = "MODE"
    python = "int | str"

    def parse(self, text: str) -> object:
        digits = text[2:] if text[:2] in ("0o", "0O") else text
        if not (3 <= len(digits) <= 4 and all(c in "01234567" for c in digits)):
            raise ValueError
        return self.check(int(digits, 8))

    def check(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
            raise ValueError
        return value

    def allowed(self) -> str:
        return "permissions in octal from 000 to 777, for example 0660"

    def show(self, value: Any) -> str:
        return f"{value:04o}"
