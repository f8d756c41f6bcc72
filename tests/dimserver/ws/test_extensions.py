"""The grammar of Sec-WebSocket-Extensions."""

from __future__ import annotations

import pytest

from dimserver.ws.extensions import parse_offers


def read(text: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return [(offer.name, offer.parameters) for offer in parse_offers(text)]


@pytest.mark.parametrize(
    ("text", "offers"),
    [
        ("", []),
        ("foo", [("foo", [])]),
        ("Foo;Bar", [("foo", [("bar", None)])]),
        ("foo; a=1;b = 2 ;c", [("foo", [("a", "1"), ("b", "2"), ("c", None)])]),
        ('foo; a="1"', [("foo", [("a", "1")])]),
        ('foo; a="x\\"y"', [("foo", [("a", 'x"y')])]),
        ("foo , bar;x, baz", [("foo", []), ("bar", [("x", None)]), ("baz", [])]),
        (",", []),
        (" ,\t, foo ,, bar;x , ,", [("foo", []), ("bar", [("x", None)])]),
        (
            "permessage-deflate; client_max_window_bits",
            [("permessage-deflate", [("client_max_window_bits", None)])],
        ),
    ],
)
def test_lists(text: str, offers: list[tuple[str, list[tuple[str, str | None]]]]) -> None:
    assert read(text) == offers


@pytest.mark.parametrize(
    "text",
    [";", "foo;", "foo;;a", "foo bar", "foo; a=", 'foo; a="1', "foo; =1", "foo,;a", "f\xf6o", "foo; a=1 2", "(foo)"],
)
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        parse_offers(text)


def test_limits() -> None:
    assert len(parse_offers(",".join(["a"] * 16))) == 16
    with pytest.raises(ValueError, match="malformed"):
        parse_offers(",".join(["a"] * 17))
    assert len(parse_offers("a" + ";b" * 16)[0].parameters) == 16
    with pytest.raises(ValueError, match="more than 16 parameters"):
        parse_offers("a" + ";b" * 17)
    with pytest.raises(ValueError, match="1025 characters"):
        parse_offers("a" * 1025)
