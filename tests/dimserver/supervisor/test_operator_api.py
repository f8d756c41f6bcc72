"""What the supervisor tells of reloads: which outcome each has, whoever asked for it."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[..., Any]  # a helper of conftest


def test_one_that_succeeds(control: Call, shop: pathlib.Path, change: Call, ask: Call) -> None:
    served = control("run", "shop", "--port", "0", "--workers", "3")
    before = set(served.server.workers)
    change(shop, "VERSION = 1", "VERSION = 2")
    status, row = served.do(f"servers/{served.pid}/reload")
    assert (status, row["reload"]["state"]) == (202, "running")
    found = served.outcome("1")
    assert (found["state"], found["reason"], found["detail"]) == ("done", "", "")
    assert found["by"] == f"uid {os.getuid()}, process {os.getpid()}"
    serving = [row for row in served.rows("workers") if row["state"] == "serving"]
    assert not before & {row["pid"] for row in serving}
    assert [row["generation"] for row in serving] == [2, 2, 2]
    assert {ask(served.server).split()[1] for _ in range(9)} == {"2"}
    assert served.row["generation"] == 2


@pytest.mark.parametrize(
    ("new", "reason", "detail"),
    [
        ("import no_such_thing", "'shop' raised ModuleNotFoundError while it was loaded", "No module named"),
        ("VERSION = 1 / 0", "'shop' raised ZeroDivisionError while it was loaded", "ZeroDivisionError"),
        ("VERSION = (", "'shop' raised SyntaxError while it was loaded", "SyntaxError"),
        ("del app", "module 'shop' has no attribute 'app'", ""),
        ("os._exit(5)", "ended with exit code 5 before it served", ""),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL", ""),
    ],
)
def test_one_whose_worker_does_not_start(
    control: Call, shop: pathlib.Path, change: Call, ask: Call, new: str, reason: str, detail: str
) -> None:
    served = control("run", "shop", "--port", "0")
    with (shop / "shop.py").open("a") as file:
        file.write(f"\n{new}\n")
    change(shop, "VERSION = 1", "VERSION = 2")
    served.do(f"servers/{served.pid}/reload")
    found = served.outcome("1")
    assert found["state"] == "failed"
    assert reason in found["reason"]
    assert detail in found["detail"]
    assert ask(served.server).endswith(" 1")
    assert served.row["generation"] == 1
    assert served.row["reload"] == {**found, "seconds": served.row["reload"]["seconds"]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("prot = 80", "prot"),
        ('timeout = "never"', "timeout"),
        ("= 1", "settings.toml"),
        ('static = "nowhere"', "nowhere"),
    ],
)
def test_one_whose_configuration_is_wrong(control: Call, shop: pathlib.Path, line: str, reason: str) -> None:
    file = shop / "settings.toml"
    file.write_text("drain = 2\n")
    served = control("run", "shop", "--port", "0", "--config", "settings.toml")
    file.write_text(line + "\n")
    served.do(f"servers/{served.pid}/reload")
    found = served.outcome("1")
    assert (found["state"], reason in found["reason"]) == ("failed", True), found
    file.write_text("drain = 3\n")
    served.do(f"servers/{served.pid}/reload")
    assert served.outcome("2")["state"] == "done"


def test_several_at_once(control: Call, shop: pathlib.Path, change: Call) -> None:
    change(shop, "import os, time", "import os, time\ntime.sleep(0.5)")
    served = control("run", "shop", "--port", "0")
    served.server.hint(signal.SIGHUP)
    numbers = [served.do(f"servers/{served.pid}/reload")[1]["reload"]["id"] for _ in range(4)]
    assert len(set(numbers)) <= 2  # those who ask while one is under way share the next
    assert served.outcome(max(numbers))["state"] == "done"
    rows = served.rows("reloads")
    assert {row["state"] for row in rows} == {"done"}
    assert "SIGHUP" in {row["by"] for row in rows}


def test_one_whose_other_workers_do_not_start(control: Call, shop: pathlib.Path) -> None:
    """The first does: so the code is not to blame, and they are tried again; who waits hears of it all the same."""
    served = control("run", "shop", "--port", "0", "--workers", "3")
    with (shop / "shop.py").open("a") as file:
        file.write(
            "\ntry:\n    os.mkdir('first')\nexcept FileExistsError:\n    raise RuntimeError('no second') from None\n"
        )
    os.utime(shop / "shop.py", (2e9, 2e9))
    served.do(f"servers/{served.pid}/reload")
    found = served.outcome("1")
    assert found["state"] == "failed"
    assert found["reason"] == (
        "'shop' raised RuntimeError while it was loaded; 1 of 3 workers are new, others are tried again"
    )
    assert "no second" in found["detail"]


def test_one_that_a_stop_ends(control: Call, shop: pathlib.Path, change: Call) -> None:
    change(shop, "import os, time", "import os, time\nif os.path.exists('wait'): time.sleep(60)")
    served = control("run", "shop", "--port", "0", "--drain", "3")
    (shop / "wait").touch()
    served.do(f"servers/{served.pid}/reload")
    with served.server.connect() as wire:
        wire.get("/slow?seconds=1")
        served.server.hint(signal.SIGTERM)
        found = served.outcome("1")
        assert (found["state"], found["reason"]) == ("failed", "the server was stopped")
        assert wire.answer()[0] == 200
    assert served.server.end(0)[0] == 0


def test_a_worker_that_has_admin_clients_asks_the_supervisor(control: Call) -> None:
    served = control("run", "shop", "--port", "0", "--admin", "127.0.0.1:0", "--api-token", "s3cret")
    wire = served.server.connect(1)
    assert wire.get(f"/api/servers/{served.pid}/reload", method="POST").answer()[0] == 403
    assert (
        wire.get(f"/api/servers/{served.pid}/reload", "Authorization: Bearer s3cret", method="POST").answer()[0] == 202
    )
    found = served.outcome("1")
    assert found["state"] == "done"
    assert found["by"].startswith("127.0.0.1:")
    assert served.server.end()[0] == 0
