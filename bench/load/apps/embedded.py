"""Start a peer that has no command line of its own: ``embedded.py NAME PORT``."""

from __future__ import annotations

import sys


def run_bjoern(port: int) -> None:
    import bjoern
    from plain_wsgi import app

    bjoern.run(app, "127.0.0.1", port)


def run_fastpysgi(port: int) -> None:
    import fastpysgi
    from plain_wsgi import app

    fastpysgi.run(app, host="127.0.0.1", port=port, loglevel=0)


def run_fastwsgi(port: int) -> None:
    import fastwsgi
    from plain_wsgi import app

    fastwsgi.run(wsgi_app=app, host="127.0.0.1", port=port, loglevel=0)


def run_socketify(port: int) -> None:
    import socketify

    app = socketify.App()
    app.get("/", lambda res, req: res.write_header("Content-Type", "text/plain").end("Hello, World!"))
    app.listen({"host": "127.0.0.1", "port": port}, lambda config: None)
    app.run()


if __name__ == "__main__":
    {
        "bjoern": run_bjoern,
        "fastpysgi": run_fastpysgi,
        "fastwsgi": run_fastwsgi,
        "socketify": run_socketify,
    }[sys.argv[1]](int(sys.argv[2]))
