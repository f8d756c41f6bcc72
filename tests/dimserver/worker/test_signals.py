"""TERM, INT, HUP and QUIT, to the first process, to a worker and to the group, one after the other and together."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM
from typing import Any

import pytest
from tests.support.waiting import until

from dimserver.worker.signals import ECHO, GROUP, SERVER, WORKER, Order, Phase, StopSignals

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest


# --- the tables -------------------------------------------------------------------------------------


def test_the_tables_have_a_word_for_each_signal_in_each_phase() -> None:
    phases = (Phase.SERVING, Phase.STOPPING, Phase.ENDING)  # the first process has no supervisor to lose
    assert set(SERVER) == {(number, phase) for number in GROUP for phase in phases}
    assert set(WORKER) == {(number, phase) for number in GROUP for phase in Phase}


def test_a_worker_is_never_ended_at_once_but_by_its_supervisor() -> None:
    for (_, phase), order in WORKER.items():
        assert (order is Order.END) == (phase is Phase.ENDING)


@pytest.mark.parametrize(
    ("signals", "orders"),
    [
        ([(0, SIGTERM)], [Order.STOP]),
        ([(0, SIGINT), (1, SIGINT)], [Order.STOP, Order.END]),
        ([(0, SIGTERM), (0, SIGTERM)], [Order.STOP, Order.NOTHING]),
        ([(0, SIGTERM), (ECHO / 2, SIGINT), (2 * ECHO, SIGINT)], [Order.STOP, Order.NOTHING, Order.END]),
        ([(0, SIGTERM), (0, SIGQUIT)], [Order.STOP, Order.END]),
        ([(0, SIGQUIT), (0, SIGQUIT), (1, SIGTERM)], [Order.END, Order.NOTHING, Order.NOTHING]),
        ([(0, SIGHUP), (0, SIGTERM), (0, SIGHUP)], [Order.RELOAD, Order.STOP, Order.NOTHING]),
        ([(0, SIGHUP), (1, SIGHUP)], [Order.RELOAD, Order.RELOAD]),
        ([(0, SIGINT), (1, SIGTERM), (2, SIGINT)], [Order.STOP, Order.END, Order.NOTHING]),
    ],
)
def test_what_a_signal_asks_for_depends_on_those_before(signals: list[tuple[float, int]], orders: list[Order]) -> None:
    stop = StopSignals()
    assert [stop.heard(number, 100.0 + at) for at, number in signals] == orders


# --- a server that answers a request that takes 0.8 s while signals come ------------------------------

MASTER, WORKERS, ALL = "master", "workers", "group"
ANSWERED, CUT = "answered", "cut"


def send(server: Any, workers: list[int], whom: str, number: int) -> None:
    if whom == ALL:
        os.killpg(server.pid, number)
    else:
        for pid in [server.pid] if whom == MASTER else workers:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it has ended, as it should


# What comes after how many seconds, what becomes of the request, and how the server ends.  Those that end in a stop
# by SIGTERM to the first process are there for what comes before.
SEQUENCES: list[tuple[str, list[tuple[float, str, int]], str]] = [
    ("a stop", [(0, MASTER, SIGTERM)], ANSWERED),
    ("Ctrl-C", [(0, ALL, SIGINT)], ANSWERED),
    ("Ctrl-C twice", [(0, ALL, SIGINT), (0.3, ALL, SIGINT)], CUT),
    ("kill twice", [(0, MASTER, SIGTERM), (0.3, MASTER, SIGTERM)], CUT),
    ("a control group is stopped", [(0, ALL, SIGTERM)], ANSWERED),
    ("timeout", [(0, MASTER, SIGTERM), (0, ALL, SIGTERM)], ANSWERED),
    ("the workers first", [(0, WORKERS, SIGTERM), (0.02, MASTER, SIGTERM)], ANSWERED),
    ("the workers last", [(0, MASTER, SIGTERM), (0.1, WORKERS, SIGTERM), (0.1, WORKERS, SIGTERM)], ANSWERED),
    ("a wrapper that passes it on", [(0, ALL, SIGINT), (0.05, MASTER, SIGINT)], ANSWERED),
    ("Ctrl-\\", [(0, ALL, SIGQUIT)], CUT),
    ("a stop, then Ctrl-\\", [(0, MASTER, SIGTERM), (0, ALL, SIGQUIT)], CUT),
    ("Ctrl-\\ to the workers", [(0, WORKERS, SIGQUIT), (0.1, MASTER, SIGTERM)], ANSWERED),
    ("Ctrl-C to the workers", [(0, WORKERS, SIGINT), (0, WORKERS, SIGINT), (0.1, MASTER, SIGTERM)], ANSWERED),
    ("a terminal that closes", [(0, ALL, SIGHUP), (0.1, MASTER, SIGTERM)], ANSWERED),
    ("a stop, then a reload", [(0, ALL, SIGTERM), (0.1, ALL, SIGHUP), (0.1, ALL, SIGHUP)], ANSWERED),
]
QUICK = ("a control group is stopped", "timeout", "the workers first", "Ctrl-C twice")  # the others are for -m slow


@pytest.mark.parametrize(
    ("sequence", "outcome"),
    [
        pytest.param(s, o, id=name.replace(" ", "-"), marks=() if name in QUICK else pytest.mark.slow)
        for name, s, o in SEQUENCES
    ],
)
def test_a_request_in_flight(
    child: Start, shop: pathlib.Path, sequence: list[tuple[float, str, int]], outcome: str
) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop, start_new_session=True)
    workers = server.workers
    wires = [server.connect().get("/slow?seconds=0.8") for _ in range(6)]
    time.sleep(0.2)
    for delay, whom, number in sequence:
        time.sleep(delay)
        send(server, workers, whom, number)
    begun = time.monotonic()
    if outcome == ANSWERED:
        assert [wire.answer()[2] for wire in wires] == [b"slow 1"] * 6
    code, out, err = server.end(0)
    assert code == 0
    assert time.monotonic() - begun < 10
    assert ("cut off" in out) == (outcome == CUT)
    assert "is replaced" not in err
    assert "Traceback" not in err
    if outcome == CUT:
        assert all(wire.ended() for wire in wires)


def test_a_signal_to_one_worker_has_it_replaced_however_often_it_comes(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    worker = server.worker
    with server.connect() as wire:
        wire.get("/slow?seconds=1")
        time.sleep(0.1)
        for _ in range(5):
            os.kill(worker, SIGTERM)
            time.sleep(0.05)
        assert wire.answer()[2] == b"slow 1"
    until(lambda: len(server.workers) == 1 and worker not in server.workers)
    code, _, err = server.end()
    assert code == 0
    assert err.count("is replaced") == 1


@pytest.mark.parametrize("number", [SIGTERM, SIGQUIT])
def test_a_stop_of_the_group_while_the_app_is_imported(child: Start, shop: pathlib.Path, number: int) -> None:
    (shop / "late.py").write_text("import time\nopen('begun', 'w').close()\ntime.sleep(60)\n")
    server = child("run", "late", "--port", "0", cwd=shop, announced=False, start_new_session=True)
    until((shop / "begun").exists)
    os.killpg(server.pid, number)
    assert server.end(0) == (128 + number, "", "")


def test_an_operators_stop_is_no_signal(child: Start, shop: pathlib.Path) -> None:
    """As with a preStop hook: the SIGTERM that follows is the first one."""
    server = child("run", "shop", "--port", "0", "--admin", "127.0.0.1:0", cwd=shop)
    wire = server.connect().get("/slow?seconds=1.2")
    time.sleep(0.2)
    server.connect(1).get(f"/api/servers/{server.pid}/drain", method="POST").answer()
    time.sleep(ECHO * 1.5)
    server.hint(SIGTERM)
    assert wire.answer()[2] == b"slow 1"
    code, out, _ = server.end(0)
    assert code == 0
    assert "cut off" not in out


def test_a_program_of_its_own_takes_a_repeated_signal_for_one(child: Start, shop: pathlib.Path) -> None:
    (shop / "own.py").write_text("from shop import app\napp.run(port=0)\n")
    for numbers, cut in (((SIGTERM, SIGTERM), False), ((SIGINT, 0, SIGINT), True), ((SIGQUIT,), True)):
        server = child(cwd=shop, module=("own.py",))
        wire = server.connect().get("/slow?seconds=0.8")
        time.sleep(0.2)
        for number in numbers:
            if number:
                server.hint(number)
            else:
                time.sleep(ECHO * 1.5)
        code, out, err = server.end(0)
        assert (code, err) == (0, "")
        assert ("1 cut off" in out) == cut
        assert cut or wire.answer()[2] == b"slow 1"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("timeout") is None, reason="no coreutils")
def test_under_timeout(child: Start, shop: pathlib.Path) -> None:
    """It signals its child, and then the group that the child is in: twice within microseconds."""
    # As the tests start any server, but with a parent that signals it.
    (shop / "limited.py").write_text(
        "import os, sys\n"
        "command = [sys.executable, '-m', 'dimserver', 'run', 'shop', '--port', '0', '--workers', '2']\n"
        "os.execvp('timeout', ['timeout', '3', *command])\n"
    )
    server = child(cwd=shop, module=("limited.py",))
    begun = time.monotonic()
    wire = server.connect().get("/slow?seconds=3.2")
    assert wire.answer()[2] == b"slow 1"
    assert time.monotonic() - begun > 3
    code, out, _ = server.end(0)
    assert code == 124
    assert "cut off" not in out


@pytest.mark.slow
def test_a_stop_of_the_group_loses_none_of_a_hundred(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", "--threads", "100", cwd=shop, start_new_session=True)
    wires = [server.connect().get("/slow?seconds=2") for _ in range(100)]
    time.sleep(0.5)
    os.killpg(server.pid, signal.SIGTERM)
    assert sum(wire.answer()[2] == b"slow 1" for wire in wires) == 100
    assert server.end(0)[0] == 0
