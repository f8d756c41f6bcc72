"""Words: a choice, a switch, a secret, the name of an app."""

from __future__ import annotations

from dimserver.config.types.base import Kind
from dimserver.config.types.numbers import KiB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Charset", "Choice", "FieldName", "Flag", "Target", "Token"]


class Choice(Kind):
    """One of a few words."""

    type = "choice"

    def __init__(self, *words: str) -> None:
        self.words = words
        self.metavar = "|".join(words)

    def parse(self, text: str) -> object:
        if text not in self.words:
            raise ValueError
        return text

    def allowed(self) -> str:
        return ", ".join(self.words)


class Flag(Kind):
    """On or off."""

    type = "flag"
    metavar = ""
    typed = (bool,)
    python = "bool | str"

    def parse(self, text: str) -> object:
        lowered = text.lower()
        if lowered in ("1", "true", "yes", "on"):
            return True
        if lowered in ("0", "false", "no", "off"):
            return False
        raise ValueError

    def check(self, value: object) -> object:
        if not isinstance(value, bool):
            raise ValueError
        return value

    def allowed(self) -> str:
        return "true or false"

    def show(self, value: Any) -> str:
        return "none" if value is None else "on" if value else "off"


class Token(Kind):
    """A bearer token in the alphabet of RFC 6750 section 2.1 (`b64token`), or none."""

    type = "secret"
    metavar = "TOKEN"
    optional = True

    def parse(self, text: str) -> object:
        bare = text.rstrip("=")
        if not bare or not text.isascii() or len(text) > 4 * KiB:
            raise ValueError
        if not all(c.isalnum() or c in "-._~+/" for c in bare):
            raise ValueError
        return text

    def allowed(self) -> str:
        return "letters, digits and - . _ ~ + /, then = signs"

    def secret(self, value: object) -> bool:  # noqa: ARG002 - whatever it is
        return True

    def show(self, value: Any) -> str:
        return "none" if value is None else "set"


class Target(Kind):
    """What is served: `module[:attribute]` or `path/file.py[:attribute]`; looked at when it is loaded."""

    type = "app"
    metavar = "APP"
    refers = False  # `env:app` is the attribute of a module

    def parse(self, text: str) -> object:
        if len(text) > 4 * KiB or not text.strip():
            raise ValueError
        return text

    def allowed(self) -> str:
        return "module[:attribute] or path/file.py[:attribute]"


class FieldName(Kind):
    """The name of a header field (RFC 9110 section 5.1), or none."""

    type = "header"
    metavar = "NAME"
    optional = True

    def parse(self, text: str) -> object:
        if not text.isascii() or len(text) > 64 or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in text):
            raise ValueError
        return text

    def allowed(self) -> str:
        return "the name of a header, up to 64 letters, digits and !#$%&'*+-.^_`|~"


class Charset(Kind):
    """The name of a character set (RFC 2978 section 2.3), or none; whether anybody knows it is not looked up."""

    type = "charset"
    metavar = "NAME"
    optional = True

    def parse(self, text: str) -> object:
        if not text.isascii() or len(text) > 40 or not text[:1].isalnum():
            raise ValueError
        if not all(c.isalnum() or c in "._:+-" for c in text):
            raise ValueError
        return text

    def allowed(self) -> str:
        return "the name of a charset, like utf-8: up to 40 letters, digits and . _ : + -"
