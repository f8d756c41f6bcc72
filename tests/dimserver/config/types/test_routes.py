"""Patterns and methods as tables name them."""

from __future__ import annotations

import pytest

from dimserver.config.types import Method, RoutePattern


@pytest.mark.parametrize("text", ["/", "/*", "/a", "/a/", "/a/*", "/users/{id}", "/users/{id}/*", "/größe"])
def test_patterns(text: str) -> None:
    assert RoutePattern().read(text) == text


@pytest.mark.parametrize(
    "text", ["", "a", "*", "a/*", "/a*", "/*/a", "/a/**", "/a?b", "/%41", "/{a", "/{a}/{a}", "/a{b}", "/a\0b", "/a b\n"]
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whoever catches it writes the message
        RoutePattern().read(text)


def test_methods() -> None:
    method = Method()
    for text in ("GET", "PROPFIND", "M-SEARCH", "*"):
        assert method.read(text) == text
    for text in ("", "get", "Get", "GET POST", "GET,POST", "G" * 33, "É"):
        with pytest.raises(ValueError):  # noqa: PT011
            method.read(text)
    assert method.hint("post") == "; did you mean 'POST'?"
    assert method.hint("GET,POST") == ""
