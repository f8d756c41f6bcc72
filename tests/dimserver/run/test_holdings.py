"""What the supervisor keeps over a reload."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Callable
from typing import Any

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest


def test_what_cannot_change_is_said(child: Start, shop: pathlib.Path, until: Call, change: Call, ask: Call) -> None:
    change(shop, "App()", "App(port=0)")
    server = child("run", "shop", cwd=shop)
    before = server.worker
    change(shop, "App(port=0)", "App(port=1, workers=2)")
    server.hint(signal.SIGHUP)
    until(lambda: len(server.workers) == 2 and before not in server.workers)
    assert ask(server).endswith(" 1")
    _, _, err = server.end()
    assert "warning: reload: --port stays as it is until the server is started anew" in err
