"""Start a peer that has no command line of its own: ``embedded.py NAME PORT [MODULE:APP]``, a WSGI app."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def wsgi_app() -> Any:
    module, _, name = (sys.argv[3] if len(sys.argv) > 3 else "plain_wsgi:app").partition(":")
    return getattr(import_module(module), name)


def run_bjoern(port: int) -> None:
    import bjoern

    app = wsgi_app()
    bjoern.run(app, "127.0.0.1", port)


def run_fastpysgi(port: int) -> None:
    import fastpysgi

    app = wsgi_app()
    fastpysgi.run(app, host="127.0.0.1", port=port, loglevel=0)


def run_fastwsgi(port: int) -> None:
    import fastwsgi

    app = wsgi_app()
    fastwsgi.run(wsgi_app=app, host="127.0.0.1", port=port, loglevel=0)


def run_cheroot(port: int) -> None:
    from cheroot.wsgi import Server

    server = Server(("127.0.0.1", port), wsgi_app(), numthreads=4)
    server.safe_start()


def run_socketify(port: int) -> None:
    import socketify

    app = socketify.App()
    app.get("/", lambda res, req: res.write_header("Content-Type", "text/plain").end("Hello, World!"))
    app.listen({"host": "127.0.0.1", "port": port}, lambda config: None)
    app.run()


if __name__ == "__main__":
    {
        "bjoern": run_bjoern,
        "cheroot": run_cheroot,
        "fastpysgi": run_fastpysgi,
        "fastwsgi": run_fastwsgi,
        "socketify": run_socketify,
    }[sys.argv[1]](int(sys.argv[2]))
