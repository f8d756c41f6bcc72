"""GET /: a page with links to the built-in endpoints, where neither the app nor a static file answers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.handlers.status.types import Answer, Request

__all__ = ["LINKS", "page"]

# Path, and what it tells.
LINKS = (
    ("/api/status", "whether the server runs, and since when"),
    ("/api/stats", "connections and requests, added up over all workers"),
    ("/api/connections", "how many connections are in each pool and state"),
    ("/api/manifold/evaluate?spiral=0&layer=3&position=0", "where a coordinate lies in space"),
)

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",  # the app may have a page here after its next reload
    # Nothing is loaded, framed, sent or run: the page is text and links.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>dimserver</title></head>
<body>
<h1>dimserver is running</h1>
<ul>
{links}
</ul>
<p>Statistics and connections are shown to an authorised operator only.
To serve files here, start it with <code>--static DIR</code>.</p>
</body>
</html>
"""


def page(request: Request) -> Answer:  # noqa: ARG001 - every handler takes the request
    """The page."""
    links = "\n".join(
        f'<li><a href="{path.replace("&", "&amp;")}">{path.partition("?")[0]}</a>: {what}</li>' for path, what in LINKS
    )
    return 200, dict(HEADERS), PAGE.format(links=links).encode()
