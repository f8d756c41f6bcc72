"""The lines at the start and the end."""

from __future__ import annotations

import io

from dimserver.config import Settings
from dimserver.run.announce import say, served, summary

COUNTS = {"requests": 2, "errors": 1, "connections": 2, "cut_off": 0}


def test_what_is_served() -> None:
    assert served("shop:app", Settings(static="/srv")) == "shop:app"
    assert served("", Settings()) == "the built-in API"
    assert served("", Settings(static="/srv")) == "the built-in API and /srv"


def test_the_summary() -> None:
    assert summary(COUNTS, 1.25) == "2 requests (1 failed) on 2 connections in 1.2 s"
    cut = summary({**COUNTS, "cut_off": 3}, 2)
    assert cut == "2 requests (1 failed) on 2 connections, 3 cut off at the end in 2.0 s"


def test_whoever_has_left_is_not_told() -> None:
    out = io.StringIO()
    say("a line", out)
    assert out.getvalue() == "a line\n"
    out.close()
    say("a line", out)
