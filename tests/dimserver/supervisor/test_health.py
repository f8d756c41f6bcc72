"""Workers that die, and what is said of it."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.support.waiting import until

from dimserver.supervisor.slots import AT_ONCE

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest


def test_a_worker_that_is_killed_is_replaced_and_explained(child: Start, shop: pathlib.Path, ask: Call) -> None:
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


def test_one_that_dies_while_the_server_is_told_to_stop_is_explained(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    worker = server.worker
    with server.connect() as wire:
        wire.get("/stuck?because")
        time.sleep(0.2)
        os.kill(server.pid, signal.SIGSTOP)  # so that it hears of both at once, and of the stop first
        os.kill(worker, signal.SIGKILL)
        server.hint(signal.SIGTERM)
        os.kill(server.pid, signal.SIGCONT)
        code, out, err = server.end(0)
    assert (code, "dimserver: stopped; " in out) == (0, True)
    assert f"error: worker {worker} was killed by SIGKILL (" in err
    assert re.search(r", while it served GET /stuck\?because \(for \d\.\d s\); the server is stopping\n", err)


def test_one_that_dies_on_its_way_out_is_explained(child: Start, shop: pathlib.Path, ask: Call) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    worker = server.worker
    with server.connect() as wire:
        wire.get("/stuck")
        time.sleep(0.2)
        server.hint(signal.SIGHUP)
        until(lambda: int(ask(server).split()[0]) != worker)
        os.kill(worker, signal.SIGKILL)
        assert wire.ended()
        until(lambda: not pathlib.Path(f"/proc/{worker}").exists())  # its supervisor has taken note
    code, _, err = server.end()
    assert code == 0
    assert re.search(rf"error: worker {worker} was killed by SIGKILL .*GET /stuck .*; it was told to stop\n", err)


def test_of_one_that_dies_again_and_again_it_is_said_when_it_is_replaced(
    child: Start, shop: pathlib.Path, ask: Call
) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    for _ in range(AT_ONCE + 2):  # what is asked meanwhile waits for the next one
        with server.connect() as wire:
            wire.get("/exit")
            assert wire.ended()
    ask(server)
    _, _, err = server.end()
    said = re.findall(r"GET /exit \(for [\d.]+ s\); it is replaced(?: in ([\d.]+) s, after (.*))?", err)
    delays = [float(delay or 0) for delay, _ in said]
    assert delays[:AT_ONCE] == [0] * AT_ONCE
    assert 0 < delays[AT_ONCE] < delays[AT_ONCE + 1]
    assert [which for _, which in said] == [""] * AT_ONCE + [f"{AT_ONCE + n} failures in a row" for n in (1, 2)]


def test_an_app_that_is_never_imported_does_not_hold_up_the_next_reload(
    child: Start, shop: pathlib.Path, ask: Call, change: Call
) -> None:
    server = child("run", "shop", "--port", "0", "--worker-timeout", "500ms", cwd=shop)
    change(
        shop,
        "VERSION = 1",
        "VERSION = 2\nif not os.path.exists('open'):\n    open('begun', 'w').close()\n    time.sleep(60)",
    )
    server.hint(signal.SIGHUP)
    until((shop / "begun").exists)
    (shop / "open").touch()  # what it waited for is there now, and the operator tries again
    server.hint(signal.SIGHUP)
    until(lambda: ask(server).endswith(" 2"))
    _, _, err = server.end()
    assert "info: reload: requested again; it follows when the starting workers serve" in err
    assert "was killed: it did not serve within 0.5 s (worker-timeout)" in err
    assert "error: reload: the new worker did not start; nothing changes" in err
