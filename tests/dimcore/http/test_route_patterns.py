from __future__ import annotations

import pytest

from dimcore.errors import RoutePatternError
from dimcore.http.route_patterns import MAX_DEPTH, MAX_PATTERN_BYTES, read_method, read_pattern


@pytest.mark.parametrize(
    ("pattern", "names", "places"),
    [
        ("/", (), b""),
        ("/users/{id}", ("id",), b"\x01"),
        ("/{a}/x/{b}/", ("a", "b"), b"\x00\x02"),
        ("//a", (), b""),
        ("/with space/é", (), b""),
        ("/{größe}", ("größe",), b"\x00"),
        ("/a:b;c=d,e@f", (), b""),
    ],
)
def test_a_pattern_is_taken_apart(pattern: str, names: tuple[str, ...], places: bytes) -> None:
    assert read_pattern(pattern, True) == (pattern.encode(), names, places)
    assert read_pattern(pattern, False) == (pattern.encode(), names, places)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "users",
        "*",
        "{id}",
        "/a{id}",
        "/{id}b",
        "/{id",
        "/id}",
        "/{}",
        "/{{id}}",
        "/{a}{b}",
        "/{a-b}",
        "/{1}",
        "/{a b}",
        "/{id}/{id}",
        "/a?b",
        "/a#b",
        "/a%20b",
        "/a\x00b",
        "/a\r\nb",
        "/a\x7fb",
        "/\ud800",
    ],
)
def test_what_cannot_be_read_is_named(pattern: str) -> None:
    with pytest.raises(RoutePatternError) as caught:
        read_pattern(pattern, True)
    assert str(caught.value).startswith(repr(pattern))
    assert "\n" not in str(caught.value)


def test_depth_is_bounded_for_what_the_tree_holds() -> None:
    deepest = "/a" * (MAX_DEPTH - 1) + "/{x}"
    assert read_pattern(deepest, True)[2] == bytes([MAX_DEPTH - 1])
    with pytest.raises(RoutePatternError, match=f"more than {MAX_DEPTH} segments"):
        read_pattern("/a" * MAX_DEPTH + "/{x}", True)
    with pytest.raises(RoutePatternError, match="segments"):
        read_pattern("/a" * (MAX_DEPTH + 1), False)
    assert read_pattern("/a" * 1000, True)[0] == b"/a" * 1000


def test_length_is_bounded() -> None:
    assert read_pattern("/" + "a" * (MAX_PATTERN_BYTES - 1), True)
    with pytest.raises(RoutePatternError, match="longer than any request"):
        read_pattern("/" + "a" * MAX_PATTERN_BYTES, True)


@pytest.mark.parametrize("method", ["GET", "get", "M-SEARCH", "X_1", "!#$%&'*+-.^_`|~9"])
def test_a_method_is_a_token(method: str) -> None:
    assert read_method(method) == method.encode("ascii")


@pytest.mark.parametrize("method", ["", " ", "GET ", "G T", "GÉT", "GET\n", "a/b", "a,b", "a:b", '"a"', "\x7f"])
def test_anything_else_is_not(method: str) -> None:
    with pytest.raises(RoutePatternError, match="token"):
        read_method(method)
