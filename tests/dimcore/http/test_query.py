"""Percent-escapes, form-encoded pairs and cookies, through the request that carries them."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from dimcore import QueryParams, RequestPoint


def query(text: str) -> QueryParams:
    return RequestPoint(path="/?" + text).query_params


def test_first_value_all_values_and_order() -> None:
    params = query("a=1&b=2&a=3&&c&=d")
    assert params == {"a": "1", "b": "2", "c": "", "": "d"}
    assert params.getall("a") == ["1", "3"]
    assert params.getall("missing") == []
    assert params.pairs == [("a", "1"), ("b", "2"), ("a", "3"), ("c", ""), ("", "d")]


def test_escapes_are_decoded_once_and_broken_ones_stay() -> None:
    assert query("a=%2541&b=%4&c=%zz&d=1+2%2B3&e=%FF") == {
        "a": "%41",
        "b": "%4",
        "c": "%zz",
        "d": "1 2+3",
        "e": "�",
    }


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=8))
def test_agrees_with_the_standard_library(pairs: list[tuple[str, str]]) -> None:
    pairs = [(k.encode("utf-8", "replace").decode(), v.encode("utf-8", "replace").decode()) for k, v in pairs]
    text = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    # A pair without name and value is "=" on the wire, which the library keeps as well.
    assert query(text).pairs == parse_qsl(text, keep_blank_values=True, max_num_fields=100)


def test_cookies() -> None:
    request = RequestPoint(headers=[("Cookie", 'a=1; b="two"; a=3; junk; =x'), ("Cookie", "c=4=5")])
    assert request.cookies == {"a": "1", "b": "two", "c": "4=5"}


def test_cookies_lose_no_byte_that_only_looks_blank() -> None:
    # UTF-8's "à" ends with what Latin-1 calls a no-break space, its "Å" with a line end.
    line = "\t v = voilà\t; Å= Å ".encode()
    cookies = RequestPoint(headers=[("Cookie", line.decode("latin-1"))]).cookies
    assert {name.encode("latin-1").decode(): value.encode("latin-1").decode() for name, value in cookies.items()} == {
        "v": "voilà",
        "Å": "Å",
    }
