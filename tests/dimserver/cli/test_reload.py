"""Waiting for what becomes of a reload, step by step; test_control has it with a server."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.cli import reload as module
from dimserver.cli.operator_client import NoServer
from dimserver.cli.reload import ReloadFailed, reload
from dimserver.errors import ConfigError


class Server:
    """One that answers as the test says."""

    def __init__(self, *rows: Any) -> None:
        self.rows = list(rows)
        self.asked: list[str] = []

    def get(self, path: str) -> Any:
        self.asked.append(path)
        if path == "/api/servers":
            return {"servers": [{"id": "7", "pid": 7}]}
        found = self.rows.pop(0) if self.rows else entry("running")
        if isinstance(found, Exception):
            raise found
        return {"reloads": [] if found is None else [found]}

    def post(self, path: str) -> Any:
        self.asked.append(path)
        return {"reload": entry("running")}


def entry(state: str, number: int = 3, reason: str = "", detail: str = "") -> dict[str, Any]:
    return {"id": str(number), "state": state, "seconds": 1.5, "reason": reason, "detail": detail}


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*rows: Any) -> Server:
        server = Server(*rows)
        monkeypatch.setattr(module, "choose", lambda given, pid: server)
        return server

    return make


def test_until_it_is_done(use: Any, capsys: pytest.CaptureFixture[str]) -> None:
    server = use(entry("waiting"), None, entry("running"), entry("done"))
    assert reload([]) == 0
    assert capsys.readouterr().out == "dimserver: process 7 has reloaded in 1.50 s: every worker is new\n"
    assert server.asked == ["/api/servers", "/api/servers/7/reload", *["/api/reloads?limit=1&after=2"] * 4]


def test_until_it_has_failed(use: Any, capsys: pytest.CaptureFixture[str]) -> None:
    use(entry("failed", reason="no module", detail="Traceback …\n"))
    with pytest.raises(ReloadFailed, match=r"^the reload failed: no module$") as caught:
        reload([])
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == "Traceback …\n"


def test_not_longer_than_is_wanted(use: Any) -> None:
    use(*[entry("running", reason="no room")] * 99)
    with pytest.raises(ReloadFailed, match=r"^the reload is not done within 0\.1 s; it goes on: no room$"):
        reload(["--timeout", "0.1"])


def test_not_at_all(use: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert use() is not None
    assert reload(["--no-wait"]) == 0
    assert capsys.readouterr().out == "dimserver: reload 3 asked of process 7\n"


def test_the_server_ends_meanwhile(use: Any) -> None:
    use(NoServer("gone"))
    with pytest.raises(ReloadFailed, match="the server has ended before"):
        reload([])


def test_many_others_came_after_it(use: Any) -> None:
    use(entry("done", 30))
    with pytest.raises(ReloadFailed, match="not known any more"):
        reload([])


def test_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(given: Any, pid: int | None) -> None:
        raise NoServer("none")

    monkeypatch.setattr(module, "choose", choose)
    with pytest.raises(NoServer):
        reload([])


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "2 days"])
def test_a_timeout_that_is_none(value: str) -> None:
    with pytest.raises(ConfigError, match="--timeout"):
        reload(["--timeout", value])
