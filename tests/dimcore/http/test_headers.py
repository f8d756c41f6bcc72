"""Header fields: a case-insensitive multi-mapping over the bytes they came in."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimcore import Headers, RequestPoint, UsageError, parse_request


def get(*lines: str, target: str = "/") -> RequestPoint:
    """A GET with these header lines."""
    text = "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/1.1", "Host: h", *lines, ""))
    result = parse_request(text.encode("latin-1"))
    assert result is not None
    return result[0]


def test_headers_are_a_multimapping() -> None:
    headers = get("X-A: 1", "Other: o", "x-a: 2", "X-a:").headers
    assert headers["X-A"] == headers["x-a"] == headers.get("X-a") == "1"
    assert headers.getall("x-A") == ["1", "2", ""]
    assert headers.getall("none") == []
    assert headers.get("none") is None
    assert headers.get("none", "d") == "d"
    with pytest.raises(KeyError, match="none"):
        headers["none"]
    assert "OTHER" in headers
    assert "none" not in headers
    assert 5 not in headers
    assert len(headers) == 5
    assert list(headers) == headers.keys() == ["host", "x-a", "other"]
    assert headers.values() == ["h", "1", "o", "2", ""]
    assert headers.items() == [("host", "h"), ("x-a", "1"), ("other", "o"), ("x-a", "2"), ("x-a", "")]
    assert headers.to_dict() == headers == {"host": "h", "x-a": "1, 2, ", "other": "o"}
    assert headers == get("X-A: 1", "Other: o", "x-a: 2", "X-a:").headers
    assert headers != get().headers
    assert headers != 5
    assert repr(get().headers) == "Headers([('host', 'h')])"


def test_header_values_are_latin_1() -> None:
    assert get("A: \xe4\xff").headers["a"] == "\xe4\xff"


@pytest.mark.parametrize("name", ["\xe4", "h\xf6st", "\u0130", "\ud800", "\u212a", ""])
def test_names_that_no_field_can_have(name: str) -> None:
    headers = get("K: v").headers
    assert name not in headers
    assert headers.get(name) is None
    assert headers.getall(name) == []


def test_names_that_differ_only_in_bit_5() -> None:
    # Folding by `| 0x20` would take one for the other.
    headers = get("A^: 1", "A~: 2", "A@".replace("@", "`") + ": 3").headers
    assert (headers["a^"], headers["a~"], headers["a`"]) == ("1", "2", "3")


def test_cookies_of_several_fields_join_with_a_semicolon() -> None:
    assert get("Cookie: a=1", "Cookie: b=2").headers.to_dict()["cookie"] == "a=1; b=2"


def test_headers_cannot_be_made_or_hashed() -> None:
    with pytest.raises(UsageError):
        Headers()
    with pytest.raises(TypeError):
        hash(get().headers)


def test_headers_keep_their_request() -> None:
    headers = get("A: b").headers
    gc.collect()
    assert headers["a"] == "b"


@given(st.lists(st.from_regex(r"[A-Za-z0-9-]{1,45}", fullmatch=True), max_size=20))
def test_names_come_out_in_lower_case(names: list[str]) -> None:
    names = [name for name in names if name.lower() not in ("host", "content-length", "transfer-encoding", "expect")]
    request = RequestPoint(headers=[(name, "v") for name in names])
    assert [name for name, _ in request.headers.items()] == [name.lower() for name in names]
