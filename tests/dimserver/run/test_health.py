"""Workers that die, and what is said of it."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

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
