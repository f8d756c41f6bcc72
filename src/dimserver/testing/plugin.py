"""A pytest plugin, known to pytest where the package is installed: the fixture ``serve_app``.

def test_hello(serve_app):
    server = serve_app(app, threads=4)
    assert httpx.get(server.url + "/").text == "hello"
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Unpack

    from dimserver.config.keywords import SettingsKeywords
    from dimserver.testing.server import Server

__all__ = ["serve_app"]


@pytest.fixture
def serve_app() -> Iterator[Callable[..., Server]]:
    """``serve_app(app, **settings)`` starts a server, which is stopped when the test is over.

    `dimserver.testing.serve` says what it takes and returns.
    """
    from dimserver.testing.server import serve

    with ExitStack() as running:

        def start(app: Any = None, **settings: Unpack[SettingsKeywords]) -> Server:
            return running.enter_context(serve(app, **settings))

        yield start
