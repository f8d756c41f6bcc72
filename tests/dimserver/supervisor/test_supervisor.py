"""The supervisor with real workers: started, asked, and ended."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.processes import is_gone
from tests.support.waiting import until

from dimserver.supervisor.supervisor import SIGNALS, Supervisor

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest


def test_several_workers_share_one_port(child: Start, shop: pathlib.Path, seen: Call) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "3", cwd=shop)
    assert server.first.endswith(f" (pid {server.pid}, 3 workers)\n")
    assert len(server.urls) == 1
    assert {int(answer.split()[0]) for answer in seen(server, 3)} == set(server.workers)
    code, out, err = server.end()
    assert (code, err) == (0, "")
    assert "dimserver: stopped; " in out


@pytest.mark.parametrize("where", ["--uds", "--fd"])
def test_several_workers_share_one_socket(child: Start, shop: pathlib.Path, where: str, ask: Call) -> None:
    import socket

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    words = ["--uds", str(shop / "s")] if where == "--uds" else ["--fd", str(sock.fileno())]
    server = child("run", "shop", *words, "--workers", "2", cwd=shop, pass_fds=[sock.fileno()])
    pids = set(server.workers)
    assert int(ask(server).split()[0]) in pids
    server.hint(signal.SIGHUP)
    until(lambda: not pids & set(server.workers))
    assert int(ask(server).split()[0]) in server.workers
    assert server.end()[0] == 0
    sock.close()


def test_settings_of_the_app_count_below_the_command_line(child: Start, shop: pathlib.Path, change: Call) -> None:
    change(shop, "App()", "App(port=0, workers=2, threads=1)")
    (shop / "place.py").write_text(
        "from pathlib import Path\nfrom dimserver import App\napp = App(uds=Path('own.sock').absolute())\n"
    )
    server = child("run", "shop", cwd=shop)
    assert server.first.endswith(", 2 workers)\n")
    assert server.end()[0] == 0
    server = child("run", "shop", "--workers", "1", cwd=shop)
    assert server.first.endswith(f"(pid {server.pid})\n")
    assert server.end()[0] == 0
    server = child("run", "place", cwd=shop)
    assert server.urls == [f"unix:{shop}/own.sock"]
    assert server.end()[0] == 0
    # Said of TCP on the command line, the app's Unix socket is not meant any more.
    server = child("run", "place", "--port", "0", cwd=shop)
    assert server.urls[0].startswith("http://")
    assert server.end()[0] == 0
    (shop / "place.py").write_text("from dimserver import App\napp = App(static='/no/where')\n")
    code, out, err = child("run", "place", cwd=shop, announced=False).end(0)
    assert (code, out, err) == (2, "", "dimserver: --static: no such directory: '/no/where'\n")


def test_a_worker_that_dies_while_it_starts_is_a_start_that_failed(child: Start, shop: pathlib.Path) -> None:
    (shop / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    words = ("run", "dies", "--port", "0", "--workers", "4")
    # Not in development mode, in which the dying process would say more.
    code, out, err = child(*words, cwd=shop, announced=False, python=("-W", "error")).end(0)
    assert (code, out) == (1, "")
    assert err == "dimserver: a worker was killed by SIGSEGV (a crash in compiled code) before it served\n"


def test_the_second_worker_may_be_the_one_that_fails(child: Start, shop: pathlib.Path) -> None:
    (shop / "once.py").write_text(
        "import os\nfrom dimserver import App\napp = App()\nos.mkdir('taken')\n"  # for one only
    )
    code, out, err = child("run", "once", "--port", "0", "--workers", "3", cwd=shop, announced=False).end(0)
    assert (code, out) == (1, "")
    assert "FileExistsError" in err
    assert err.endswith("dimserver: 'once' raised FileExistsError while it was loaded\n")


@pytest.mark.parametrize("path", ["/stuck", "/stuck-thread"])
def test_a_stuck_worker_of_a_supervisor_that_died_does_not_keep_the_port(
    child: Start, shop: pathlib.Path, path: str
) -> None:
    server = child("run", "shop", "--port", "0", "--drain", "300ms", cwd=shop)
    worker = server.worker
    with server.connect() as wire:
        wire.get(path)
        time.sleep(0.2)
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: is_gone(worker))
    port = server.urls[0].rpartition(":")[2]
    assert child("run", "shop", "--port", port, cwd=shop).end()[0] == 0


def test_workers_of_a_supervisor_that_died_finish_and_end(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    workers = server.workers
    with server.connect() as wire:
        wire.get("/slow?seconds=0.5")
        time.sleep(0.1)
        os.kill(server.pid, signal.SIGKILL)
        assert wire.answer()[2] == b"slow 1"
    until(lambda: all(is_gone(pid) for pid in workers))
    assert b"the supervisor is gone" in server.process.stderr.read()


def test_signals_each_have_their_method() -> None:
    assert all(hasattr(Supervisor, f"_{name}") for name in SIGNALS.values())


def test_nothing_in_flight_ends_soon(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    workers = server.workers
    idle = server.connect()
    assert idle.get().answer()[0] == 200
    begun = time.monotonic()
    assert server.end()[0] == 0
    assert time.monotonic() - begun < 5
    assert idle.ended()
    assert all(is_gone(pid) for pid in workers)
