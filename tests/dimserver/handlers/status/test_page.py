"""The page with links to the built-in endpoints."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import Any

from dimserver.handlers.status import StatusAPI
from dimserver.handlers.status.page import LINKS, page


def test_it_links_every_endpoint_for_readers(context: Any, ask: Any) -> None:
    status, headers, body = page(ask())
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    linked = [html.unescape(target) for target in re.findall(r'href="([^"]*)"', body.decode())]
    assert linked == [path for path, _ in LINKS]
    served = {path for method, path, _ in StatusAPI(context).routes() if method == "GET"}
    assert {path.partition("?")[0] for path in linked} <= served


def test_it_loads_runs_and_sends_nothing(ask: Any) -> None:
    _, headers, body = page(ask())
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(rb"<(script|style|img|link|form|iframe)|\bon\w+=|style=|https?:", body)


def test_every_element_is_closed(ask: Any) -> None:
    open_ones: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - as the base
            if tag != "meta":
                open_ones.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_ones.pop() == tag

    reader = Reader()
    reader.feed(page(ask())[2].decode())
    reader.close()
    assert open_ones == []
