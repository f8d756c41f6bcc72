"""The form of the answers."""

from __future__ import annotations

import json

import pytest

from dimserver.handlers.status.json_answer import answer, forbidden, listed, text


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


@pytest.mark.parametrize("content", [{}, {"a": 1, "b": [2]}])
@pytest.mark.parametrize("items", [[], [b"{}"], [b'{"n":1}', b'{"n":2}', b"3"]])
def test_a_list_of_json(content: dict[str, object], items: list[bytes]) -> None:
    status, headers, body = listed(content, "points", iter(items))
    assert (status, headers) == (200, answer(200, {})[1])
    assert body.endswith(b"}\n")
    assert json.loads(body) == {**content, "points": [json.loads(item) for item in items]}


def test_text() -> None:
    status, headers, body = text(503, "draining")
    assert (status, body, headers["Content-Type"]) == (503, b"draining\n", "text/plain; charset=utf-8")
    assert headers["Cache-Control"] == "no-store"


def test_forbidden() -> None:
    assert forbidden("why")[0] == 403
    assert b"why" in forbidden("why")[2]
