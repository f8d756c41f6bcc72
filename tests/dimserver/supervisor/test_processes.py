"""Worker processes from the fork to the end: what they import, what is run at their exit, and what ends them."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_while_the_app_is_imported(child: Start, shop: pathlib.Path, number: int, code: int) -> None:
    (shop / "late.py").write_text("import time\nopen('begun', 'w').close()\ntime.sleep(60)\n")
    server = child("run", "late", "--port", "0", cwd=shop, announced=False)
    until((shop / "begun").exists)
    assert server.end(number) == (code, "", "")


def test_a_handler_that_is_stuck_is_killed_at_the_drain_limit(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--drain", "300ms", cwd=shop)
    worker = server.worker
    with server.connect() as wire:
        wire.get("/stuck")
        time.sleep(0.2)
        code, out, err = server.end()
        assert code == 0
        assert "dimserver: stopped; " in out
        assert f"warning: worker {worker} was killed: the drain limit has passed" in err
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
