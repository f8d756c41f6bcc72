"""What an operator sees of two worker processes and does to them, whichever of them answers."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until

Start = Callable[..., Any]

APP = """
import os, time
from dimserver import App
app = App()

@app.get("/")
def index(request):
    return str(os.getpid())

@app.get("/stuck")
def stuck(request):
    time.sleep(60)
"""


class Server:
    """Two workers, an admin listener, and an admin connection to each worker."""

    def __init__(self, child: Start, directory: pathlib.Path) -> None:
        (directory / "shop.py").write_text(APP)
        words = (
            "--port",
            "0",
            "--workers",
            "2",
            "--admin",
            "127.0.0.1:0",
            "--api",
            "--drain",
            "2",
            "--log-level",
            "error",
        )
        self.child = child("run", "shop", *words, cwd=directory)
        self.admins: dict[int, Any] = {}

    def json(self, wire: Any, target: str, status: int = 200, method: str = "GET") -> Any:
        found = wire.get(target, method=method).answer()
        assert found[0] == status, found
        return json.loads(found[2])

    def worker_of(self, wire: Any) -> int:
        """The number of the worker that has an admin connection."""
        host, port = wire.sock.getsockname()
        rows = self.json(wire, "/api/connections?spiral=3")["points"]
        (number,) = [row["worker"] for row in rows if row["client"] == f"{host}:{port}"]
        return int(number)

    def meet(self) -> dict[int, Any]:
        """One admin connection for each worker."""

        def more() -> bool:
            if len(self.admins) < 2:
                wire = self.child.connect(1)
                if self.admins.setdefault(self.worker_of(wire), wire) is not wire:
                    wire.close()
            return len(self.admins) == 2

        until(more)
        return self.admins

    def stats(self, wire: Any) -> Any:
        return self.json(wire, "/api/stats")

    def pids(self, wire: Any) -> dict[int, int]:
        return {row["worker"]: row["pid"] for row in self.stats(wire)["workers"]}


@pytest.fixture
def server(child: Start, tmp_path: pathlib.Path) -> Iterator[Server]:
    server = Server(child, tmp_path)
    yield server
    for pid in server.child.workers:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def load(server: Server, connections: int = 12, requests: int = 5) -> list[Any]:
    """Connections of both workers that have asked something."""
    wires = [server.child.connect() for _ in range(connections)]
    answered = set()
    for wire in wires:
        for _ in range(requests):
            answered.add(wire.get().answer()[2])
    while len(answered) < 2:
        wires.append(server.child.connect())
        answered.add(wires[-1].get().answer()[2])
        requests = 0
    return wires


def test_sums_are_exact_whoever_answers(server: Server) -> None:
    one, other = server.meet().values()
    before = server.stats(one)
    wires = [server.child.connect() for _ in range(20)]
    for wire in wires:
        for _ in range(5):
            assert wire.get().answer()[0] == 200
    after = server.stats(other)
    assert after["requests"]["total_requests"] == before["requests"]["total_requests"] + 101
    stats = after["connections"]["spiral_0"]
    assert (stats["total_connections"], stats["idle_connections"]) == (20, 20)
    assert {row["state"] for row in after["workers"]} == {"serving"}
    assert {row["pid"] for row in after["workers"]} == set(server.child.workers)
    assert server.json(one, "/api/status")["workers"] == 2
    assert server.json(other, "/api/connections")["pools"][0]["layers"]["idle"] == 20
    for wire in wires:
        wire.close()
    until(lambda: server.stats(one)["connections"]["spiral_0"]["total_closed"] == 20)
    assert server.stats(other)["connections"]["spiral_0"]["total_connections"] == 0


def test_points_of_all_workers_are_listed_and_can_be_closed(server: Server) -> None:
    wires = load(server)
    one, other = server.meet().values()
    found = server.json(one, "/api/connections?spiral=0&layer=4")
    assert found["missing"] == []
    assert len({row["id"] for row in found["points"]}) == len(wires) == found["matching"]
    assert {row["worker"] for row in found["points"]} == set(server.admins)
    assert {row["id"] for row in server.json(other, "/api/connections?spiral=0&layer=4")["points"]} == {
        row["id"] for row in found["points"]
    }
    idle = [row["idle"] for row in found["points"]]
    assert idle == sorted(idle, reverse=True)
    by_client = {"{}:{}".format(*wire.sock.getsockname()): wire for wire in wires}
    for row in found["points"]:  # each through the worker that does not have it
        wire = next(wire for number, wire in server.admins.items() if number != row["worker"])
        closed = server.json(wire, f"/api/connections/{row['id']}/close", method="POST")
        assert (closed["id"], closed["client"], closed["layer_name"]) == (row["id"], row["client"], "closed")
        assert by_client[row["client"]].ended()
        assert server.json(wire, f"/api/connections/{row['id']}/close", 404, "POST")["error"] == "no such connection"
    until(lambda: server.json(one, "/api/connections?spiral=0&layer=4")["matching"] == 0)


def test_an_operator_can_close_the_very_connection_that_asks(server: Server) -> None:
    wire = server.child.connect(1)
    host, port = wire.sock.getsockname()
    rows = server.json(wire, "/api/connections?spiral=3")["points"]
    (name,) = [row["id"] for row in rows if row["client"] == f"{host}:{port}"]
    closed = server.json(wire, f"/api/connections/{name}/close", method="POST")
    assert (closed["id"], closed["stage"]) == (name, "routed")
    assert wire.ended()


def test_totals_outlive_a_worker_that_is_killed(server: Server) -> None:
    load(server)
    one, other = server.meet()
    admin = server.admins[one]
    pids = server.pids(admin)
    before = server.stats(admin)
    os.kill(pids[other], signal.SIGKILL)

    def replaced() -> bool:
        rows = server.stats(admin)["workers"]
        return [row["state"] for row in rows] == ["serving"] * 2 and pids[other] not in [row["pid"] for row in rows]

    until(replaced)
    after = server.stats(admin)
    assert after["requests"]["total_requests"] > before["requests"]["total_requests"]
    was, now = before["connections"]["spiral_0"], after["connections"]["spiral_0"]
    for key in ("total_created", "total_refused"):
        assert now[key] == was[key]
    # Its connections are closed; those of the other one are as they were.
    assert 0 < now["total_connections"] < was["total_connections"]
    assert now["total_closed"] == was["total_closed"] + was["total_connections"] - now["total_connections"]
    listed = sum(pool["total_connections"] for pool in after["connections"].values())
    assert listed == sum(row["connections"] for row in after["workers"])
    assert after["supervisor"]["crashes"] == 1
    assert server.stats(admin)["requests"]["total_requests"] == after["requests"]["total_requests"] + 1


def test_what_a_dead_worker_was_doing_is_in_the_log(server: Server) -> None:
    wire = server.child.connect().get("/stuck?because")

    def stuck() -> int:
        probe = server.child.connect(1)
        probe.sock.settimeout(0.5)
        try:
            rows = server.stats(probe)["workers"]
        except TimeoutError:  # it was the stuck one that took the connection
            return 0
        finally:
            probe.close()
        return next((int(row["pid"]) for row in rows if row["busy"] > 0.05), 0)

    found: list[int] = []
    until(lambda: found.append(stuck()) or found[-1] > 0)  # type: ignore[func-returns-value]
    pid = found[-1]
    os.kill(pid, signal.SIGKILL)
    assert wire.ended()
    until(lambda: pid not in server.child.workers)
    _, _, err = server.child.end()
    assert f"worker {pid} was killed by SIGKILL" in err
    assert "while it served GET /stuck?because (for " in err


def test_a_worker_that_stands_still_is_named_and_nobody_waits_for_it(server: Server) -> None:
    load(server)
    one, other = server.meet()
    pids = server.pids(server.admins[one])
    os.kill(pids[other], signal.SIGSTOP)
    admin = server.admins[one]
    began = time.monotonic()
    found = server.json(admin, "/api/connections?spiral=0&limit=1000")
    assert time.monotonic() - began < 10  # it is 0.2 s, on a machine that has time
    (missing,) = found["missing"]
    assert (missing["worker"], missing["pid"]) == (other, pids[other])
    # As long as it took: 0.2 s, on a machine that has time.
    assert re.fullmatch(r"no answer within \d\.\d s", missing["reason"])
    assert {row["worker"] for row in found["points"]} == {one}
    assert found["matching"] > len(found["points"]) > 0
    assert len(server.stats(admin)["workers"]) == 2  # the board needs nobody's answer
    assert server.json(admin, f"/api/connections/{other}-1000001/close", 503, "POST")["worker"] == other
    os.kill(pids[other], signal.SIGCONT)
    until(lambda: server.json(admin, "/api/connections?spiral=0")["missing"] == [])


def test_drain_ends_the_whole_server(server: Server) -> None:
    one, _ = server.meet().values()
    idle = server.child.connect()
    idle.get().answer()
    row = server.json(one, f"/api/servers/{server.child.pid}/drain", 202, "POST")
    assert (row["pid"], row["state"]) == (server.child.pid, "draining")
    assert server.child.process.wait(PATIENCE) == 0
    assert idle.ended()
    code, out, err = server.child.end(0)
    assert (code, err) == (0, "")
    assert "dimserver: stopped; " in out


def test_nothing_can_be_done_from_the_main_listener(server: Server) -> None:
    wire = server.child.connect()
    assert server.stats(wire)["requests"]["total_requests"] > 0  # --api
    for target in (f"/api/servers/{server.child.pid}/drain", "/api/connections/0-1000001/close"):
        assert server.json(wire, target, 403, "POST")["error"] == "forbidden"  # there is no token
    for target in ("/healthz", "/readyz", "/metrics"):
        assert wire.get(target).answer()[0] == 404
    assert wire.get("/").answer()[0] == 200


def test_a_web_page_cannot_drain_the_server(server: Server) -> None:
    wire = server.child.connect(1)
    assert (
        wire.get(f"/api/servers/{server.child.pid}/drain", "Origin: https://evil.example", method="POST").answer()[0]
        == 403
    )
    assert wire.get("/api/status").answer()[0] == 200


def test_health(server: Server) -> None:
    wire = server.child.connect(1)
    assert wire.get("/healthz").answer()[::2] == (200, b"ok\n")
    assert wire.get("/readyz").answer()[::2] == (200, b"ready\n")


def test_metrics(server: Server) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    load(server)
    wire = server.child.connect(1)
    status, headers, body = wire.get("/metrics").answer()
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/plain")
    families = {family.name: family for family in parser.text_string_to_metric_families(body.decode())}
    idle = {
        (sample.labels["pool"], sample.labels["state"]): sample.value
        for sample in families["dimserver_connections"].samples
    }
    assert idle["http", "idle"] >= 12
    assert families["dimserver_requests"].samples[0].value >= 60


def test_no_directory_is_left_behind(child: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pathlib.Path(f"/tmp/o{os.getpid()}")  # short enough for a socket
    place.mkdir()
    try:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setenv("TMPDIR", str(place))
        server = Server(child, tmp_path)
        (directory,) = place.iterdir()
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {each.name for each in directory.iterdir()} == {"0", "1", "supervisor", "control"}
        os.kill(server.child.workers[0], signal.SIGKILL)
        assert server.child.end()[0] == 0
        assert list(place.iterdir()) == []
    finally:
        place.rmdir()
