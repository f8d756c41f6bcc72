"""The titles of the server's processes, and what an operator sees of them."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

from dimcore import SegmentSet
from dimserver.supervisor.slots import Generation
from dimserver.supervisor.title import title

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system has no such thing")
Call = Callable[..., Any]


def shown(pid: int) -> tuple[str, str]:
    """The title and the name that `ps` and `top` show."""
    files = pathlib.Path(f"/proc/{pid}")
    return (files / "cmdline").read_bytes().rstrip(b"\0").decode(), (files / "comm").read_text().rstrip("\n")


def generation(target: str, values: dict[str, object]) -> Generation:
    return Generation(1, target, values, SegmentSet(()))


def test_words() -> None:
    assert title("worker 2", generation("shop:app", {"static": "srv"})) == "dimserver: worker 2 shop:app"
    assert title("supervisor", generation("", {"static": pathlib.Path("srv")})) == "dimserver: supervisor srv"
    assert title("supervisor", generation("", {})) == "dimserver: supervisor"


def test_nothing_unprintable_reaches_a_terminal() -> None:
    made = title("worker 0", generation("a\x1b[2J\n\0/\udcff/é.py", {}))
    assert made == "dimserver: worker 0 a?[2J??/?/é.py"


def test_nothing_unprintable_is_refused_by_the_core() -> None:
    program = (
        "from dimserver.supervisor.slots import Generation\n"
        "from dimserver.supervisor.title import entitle\n"
        "print(entitle('worker 7', '-w7', Generation(1, 'a\\0b\\udcff', {}, None)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{sys.platform == 'linux'}\n"


@LINUX
@pytest.mark.parametrize("console", [False, True])
def test_every_process_says_what_it_is(child: Call, shop: pathlib.Path, ask: Call, console: bool) -> None:
    (shop / "server.toml").write_text('app = "shop:app"\nport = 0\nworkers = 2\n')
    script = {"module": ("-c", "import sys; from dimserver.cli.main import main; sys.exit(main())")} if console else {}
    server = child("run", "--config", "server.toml", cwd=shop, variables={"MARK": "stays whole"}, **script)
    before = pathlib.Path(f"/proc/{server.pid}/environ").read_bytes()
    assert b"\0MARK=stays whole\0" in before
    assert before.endswith(b"\0")

    def workers() -> list[tuple[str, str]]:
        return sorted(shown(pid) for pid in server.workers)

    assert shown(server.pid) == ("dimserver: supervisor shop:app", "dimserver")
    assert workers() == [(f"dimserver: worker {at} shop:app", f"dimserver-w{at}") for at in (0, 1)]
    # A reload: another app, and more workers.
    old = set(server.workers)
    (shop / "other.py").write_text((shop / "shop.py").read_text())
    (shop / "server.toml").write_text('app = "other:app"\nport = 0\nworkers = 3\n')
    server.hint(signal.SIGHUP)
    until(lambda: not old & set(server.workers) and len(server.workers) == 3, "three new workers")
    # Between the fork and its first act a worker shows its parent's title.
    until(lambda: all(words.startswith("dimserver: worker ") for words, _ in workers()), "their titles")
    assert shown(server.pid) == ("dimserver: supervisor other:app", "dimserver")
    numbers = {int(words.removeprefix("dimserver: worker ").removesuffix(" other:app")) for words, _ in workers()}
    assert len(numbers) == 3
    assert {name for _, name in workers()} == {f"dimserver-w{at}" for at in numbers}
    # A worker that was killed has a successor with a title.
    victim = server.workers[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in server.workers and len(server.workers) == 3, "a successor")
    until(lambda: all(words.endswith(" other:app") and "worker" in words for words, _ in workers()), "its title")
    for pid in (server.pid, *server.workers):
        assert pathlib.Path(f"/proc/{pid}/environ").read_bytes() == before
    assert ask(server)
    assert server.end()[0] == 0


@LINUX
def test_a_reload_that_fails_leaves_the_title(child: Call, shop: pathlib.Path) -> None:
    (shop / "server.toml").write_text('app = "shop:app"\nport = 0\n')
    server = child("run", "--config", "server.toml", "--log-file", "log", cwd=shop)
    (shop / "server.toml").write_text('app = "absent:app"\nport = 0\n')
    server.hint(signal.SIGHUP)
    until(lambda: "nothing changes" in (shop / "log").read_text(), "the failure")
    assert shown(server.pid)[0] == "dimserver: supervisor shop:app"
    assert shown(server.worker)[0].endswith(" shop:app")
    assert server.end()[0] == 0


@LINUX
def test_the_process_that_watches_for_changes_says_so(child: Call, shop: pathlib.Path) -> None:
    pytest.importorskip("watchfiles")
    server = child("run", "shop", "--port", "0", "--reload", cwd=shop)
    until(lambda: ("dimserver: watcher shop", "dimserver-watch") in [shown(pid) for pid in server.workers], "it")
    assert server.end()[0] == 0


@LINUX
def test_a_program_that_serves_by_itself_keeps_its_title(child: Call, shop: pathlib.Path, ask: Call) -> None:
    (shop / "own.py").write_text("from shop import app\napp.run(port=0)\n")
    server = child(cwd=shop, module=("own.py",))
    assert ask(server)  # it serves, and so has its handlers of signals
    assert shown(server.pid)[0].split("\0")[-1] == "own.py"
    assert server.end()[0] == 0
