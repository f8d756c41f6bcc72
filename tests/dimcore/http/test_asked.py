"""What messages say of a request that is over."""

from __future__ import annotations

import pytest

from dimcore.http.asked import Asked


def test_it_has_the_names_of_a_request() -> None:
    asked = Asked("1f", "GET", "/a?b", "10.0.0.1")
    assert (asked.request_id, asked.method, asked.raw_target, asked.client_ip) == ("1f", "GET", "/a?b", "10.0.0.1")
    with pytest.raises(AttributeError):
        asked.method = "PUT"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Asked("1f", None, "/a?b", None)  # type: ignore[arg-type]
