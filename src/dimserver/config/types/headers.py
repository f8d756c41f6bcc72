"""A field that the server adds to answers: its name, and its value."""

from __future__ import annotations

from dimserver.config.types.base import Kind
from dimserver.config.types.numbers import KiB
from dimserver.config.types.text import FieldName

__all__ = ["AddedFieldName", "FieldValue"]


class AddedFieldName(FieldName):
    """The name of a field that may be added to an answer."""

    optional = False

    def parse(self, text: str) -> object:
        from dimcore.http1.framing_fields import is_framing_field  # needed by those who have such tables alone

        if not text or is_framing_field(text):
            raise ValueError
        return super().parse(text)

    def allowed(self) -> str:
        from dimcore.http1.framing_fields import FRAMING_FIELDS

        return f"{super().allowed()}; none that the server sets itself: {', '.join(sorted(FRAMING_FIELDS))}"


class FieldValue(Kind):
    """The value of a field: what RFC 9110 section 5.5 has for new fields, without spaces around it; may be empty."""

    type = "field value"
    metavar = "VALUE"

    def parse(self, text: str) -> object:
        text = text.strip(" \t")
        if len(text) > 4 * KiB or not all(" " <= c <= "~" or c == "\t" for c in text):
            raise ValueError
        return text

    def allowed(self) -> str:
        return "up to 4096 printable characters of ASCII, spaces and tabs, in one line"
