"""The supervisor with real workers: started, renewed, replaced, more of them and fewer, and ended."""

from __future__ import annotations

import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dimserver.net.listener import GROUPS
from dimserver.run.supervisor import SIGNALS, Supervisor

Start = Callable[..., Any]
PATIENCE = 20.0  # seconds, for what takes milliseconds

APP = """
import os, time
from dimserver import App
app = App()
VERSION = 1

@app.get("/")
def index(request):
    return f"{os.getpid()} {VERSION}"

@app.get("/slow", blocking=True)
def slow(request):
    time.sleep(float(request.query_params.get("seconds", "0.3")))
    return f"slow {VERSION}"

@app.get("/stuck")
def stuck(request):
    time.sleep(60)

@app.get("/exit")
def leave(request):
    os._exit(3)
"""


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def until(condition: Callable[[], bool], what: str = "") -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what or condition}"
        time.sleep(0.01)


def change(shop: pathlib.Path, old: str, new: str) -> None:
    """Rewrite the app, with a time of its own: a compiled copy of the same second would pass for it."""
    path = shop / "shop.py"
    stamp = path.stat().st_mtime_ns + 2_000_000_000
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, ns=(stamp, stamp))


def ask(server: Any, path: str = "/") -> str:
    with server.connect() as wire:
        status, _, body = wire.get(path).answer()
    assert status == 200
    return str(body.decode())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def seen(server: Any, number: int) -> set[str]:
    """What is answered by different workers, until so many have been met."""
    found: set[str] = set()
    until(lambda: bool(found.add(ask(server))) or len(found) >= number, f"{number} different answers")
    return found


# --- the start


def test_several_workers_share_one_port(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "3", cwd=shop)
    assert server.first.endswith(f" (pid {server.pid}, 3 workers)\n")
    assert len(server.urls) == 1
    assert {int(answer.split()[0]) for answer in seen(server, 3)} == set(server.workers)
    code, out, err = server.end()
    assert (code, err) == (0, "")
    assert "dimserver: stopped; " in out


@pytest.mark.parametrize("where", ["--uds", "--fd"])
def test_several_workers_share_one_socket(child: Start, shop: pathlib.Path, where: str) -> None:
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


def test_settings_of_the_app_count_below_the_command_line(child: Start, shop: pathlib.Path) -> None:
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
    assert err == "dimserver: a worker was killed by SIGSEGV (a fault in compiled code) before it served\n"


def test_the_second_worker_may_be_the_one_that_fails(child: Start, shop: pathlib.Path) -> None:
    (shop / "once.py").write_text(
        "import os\nfrom dimserver import App\napp = App()\nos.mkdir('taken')\n"  # for one only
    )
    code, out, err = child("run", "once", "--port", "0", "--workers", "3", cwd=shop, announced=False).end(0)
    assert (code, out) == (1, "")
    assert "FileExistsError" in err
    assert err.endswith("dimserver: 'once' raised FileExistsError while it was loaded\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_while_the_app_is_imported(child: Start, shop: pathlib.Path, number: int, code: int) -> None:
    (shop / "late.py").write_text("import time\nopen('begun', 'w').close()\ntime.sleep(60)\n")
    server = child("run", "late", "--port", "0", cwd=shop, announced=False)
    until((shop / "begun").exists)
    assert server.end(number) == (code, "", "")


# --- reload


def test_a_reload_has_new_code_and_ends_the_old_worker(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    old = set(server.workers)
    change(shop, "VERSION = 1", "VERSION = 2")
    server.hint(signal.SIGHUP)
    until(lambda: len(server.workers) == 2 and not old & set(server.workers))
    assert {answer.split()[1] for answer in seen(server, 2)} == {"2"}
    code, _, err = server.end()
    assert code == 0
    assert "info: reload: a worker with the new configuration and code is started" in err


def test_a_new_app_that_fails_leaves_the_old_one_serving(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    worker = server.worker
    change(shop, "VERSION = 1", "def broken():\n    return {}['VERSION']\nVERSION = broken()")
    server.hint(signal.SIGHUP)
    line = b""
    while b"stays as it was" not in line:
        line = server.process.stderr.readline()
        assert line, "no word of the reload that failed"
        if b"KeyError: 'VERSION'" in line:
            line = server.process.stderr.readline()
            assert b"error: reload: 'shop' raised KeyError while it was loaded" in line
    assert ask(server) == f"{worker} 1"
    change(shop, "return {}['VERSION']", "return 3")
    server.hint(signal.SIGHUP)
    until(lambda: ask(server).endswith(" 3"))
    assert server.end()[0] == 0


def test_two_reloads_at_once_have_the_newest_code(child: Start, shop: pathlib.Path) -> None:
    change(shop, "import os, time", "import os, time\ntime.sleep(0.3)")
    server = child("run", "shop", "--port", "0", cwd=shop)
    for version in (2, 3, 4):
        change(shop, f"VERSION = {version - 1}", f"VERSION = {version}")
        server.hint(signal.SIGHUP)
        time.sleep(0.1)
    until(lambda: ask(server).endswith(" 4"))
    until(lambda: len(server.workers) == 1)
    assert server.end()[0] == 0


def test_what_cannot_change_is_said(child: Start, shop: pathlib.Path) -> None:
    change(shop, "App()", "App(port=0)")
    server = child("run", "shop", cwd=shop)
    before = server.worker
    change(shop, "App(port=0)", "App(port=1, workers=2)")
    server.hint(signal.SIGHUP)
    until(lambda: len(server.workers) == 2 and before not in server.workers)
    assert ask(server).endswith(" 1")
    _, _, err = server.end()
    assert "warning: reload: --port stays as it is until the server is started anew" in err


# --- the end of a worker


def test_a_worker_that_is_killed_is_replaced_and_explained(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    worker = server.worker
    os.kill(worker, signal.SIGKILL)
    begun = time.monotonic()
    assert int(ask(server).split()[0]) != worker  # what comes meanwhile waits
    assert time.monotonic() - begun < 5
    with server.connect() as wire:
        wire.get("/exit")
        assert wire.ended()
    ask(server)
    _, _, err = server.end()
    assert f"error: worker {worker} was killed by SIGKILL (" in err
    assert "ended with exit code 3, while it served GET /exit (for 0.0 s); it is replaced" in err


def test_a_worker_that_is_told_to_leave_is_renewed_first(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    worker = server.worker
    with server.connect() as wire:
        wire.get("/slow?seconds=0.5")
        time.sleep(0.1)
        os.kill(worker, signal.SIGTERM)
        assert wire.answer()[2] == b"slow 1"
    until(lambda: is_gone(worker))
    assert int(ask(server).split()[0]) != worker
    _, out, err = server.end()
    assert f"info: worker {worker} is replaced: it got a SIGTERM" in err
    assert "stopped; 2 requests (0 failed) on 2 connections in" in out


def test_a_worker_that_cannot_be_replaced_is_tried_again(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    victim, other = server.workers
    change(shop, "VERSION = 1", "VERSION = 1 / 0")
    os.kill(victim, signal.SIGKILL)
    lines = b""
    while lines.count(b"error: a new worker: 'shop' raised ZeroDivisionError while it was loaded") < 2:
        lines += server.process.stderr.readline()
    assert other in server.workers
    change(shop, "VERSION = 1 / 0", "VERSION = 2")
    until(lambda: len(server.workers) == 2 and any(answer.endswith(" 2") for answer in seen(server, 2)))
    assert server.end()[0] == 0


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


# --- more workers and fewer


def test_workers_are_added_and_removed(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    first = server.worker
    server.hint(signal.SIGTTIN)
    until(lambda: len(server.workers) == 2)
    assert len(seen(server, 2)) == 2
    server.hint(signal.SIGTTOU)
    until(lambda: server.workers == [first])
    server.hint(signal.SIGTTOU)  # the last one stays
    time.sleep(0.2)
    assert ask(server) == f"{first} 1"
    assert server.end()[0] == 0


@pytest.mark.skipif(not GROUPS, reason="one socket for all has no queue to lose")
def test_nobody_is_lost_when_a_worker_is_removed(child: Start, shop: pathlib.Path) -> None:
    """New connections at full speed all the time: each is answered, none reset, none left to wait."""
    server = child("run", "shop", "--port", "0", "--workers", "3", cwd=shop)
    done = threading.Event()
    failures: list[str] = []
    answers = [0] * 4

    def client(number: int) -> None:
        while not done.is_set():
            try:
                ask(server)
            except (OSError, EOFError) as error:
                failures.append(repr(error))
            answers[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(answers))]
    for thread in threads:
        thread.start()
    for number, wanted in ((signal.SIGTTOU, 2), (signal.SIGTTOU, 1), (signal.SIGTTIN, 2), (signal.SIGTTOU, 1)):
        server.hint(number)
        until(lambda wanted=wanted: len(server.workers) == wanted)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert min(answers) > 10
    assert server.end()[0] == 0


# --- the end of all


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


def test_a_handler_that_is_stuck_is_killed_at_the_drain_limit(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--drain", "300ms", cwd=shop)
    worker = server.worker
    with server.connect() as wire:
        wire.get("/stuck")
        time.sleep(0.2)
        code, out, err = server.end()
        assert code == 0
        assert "dimserver: stopped; " in out
        assert f"warning: worker {worker} was killed: the drain limit is over" in err
        assert wire.ended()


def test_handlers_registered_for_the_exit_run_in_the_worker(child: Start, shop: pathlib.Path) -> None:
    (shop / "last.py").write_text(
        "import atexit, os\nfrom dimserver import App\napp = App()\n"
        "atexit.register(lambda: open(f'ended-{os.getpid()}', 'w').close())\n"
    )
    server = child("run", "last", "--port", "0", cwd=shop)
    worker = server.worker
    assert server.end()[0] == 0
    assert [path.name for path in shop.glob("ended-*")] == [f"ended-{worker}"]


def test_the_supervisor_never_imports_the_app(child: Start, shop: pathlib.Path) -> None:
    (shop / "who.py").write_text(
        "import os\nfrom dimserver import App\napp = App()\nopen(f'imported-{os.getpid()}', 'w').close()\n"
    )
    server = child("run", "who", "--port", "0", "--workers", "2", cwd=shop)
    workers = server.workers
    assert server.end()[0] == 0
    assert {path.name for path in shop.glob("imported-*")} == {f"imported-{pid}" for pid in workers}


def test_a_terminal_signals_the_whole_group(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop, start_new_session=True)
    with server.connect() as wire:
        wire.get("/slow?seconds=0.5")
        time.sleep(0.2)
        os.killpg(server.pid, signal.SIGINT)
        assert wire.answer()[2] == b"slow 1"
    code, out, err = server.end(0)
    assert (code, err) == (0, "")
    assert "stopped; 1 requests (0 failed) on 1 connections in" in out
