"""Words: what is taken and refused, and how it is shown."""

from __future__ import annotations

import pytest

from dimserver.config.types import Charset, Choice, Flag, Kind, Token

TAKEN: list[tuple[Kind, object, object]] = [
    (Choice("off", "json"), "json", "json"),
    (Flag(), "Yes", True),
    (Flag(), "off", False),
    (Flag(), True, True),
    (Token(), "abc-._~+/=", "abc-._~+/="),
    (Token(), "", None),
    (Charset(), "ISO_8859-1:1987", "ISO_8859-1:1987"),
    (Charset(), "", None),
]

REFUSED: list[tuple[Kind, object]] = [
    (Choice("off", "json"), "JSON"),
    (Choice("off", "json"), 3),
    (Flag(), "maybe"),
    (Flag(), 1),
    (Token(), "two words"),
    (Charset(), "utf-8; a=b"),
    (Charset(), "-"),
    (Charset(), "a" * 41),
    (Charset(), 'utf"8'),
    (Charset(), "ключ"),
    (Token(), "=" * 3),
    (Token(), "ключ"),
    (Token(), "a" * 5000),
]

SHOWN: list[tuple[Kind, object, str]] = [
    (Flag(), True, "on"),
    (Token(), "secret", "set"),
]


@pytest.mark.parametrize(("kind", "given", "value"), TAKEN)
def test_taken(kind: Kind, given: object, value: object) -> None:
    read = kind.read(given)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("kind", "given"), REFUSED)
def test_refused(kind: Kind, given: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller writes the message
        kind.read(given)
    assert kind.allowed()


@pytest.mark.parametrize(("kind", "value", "text"), SHOWN)
def test_shown(kind: Kind, value: object, text: str) -> None:
    assert kind.show(value) == text
