"""What the supervisor keeps over a reload."""

from __future__ import annotations

import os
import pathlib
import re
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

from dimserver.config import Settings
from dimserver.errors import StartError
from dimserver.supervisor.state import MOST_WORKERS, make_segments

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest


def test_what_cannot_change_is_said(child: Start, shop: pathlib.Path, change: Call, ask: Call) -> None:
    change(shop, "App()", "App(port=0)")
    server = child("run", "shop", cwd=shop)
    before = server.worker
    change(shop, "App(port=0)", "App(port=1, workers=2)")
    server.hint(signal.SIGHUP)
    until(lambda: len(server.workers) == 2 and before not in server.workers)
    assert ask(server).endswith(" 1")
    _, _, err = server.end()
    assert "warning: reload: --port stays as it is until the server restarts" in err


def test_segments_are_kept_as_long_as_they_stay_the_same() -> None:
    first = make_segments(Settings(port=0))
    assert first["board"].fits("board", 1, first["board"].size)
    again = make_segments(Settings(port=0, workers=7), first)
    assert again["board"] is first["board"]
    assert first["board"].bytes >= MOST_WORKERS * 12_000


def test_memory_that_is_refused_is_one_clear_line() -> None:
    pid = os.fork()
    if not pid:
        code = 2
        try:
            settings = Settings(port=0)
            resource.setrlimit(resource.RLIMIT_AS, (1, resource.getrlimit(resource.RLIMIT_AS)[1]))
            make_segments(settings)
        except StartError as error:
            code = 0 if re.fullmatch(r"no \d+ bytes of shared memory for board: .*emory", str(error)) else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def files_of(pid: int) -> set[str]:
    """The memory files that a process has mapped, by name and inode."""
    lines = [line.split() for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return {f"{line[5]} {line[4]}" for line in lines if len(line) > 5 and line[5].startswith("/memfd:dimserver-")}


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc and no memory files")
def test_workers_have_the_memory_of_their_supervisor_over_a_reload(child: Start, shop: pathlib.Path, ask: Call) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    until(lambda: len(server.workers) == 2)
    before, (board,) = server.workers, files_of(server.pid)
    assert board.startswith("/memfd:dimserver-board ")
    assert [files_of(pid) for pid in before] == [{board}] * 2
    server.hint(signal.SIGHUP)
    until(lambda: len(server.workers) == 2 and not set(before) & set(server.workers))
    assert [files_of(pid) for pid in (server.pid, *server.workers)] == [{board}] * 3
    for pid in (server.pid, *server.workers):
        opened = [str(each.readlink()) for each in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        assert not [name for name in opened if "memfd" in name]
    server.end()
