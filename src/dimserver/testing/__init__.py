"""A real server for tests: any app, on a thread of the test's own process, on a free port.

from dimserver.testing import serve

def test_hello():
    with serve(app) as server:
        assert urllib.request.urlopen(server.url + "/").read() == b"hello"
        assert not server.errors

For pytest there is the fixture ``serve_app``; see `dimserver.testing.plugin`.
"""

from __future__ import annotations

from dimserver.testing.server import Server, serve

__all__ = ["Server", "serve"]
