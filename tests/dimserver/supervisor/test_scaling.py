"""More workers and fewer, with clients that must not notice."""

from __future__ import annotations

import pathlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

from dimserver.net.listener import GROUPS

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest


def test_workers_are_added_and_removed(child: Start, shop: pathlib.Path, ask: Call, seen: Call) -> None:
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
    code, _, err = server.end()
    assert code == 0
    assert "info: the number of workers is 2 until the next reload" in err
    assert "info: the number of workers is 1 until the next reload" in err
    assert "warning: the number of workers stays 1: allowed are 1 to 512" in err


@pytest.mark.skipif(not GROUPS, reason="one socket for all has no queue to lose")
def test_nobody_is_lost_when_a_worker_is_removed(child: Start, shop: pathlib.Path, ask: Call) -> None:
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


@pytest.mark.skipif(not GROUPS, reason="one socket for all has no queue to lose")
def test_nobody_is_lost_when_a_worker_goes_before_it_has_come(
    child: Start, shop: pathlib.Path, ask: Call, change: Call
) -> None:
    """More and fewer in quick succession: a slot is given up while its worker imports, opens, or has just begun."""
    change(shop, "import os, time", "import os, time\ntime.sleep(0.15)")
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
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
    for delay in (0.0, 0.1, 0.2, 0.3, 0.4, 0.6):
        server.hint(signal.SIGTTIN)
        time.sleep(delay)
        server.hint(signal.SIGTTOU)
        time.sleep(0.3)
    before = set(server.workers)
    server.hint(signal.SIGTTOU)
    server.hint(signal.SIGHUP)  # while the slot is closed; then there are as many as the settings say
    try:
        until(lambda: len(server.workers) == 2 and not before & set(server.workers))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert min(answers) > 10
    assert server.end()[0] == 0
