"""The list of a Sec-WebSocket-Extensions field (RFC 6455 9.1), read strictly."""

from __future__ import annotations

import re

__all__ = ["Offer", "parse_offers"]

WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
OWS = r"[ \t]*"
PARAMETER = re.compile(rf'{OWS};{OWS}({WORD})(?:{OWS}={OWS}(?:({WORD})|"((?:[^"\\]|\\.)*)"))?')
EXTENSION = re.compile(rf"{OWS}({WORD})")
SEPARATOR = re.compile(rf"(?:{OWS},)+{OWS}|{OWS}\Z")  # elements of a list may be empty (RFC 9110 5.6.1.2)
EMPTY = re.compile(rf"(?:{OWS},)*{OWS}")

MOST = 16  # extensions, and parameters of one: a browser offers one with one
MOST_TEXT = 1024  # characters


class Offer:
    """One extension that a client offers.

    Attributes:
        name: in lower case.
        parameters: name and value in order; the value is None where there is none.
    """

    __slots__ = ("name", "parameters")

    def __init__(self, name: str, parameters: list[tuple[str, str | None]]) -> None:
        self.name = name
        self.parameters = parameters


def parse_offers(text: str) -> list[Offer]:
    """Read a list of extensions.

    Args:
        text: the field's value; several fields joined by commas.

    Raises:
        ValueError: it is not of the grammar, or longer than anybody needs.
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"Sec-WebSocket-Extensions has {len(text)} characters; at most {MOST_TEXT} are allowed")
    offers: list[Offer] = []
    at = EMPTY.match(text).end()  # type: ignore[union-attr]  # it matches nothing as well
    while at < len(text):
        found = EXTENSION.match(text, at)
        if found is None or len(offers) == MOST:
            raise ValueError(f"Sec-WebSocket-Extensions is malformed from character {at} on")
        at = found.end()
        parameters: list[tuple[str, str | None]] = []
        while (parameter := PARAMETER.match(text, at)) is not None:
            name, token, quoted = parameter.groups()
            # What is in quotes must be a token once they are gone, so an escape in it is never needed.
            parameters.append((name.lower(), token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
            at = parameter.end()
            if len(parameters) > MOST:
                raise ValueError(f"Sec-WebSocket-Extensions has an extension with more than {MOST} parameters")
        offers.append(Offer(found[1].lower(), parameters))
        separator = SEPARATOR.match(text, at)
        if separator is None:
            raise ValueError(f"Sec-WebSocket-Extensions is malformed from character {at} on")
        at = separator.end()
    return offers
