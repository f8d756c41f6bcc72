"""Processes and programs that an app starts: what they inherit, and what becomes of a child that comes back."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.servers import Child
from tests.support.waiting import PATIENCE, until
from tests.support.wire import Wire

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
HERE = pathlib.Path(__file__).parent
O_CLOEXEC = os.O_CLOEXEC
SERVERS = {
    "asgi": ("forking_app:asgi", "--loop", "asyncio"),
    "asgi on uvloop": ("forking_app:asgi", "--loop", "uvloop"),
    "wsgi on threads": ("forking_app:wsgi", "--threads", "4"),
    "wsgi on the loop": ("forking_app:wsgi", "--threads", "0"),
    "native": ("forking_app:native",),
    "native on threads": ("forking_app:native", "--threads", "4"),
}
Run = Callable[..., Child]


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Iterator[Run]:
    """``run("asgi")`` starts a server; what its app leaves running ends with the test."""
    notes = tmp_path / "notes"
    notes.touch()
    servers: list[Any] = []

    def start(
        kind: str,
        *words: str,
        at: tuple[str, ...] = ("--port", "0"),
        variables: dict[str, str] | None = None,
        **options: Any,
    ) -> Child:
        # Forking beside threads is what is tested: the newest Pythons warn of it.
        server: Any = Child(
            "run", *SERVERS[kind], *at, *words,
            cwd=HERE, python=(), variables={"FORKING_APP_LOG": str(notes), **(variables or {})}, **options,
        )  # fmt: skip
        server.notes = lambda: notes.read_text().split("\n")[:-1]
        servers.append(server)
        return server

    yield start
    for server in servers:
        for wire in server.wires:
            wire.close()
        server.process.kill()
        server.process.wait()
        for stream in (server.process.stdout, server.process.stderr):
            stream.close()
    for line in notes.read_text().split("\n")[:-1]:
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(line.split()[0]), signal.SIGKILL)


def ask(server: Any, what: str) -> str:
    with server.connect() as wire:
        return wire.get(f"/{what}").answer()[2].decode()


def stop(server: Any) -> int:
    """As `Child.end`, without waiting for whoever has its standard streams still."""
    server.hint()
    return int(server.process.wait(PATIENCE))


def port_is_free(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, int(port)))
            sock.listen()
        except OSError:
            return False
    return True


def inherited(pid: int) -> list[str]:
    """What a program started by this process would get, beyond its three standard streams."""
    found = []
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            flags = next(line for line in info.read_text().splitlines() if line.startswith("flags"))
            if int(info.name) > 2 and not int(flags.split()[1], 8) & O_CLOEXEC:
                found.append(f"{info.name}: {pathlib.Path(f'/proc/{pid}/fd/{info.name}').readlink()}")
    return found


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("what", ["return", "raise", "exit", "interrupt"])
def test_a_child_that_comes_back_leaves(run: Run, kind: str, what: str) -> None:
    server = run(kind)
    expected = {"return": 0, "raise": 1, "exit": 7, "interrupt": 1}[what]
    bystander = server.connect()
    assert int(bystander.get("/pid").answer()[2]) == server.worker
    for prefix in ("", "late-", "task-") if "asgi" in kind else ("",):
        wire = server.connect()
        child, code = map(int, wire.get(f"/{prefix}{what}").answer()[2].split())
        assert code == expected or (prefix == "task-" and code == 0)  # what a task raised, asyncio keeps
        assert wire.left == b""
        assert int(wire.get("/pid").answer()[2]) == server.worker  # one answer, and the connection is as it was
        assert not pathlib.Path(f"/proc/{child}").exists()
    assert int(bystander.get("/pid").answer()[2]) == server.worker
    for wire in server.wires:
        wire.close()
    assert server.end()[0] == 0
    assert port_is_free(server.urls[0])


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("what", ["stay"])
def test_a_child_that_stays_holds_nothing(run: Run, kind: str, what: str) -> None:
    """Neither the port nor the connections that were open when it was forked, also those of others."""
    server = run(kind, "--admin", "127.0.0.1:0")
    bystander = server.connect()
    bystander.get("/pid").answer()
    wire = server.connect()
    child = int(wire.get(f"/{what}", "Connection: close").answer()[2])
    try:
        began = time.monotonic()
        assert wire.ended()
        assert time.monotonic() - began < 1
        assert stop(server) == 0
        assert bystander.ended()
        assert pathlib.Path(f"/proc/{child}").exists()
        assert all(port_is_free(url) for url in server.urls)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_child_can_be_terminated(run: Run, kind: str) -> None:
    server = run(kind)
    assert int(ask(server, "terminate")) == -signal.SIGTERM
    child = int(ask(server, "stay"))
    until(lambda: any(line.startswith(str(child)) for line in server.notes()))  # type: ignore[attr-defined]
    os.kill(child, signal.SIGTERM)
    with contextlib.suppress(ProcessLookupError):
        until(lambda: pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert stop(server) == 0


# What a service manager does: the socket is descriptor 3.
ACTIVATED = """
import os, sys
number = int(sys.argv.pop(1))
os.dup2(number, 3)
os.set_inheritable(3, True)
if number != 3:
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "dimserver", *sys.argv[1:]])
"""
LISTENING: dict[str, tuple[str, ...]] = {
    "one worker": ("--workers", "1"),
    "two workers": ("--workers", "2", "--admin", "127.0.0.1:0"),
    "logs": ("--access-log", "combined", "--access-log-file", "access", "--log-file", "errors", "--pidfile", "pid"),
}


@pytest.mark.parametrize("words", LISTENING.values(), ids=LISTENING)
@pytest.mark.parametrize("kind", ["asgi", "asgi on uvloop", "wsgi on threads", "native"])
def test_no_descriptor_is_inherited(run: Run, tmp_path: pathlib.Path, kind: str, words: tuple[str, ...]) -> None:
    words = tuple(str(tmp_path / word) if word in ("access", "errors", "pid") else word for word in words)
    server = run(kind, *words)
    wires: list[Wire] = [server.connect() for _ in range(3)]
    large = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + bytes(2_000_000)
    for wire in wires:
        wire.get("/pid").answer()
    wires[0].send(large)  # whose body is in a file by now
    time.sleep(0.1)
    for pid in {server.pid, *server.workers}:
        assert inherited(pid) == []


@pytest.mark.parametrize("words", [("--workers", "1"), ("--workers", "2"), ("--reload",)], ids=" ".join)
@pytest.mark.parametrize("by", ["option", "service manager", "app"])
def test_a_socket_that_was_passed_is_not_inherited(run: Run, words: tuple[str, ...], by: str) -> None:
    """Also by the first worker, which is there before the socket is taken: an app may start a program at its import."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        module = ("-c", ACTIVATED, str(sock.fileno())) if by == "service manager" else ("-m", "dimserver")
        at = ("--fd", str(sock.fileno())) if by == "option" else ()
        variables = {"FORKING_APP_FD": str(sock.fileno())} if by == "app" else {}
        server = run("native", *words, at=at, module=module, variables=variables, pass_fds=[sock.fileno()])
    assert server.urls == [url]
    for pid in {server.pid, *server.workers}:
        assert inherited(pid) == []
    assert ask(server, "pid").isdigit()
    child = int(ask(server, "stay"))
    try:
        assert stop(server) == 0
        assert port_is_free(url)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("what", ["start", "spawn", "preexec"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_program_that_an_app_starts_does_not_keep_the_port(run: Run, what: str, workers: str) -> None:
    server = run("native", "--workers", workers, "--admin", "127.0.0.1:0")
    for _ in range(4):
        child = ask(server, what)
        if child.isdigit():
            _left.append(int(child))
    try:
        # A reload closes sockets, and so does a worker less: nobody may be dealt to what is left of them.
        for number in (signal.SIGHUP, signal.SIGTTOU) if workers == "2" else (signal.SIGHUP,):
            before = server.workers
            server.hint(number)
            until(lambda before=before: server.workers != before and ask(server, "pid").isdigit())  # type: ignore[misc]
            time.sleep(0.5)
            for _ in range(40):
                with server.connect() as wire:
                    wire.sock.settimeout(PATIENCE)
                    assert wire.get("/pid").answer()[0] == 200
        assert stop(server) == 0
        assert all(port_is_free(url) for url in server.urls)
    finally:
        while _left:
            os.kill(_left.pop(), signal.SIGKILL)


_left: list[int] = []
