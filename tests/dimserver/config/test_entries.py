"""Tables in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimserver.config import Setting
from dimserver.config.entries import MOST_NAME, entry_form, is_name, join_words, split_entry, split_words
from dimserver.config.types import Flag, Integer, Path
from dimserver.errors import ConfigError

ROWS = (
    Setting("G", "size", Integer(1, 9), 1, "What.", "Why."),
    Setting("G", "url", Path("URL"), None, "What.", "Why."),
    Setting("G", "log", Flag(), False, "What.", "Why."),
    Setting("G", "no-ice", Flag(), False, "What.", "Why."),
)


def split(entry: str, first: str | None = "url") -> dict[str, object]:
    return split_entry(entry, ROWS, first, "FORM")


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        ("/u", {"url": "/u"}),
        ("  /u\t size=2 \r\n", {"url": "/u", "size": "2"}),
        ("url=/u log", {"url": "/u", "log": "true"}),
        ("size=2 url=/u", {"url": "/u", "size": "2"}),
        ("/u no-log no-ice", {"url": "/u", "log": "false", "no-ice": "true"}),
        ("/u no-no-ice", {"url": "/u", "no-ice": "false"}),
        ("/u log=off", {"url": "/u", "log": "off"}),
        ("'/a b' x='y = z'", {"url": "/a b", "x": "y = z"}),
        ('"/a\\"b" x="it\'s"', {"url": '/a"b', "x": "it's"}),
        ("/a\\ b", {"url": "/a b"}),
        ("/a=b", {"url": "/a=b"}),
        ("log", {"url": "log"}),
        ("/u x=", {"url": "/u", "x": ""}),
        ("/u x=a=b", {"url": "/u", "x": "a=b"}),
        ("/u #=1", {"url": "/u", "#": "1"}),
    ],
)
def test_entries(entry: str, values: dict[str, str]) -> None:
    assert split(entry) == values


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("", "an entry is empty"),
        (" \n", "an entry is empty"),
        ("/u 'x", "a quotation has no end"),
        ("/u \\", "a quotation has no end"),
        ("/u size", "'size' has no value; it is written size=N"),
        ("/u no-size", "'no-size' has no value; it is written size=N"),
        ("/u lgo", "'lgo' is no key; did you mean 'log'?"),
        ("/u # comment", "'#' is no key; allowed: FORM"),
        ("/u log log=off", "'log' is there twice"),
        ("/u url=/v", "'url' is there twice"),
    ],
)
def test_what_is_none(entry: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split(entry)
    assert str(caught.value) == message


def test_where_every_value_has_its_key() -> None:
    assert split("size=1 log", None) == {"size": "1", "log": "true"}
    with pytest.raises(ConfigError, match="'/u' is no key"):
        split("/u", None)


@given(st.lists(st.text(), min_size=1))
def test_words_come_back(words: list[str]) -> None:
    assert split_words(join_words(words)) == words


def test_forms() -> None:
    assert entry_form(ROWS, "url") == "URL [size=N] [log] [no-ice]"
    assert entry_form(ROWS, None) == "[size=N] [url=URL] [log] [no-ice]"


def test_names() -> None:
    for name in ("a", "main", "my-db-2", "a" * MOST_NAME):
        assert is_name(name)
    for name in ("", "A", "2a", "-a", "a_b", "a.b", "\u00e9", "a b", "a" * (MOST_NAME + 1)):
        assert not is_name(name)
