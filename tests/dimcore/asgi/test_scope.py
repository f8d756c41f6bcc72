"""Scopes, made of requests of every form; what a server adds to them is tested with the gateway."""

from __future__ import annotations

from dimcore import AsgiEntry
from dimcore.asgi.scope import ScopeMaker


def test_the_state_stays_when_an_app_is_placed_elsewhere() -> None:
    entry = AsgiEntry(print)
    entry.state["a"] = 1
    entry.place("/outer", "/inner")
    assert entry.state == {"a": 1}
    assert ScopeMaker("/x").state == {}
