"""The candidates: which package each needs and the command that starts one process of it.

Every one runs a single worker with access logs off and answers the same
13 bytes of plain text on ``/``.  Adding a peer is one row.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"

FLOOR = "C floor"
OURS = "dimserver"

# Idle connections are counted after some seconds, and there are 10,000 of them: what would drop or refuse them by
# default is raised, here as with dimserver's own --max-connections.
GRANIAN = ("--no-ws", "--log-level", "warning", "--backlog", "12000", "--backpressure", "12000")
UVICORN = ("--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75")
GUNICORN = ("-w", "1", "-k", "gthread", "--threads", "4", "--keep-alive", "75")


class UnknownServerError(Exception):
    """A name that is no candidate."""


@dataclass(frozen=True)
class Server:
    """One candidate.

    Attributes:
        name: what the report calls it.
        package: the distribution it comes from; `None` for the floor.
        command: words after the interpreter; ``{port}`` is replaced.
        engine: in a word, what it is made of.
    """

    name: str
    package: str | None
    command: tuple[str, ...]
    engine: str

    def argv(self, python: str, floor: Path, port: int) -> list[str]:
        """Return the command that starts it on a port of the loopback interface.

        Args:
            python: the interpreter that has the package.
            floor: the compiled C floor.
        """
        first = str(floor) if self.package is None else python
        return [first, *(word.replace("{port}", str(port)) for word in self.command)]


def _granian(interface: str) -> Server:
    command = ("-m", "granian", "--interface", interface, "--port", "{port}", *GRANIAN, f"plain_{interface}:app")
    return Server(f"granian ({interface.upper()})", "granian", command, "Rust, hyper")


def _embedded(name: str, engine: str) -> Server:
    return Server(name, name, (str(APPS / "embedded.py"), name, "{port}"), engine)


SERVERS = (
    Server(FLOOR, None, ("{port}",), "C, epoll, no parsing"),
    Server(
        OURS,
        "dimserver",
        ("-m", "dimserver", "run", "native:app", "--port", "{port}", "--max-connections", "12000"),
        "Cython, epoll",
    ),
    _embedded("fastpysgi", "C, libuv, llhttp"),
    _embedded("fastwsgi", "C, libuv, llhttp"),
    _embedded("bjoern", "C, libev"),
    _embedded("socketify", "C++, uWebSockets"),
    _granian("wsgi"),
    _granian("rsgi"),
    _granian("asgi"),
    Server(
        "uvicorn",
        "uvicorn",
        ("-m", "uvicorn", "--port", "{port}", *UVICORN, "plain_asgi:app"),
        "Python, uvloop, httptools",
    ),
    Server(
        "gunicorn (gthread)",
        "gunicorn",
        ("-m", "gunicorn", "-b", "127.0.0.1:{port}", *GUNICORN, "plain_wsgi:app"),
        "Python, threads",
    ),
)


def choose(names: list[str]) -> list[Server]:
    """Return the candidates named, floor first; with no names, all.

    A short name chooses every candidate that starts with it (``granian``).

    Raises:
        UnknownServerError: a name fits none.
    """
    if not names:
        return list(SERVERS)
    chosen = [server for server in SERVERS if any(server.name.startswith(name) for name in names)]
    for name in names:
        if not any(server.name.startswith(name) for server in SERVERS):
            known = ", ".join(server.name for server in SERVERS)
            raise UnknownServerError(f"no server is called {name!r}; there are: {known}")
    return chosen if chosen[0].name == FLOOR else [SERVERS[0], *chosen]


def versions(python: str, *more: str) -> dict[str, str]:
    """Return the version of each candidate's package that this interpreter has; absent ones are left out.

    Args:
        more: further packages.
    """
    packages = sorted({server.package for server in SERVERS if server.package} | {"uvloop", "httptools", *more})
    code = (
        "import importlib.metadata as m, json, sys\n"
        "have = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try: have[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(have))"
    )
    output = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True).stdout
    have: dict[str, str] = json.loads(output)
    return have
