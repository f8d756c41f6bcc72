"""The control socket over the wire: while workers serve, while none can, and with peers that mean ill."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import stat
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

from dimserver.supervisor.control import MOST_BODY, MOST_CLIENTS

Call = Callable[..., Any]  # a helper of conftest


def test_it_is_the_users_alone_and_goes_with_the_server(control: Call) -> None:
    served = control("run", "shop", "--port", "0")
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(served.path.parent.stat().st_mode) == 0o700
    assert served.row["control"] == str(served.path)
    assert served.server.end()[::2] == (0, "")
    assert not served.path.parent.exists()


def test_it_speaks_the_operators_api(control: Call) -> None:
    served = control("run", "shop", "--port", "0", "--workers", "2")
    assert (served.row["state"], served.row["workers"], served.row["serves"]) == ("serving", 2, "shop")
    assert {row["pid"] for row in served.rows("workers")} == set(served.server.workers)
    assert [row["answers"] for row in served.rows("workers")] == [True, True]
    served.server.connect().get("/").answer()
    assert served.ask("/api/status")[1]["workers"] == 2
    assert served.ask("/api/stats")[1]["requests"]["total_requests"] >= 1  # those of this socket are in no figure
    (point,) = served.ask("/api/connections?spiral=0")[1]["points"]
    status, row = served.do(f"connections/{point['id']}/close")
    assert (status, row["id"]) == (200, point["id"])
    assert served.do(f"connections/{point['id']}/close")[0] == 404
    assert served.ask("/healthz") == (200, b"ok\n")
    assert served.ask("/metrics")[0] == 404
    assert served.ask("/")[0] == 404
    code, _, err = served.server.end()
    assert code == 0
    assert f"info: operator: close of connection {point['id']}, by uid {os.getuid()}, process {os.getpid()}: 200" in err


def test_it_answers_while_no_worker_can(control: Call) -> None:
    served = control("run", "shop", "--port", "0", "--workers", "2", "--drain", "1")
    pids = served.server.workers
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        status, content = served.ask("/api/workers")
        assert (status, [row["answers"] for row in content["workers"]]) == (200, [False, False])
        assert [row["reason"] for row in content["missing"]] == ["no answer within 0.2 s"] * 2
        assert time.monotonic() - began < 10
        status, row = served.do(f"servers/{served.pid}/reload")
        assert status == 202
        assert served.outcome(row["reload"]["id"])["state"] == "done"
        until(lambda: all(row["answers"] for row in served.rows("workers") if row["state"] == "serving"))
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
    assert served.server.end()[0] == 0


def test_while_the_server_starts_and_drains(control: Call, shop: pathlib.Path) -> None:
    (shop / "late.py").write_text(
        "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nfrom shop import app\n"
    )
    served = control("run", "late", "--port", "0", announced=False)
    until(served.path.exists)
    assert served.row["state"] == "starting"
    assert served.do(f"servers/{served.pid}/scale", {"workers": 3}) == (409, {"error": "the server is starting"})
    status, row = served.do(f"servers/{served.pid}/reload")
    assert (status, row["reload"]["state"]) == (202, "waiting")
    (shop / "go").touch()
    until(lambda: served.row["state"] == "serving")
    assert served.outcome("1")["state"] == "done"
    with served.server.__class__.connect(_with_urls(served)) as wire:
        wire.get("/slow?seconds=2")
        until(lambda: served.ask("/api/stats")[1]["requests"]["in_flight"] == 1)
        assert served.do(f"servers/{served.pid}/drain")[1]["state"] == "draining"
        assert served.row["state"] == "draining"
        for verb in (f"servers/{served.pid}/reload", f"workers/{served.rows('workers')[0]['id']}/restart"):
            assert served.do(verb) == (409, {"error": "the server is ending"})
        assert wire.answer()[0] == 200
    assert served.server.process.wait(20) == 0


def _with_urls(served: Any) -> Any:
    served.server.urls = served.row["urls"]
    return served.server


def test_verbs_of_the_server_and_its_workers(control: Call) -> None:
    served = control("run", "shop", "--port", "0")
    server = f"servers/{served.pid}"
    first = served.server.worker
    status, row = served.do(f"{server}/scale", {"workers": 2})
    assert (status, row["workers"]) == (202, 2)
    until(lambda: len(served.server.workers) == 2)
    (number,) = [row["id"] for row in served.rows("workers") if row["pid"] == first]
    status, row = served.do(f"workers/{number}/restart")
    assert (status, row["pid"]) == (202, first)
    until(lambda: len(served.server.workers) == 2 and first not in served.server.workers)
    assert served.do("workers/77/restart") == (404, {"error": "no such worker", "id": "77"})
    assert served.do(f"servers/{served.pid + 1}/drain")[0] == 404
    assert served.do(f"{server}/reopen")[0] == 200
    status, wrong = served.do(f"{server}/scale", {"workers": 0})
    assert (status, wrong["parameter"], wrong["allowed"]) == (400, "workers", "a whole number from 1 to 512")
    assert served.do(f"{server}/drain")[0] == 202
    assert served.server.process.wait(20) == 0
    _, _, err = served.server.end(0)
    who = f"by uid {os.getuid()}, process {os.getpid()}"
    for line in (
        f"info: operator: scale of server {served.pid} workers=2, {who}: 202",
        f"info: operator: restart of worker {number}, {who}: 202",
        f"info: worker {first} is replaced: asked for {who}",
        f"info: operator: drain of server {served.pid}, {who}: 202",
    ):
        assert line in err


@pytest.mark.parametrize("fields", [{"Origin": "http://localhost"}, {"Sec_Fetch_Site": "cross-site"}])
def test_no_web_page_acts(control: Call, fields: dict[str, str]) -> None:
    served = control("run", "shop", "--port", "0")
    assert served.ask(f"/api/servers/{served.pid}/drain", "POST", **fields)[0] == 403
    assert served.row["state"] == "serving"


def test_peers_that_mean_ill_hold_up_nobody(control: Call) -> None:
    served = control("run", "shop", "--port", "0")
    assert served.ask("/api/status")[0] == 200
    idle = [served.open() for _ in range(MOST_CLIENTS - 2)]
    for sock in idle:
        sock.sendall(b"GET /api/status HTTP/1.1\r\nHost:")
    assert served.ask("/api/status")[0] == 200
    more = [served.open() for _ in range(8)]
    refused = more[-1].recv(4096)
    assert refused.startswith(b"HTTP/1.1 503 ")
    for sock in (*idle, *more):
        sock.close()
    until(lambda: served.ask("/api/status")[0] == 200)
    assert served.do(f"servers/{served.pid}/scale", b"x" * (MOST_BODY + 1))[0] == 413
    for data in (b"\0" * 100, b"GET / HTTP/9\r\n\r\n", b"x" * 70_000):
        with served.open() as sock:
            sock.sendall(data)
            assert sock.recv(4096).startswith(b"HTTP/1.1 ")
    with served.open() as sock:  # a peer that reads nothing, and leaves in the middle of the answer
        sock.sendall(b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\n\r\n" * 300)
    assert served.ask("/api/status")[0] == 200
    code, _, err = served.server.end()
    assert (code, "Traceback" in err) == (0, False)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_one_that_is_taken_away_comes_back(control: Call, used: bool, whole: bool) -> None:
    served = control("run", "shop", "--port", "0", "--worker-timeout", "4")  # which is looked at once a second
    if used:
        assert served.row["pid"] == served.pid
    if whole:
        for path in served.place.iterdir():
            shutil.rmtree(path)
    else:
        served.path.unlink()
    until(served.path.exists)
    until(lambda: [row["answers"] for row in served.rows("workers")] == [True])
    assert served.do(f"servers/{served.pid}/scale", {"workers": 2})[0] == 202
    until(lambda: len(served.server.workers) == 2)
    code, _, err = served.server.end()
    assert code == 0
    assert f"warning: the control socket was removed: {served.path} is new" in err
    assert list((served.place / "dimserver").iterdir()) == []


def test_workers_and_their_programs_do_not_have_it(control: Call, shop: pathlib.Path) -> None:
    """Not the socket, and not a client that was there when they were forked: the client sees the end at once."""
    served = control("run", "shop", "--port", "0")
    with served.open() as client:
        client.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096)
        before = served.server.worker
        served.do(f"servers/{served.pid}/reload")
        until(lambda: before not in served.server.workers)
        os.kill(served.pid, signal.SIGKILL)
        client.settimeout(2)
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        served.open()


def test_a_server_alone_has_one(control: Call, shop: pathlib.Path) -> None:
    (shop / "program.py").write_text("from shop import app\napp.run(port=0)\n")
    served = control(module=("program.py",))
    assert (served.row["pid"], served.row["workers"], served.row["serves"]) == (served.pid, 1, "App")
    assert [row["answers"] for row in served.rows("workers")] == [True]
    for verb in (f"servers/{served.pid}/reload", "workers/0/restart"):
        status, content = served.do(verb)
        assert status == 409
        assert "dimserver run" in content["error"]
    assert served.do(f"servers/{served.pid}/drain")[0] == 202
    assert served.server.process.wait(20) == 0
    assert not served.path.parent.exists()
