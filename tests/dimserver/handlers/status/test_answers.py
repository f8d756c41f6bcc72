"""The form of the answers."""

from __future__ import annotations

from dimserver.handlers.status.answers import answer, forbidden, text


def test_json_that_nobody_keeps() -> None:
    status, headers, body = answer(200, {"a": [1, "ü"]})
    assert (status, body) == (200, b'{"a":[1,"\\u00fc"]}\n')
    assert headers == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    headers["x"] = "y"
    assert "x" not in answer(200, {})[1]


def test_text() -> None:
    status, headers, body = text(503, "draining")
    assert (status, body, headers["Content-Type"]) == (503, b"draining\n", "text/plain; charset=utf-8")
    assert headers["Cache-Control"] == "no-store"


def test_forbidden() -> None:
    assert forbidden("why")[0] == 403
    assert b"why" in forbidden("why")[2]
