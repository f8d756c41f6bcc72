"""An app that answers with what it was asked, as JSON; text stands for bytes, one character each."""

from __future__ import annotations

import json
from typing import Any

from dimserver import App

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH")


def facts(request: Any) -> dict[str, Any]:
    """What a handler can see of the request, in the terms of the corpus."""
    return {
        "method": request.method,
        "target": request.raw_target,
        "path": request.path,
        "query": request.query_string,
        "host": request.host,
        "version": request.http_version,
        "fields": request.headers.items(),
        "body": request.body.decode("latin-1"),
    }


def echo(request: Any) -> tuple[int, dict[str, str], bytes]:
    """The handler."""
    return 200, {"Content-Type": "application/json"}, json.dumps(facts(request)).encode()


app = App()
app.route("/", echo, methods=METHODS, exact=False)
