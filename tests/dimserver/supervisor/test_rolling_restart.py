"""New workers in the place of old ones: at a reload, after a crash, at a worker's own wish."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.support.processes import is_gone
from tests.support.waiting import until

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest


def test_a_reload_has_new_code_and_ends_the_old_worker(
    child: Start, shop: pathlib.Path, change: Call, seen: Call
) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    old = set(server.workers)
    change(shop, "VERSION = 1", "VERSION = 2")
    server.hint(signal.SIGHUP)
    until(lambda: len(server.workers) == 2 and not old & set(server.workers))
    assert {answer.split()[1] for answer in seen(server, 2)} == {"2"}
    code, _, err = server.end()
    assert code == 0
    assert "info: reload: starting a worker with the new configuration and code" in err


def test_a_new_app_that_fails_leaves_the_old_one_serving(
    child: Start, shop: pathlib.Path, change: Call, ask: Call
) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    worker = server.worker
    change(shop, "VERSION = 1", "def broken():\n    return {}['VERSION']\nVERSION = broken()")
    server.hint(signal.SIGHUP)
    lines = [b""]
    while b"nothing changes" not in lines[-1]:
        lines.append(server.process.stderr.readline())
        assert lines[-1], "no word of the reload that failed"
    text = b"".join(lines)
    assert b"error: reload: 'shop' raised KeyError while it was loaded\n  Traceback (most recent call last):\n" in text
    assert b"  KeyError: 'VERSION'\n" in text
    assert ask(server) == f"{worker} 1"
    change(shop, "return {}['VERSION']", "return 3")
    server.hint(signal.SIGHUP)
    until(lambda: ask(server).endswith(" 3"))
    assert server.end()[0] == 0


def test_two_reloads_at_once_have_the_newest_code(child: Start, shop: pathlib.Path, change: Call, ask: Call) -> None:
    change(shop, "import os, time", "import os, time\ntime.sleep(0.3)")
    server = child("run", "shop", "--port", "0", cwd=shop)
    for version in (2, 3, 4):
        change(shop, f"VERSION = {version - 1}", f"VERSION = {version}")
        server.hint(signal.SIGHUP)
        time.sleep(0.1)
    until(lambda: ask(server).endswith(" 4"))
    until(lambda: len(server.workers) == 1)
    assert server.end()[0] == 0


def test_a_worker_that_cannot_be_replaced_is_tried_again(
    child: Start, shop: pathlib.Path, change: Call, seen: Call
) -> None:
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


def test_a_worker_that_is_told_to_leave_is_renewed_first(child: Start, shop: pathlib.Path, ask: Call) -> None:
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
