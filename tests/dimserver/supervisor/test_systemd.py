"""The service manager's side: what it is told, and which descriptors are taken over."""

from __future__ import annotations

import os
import pathlib
import socket
import time
from collections.abc import Iterator

import pytest

from dimserver.supervisor.systemd import Notifier, passed_sockets


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[tuple[socket.socket, str]]:
    """Its socket, and how NOTIFY_SOCKET names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@dimserver-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1))
        sock.settimeout(5)
        yield sock, name


def told(sock: socket.socket) -> list[str]:
    return sock.recv(4096).decode().split("\n")


def test_a_life(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    environment = {"NOTIFY_SOCKET": name, "OTHER": "stays"}
    notifier = Notifier(environment)
    assert environment == {"OTHER": "stays"}
    notifier.alive()  # not before it is ready
    notifier.ready("serving\nmuch")
    assert told(sock) == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=serving much"]
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    first, second, third = told(sock)
    assert (first, third) == ("RELOADING=1", "STATUS=reloading")
    assert 0 <= int(second.removeprefix("MONOTONIC_USEC=")) - before < 60_000_000
    notifier.alive()
    assert told(sock) == ["WATCHDOG=1"]
    notifier.stopping()
    assert told(sock)[0] == "STOPPING=1"
    notifier.failed("not started: why")
    assert told(sock) == ["STATUS=not started: why"]
    notifier.close()
    notifier.close()
    notifier.ready("")  # to nobody


def test_a_manager_that_is_gone_is_no_trouble(tmp_path: pathlib.Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")})
    notifier.ready("")
    notifier.close()


@pytest.mark.parametrize("address", ["", "relative", "vsock:1:2"])
def test_no_manager(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    notifier.ready("")
    assert notifier.interval == 0


@pytest.mark.parametrize(
    ("limit", "pid", "interval"),
    [("3000000", "", 1.5), ("3000000", "1", 0.0), ("0", "", 0.0), ("soon", "", 0.0), ("", "", 0.0)],
)
def test_the_watchdog(tmp_path: pathlib.Path, limit: str, pid: str, interval: float) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": limit}
    if pid:
        environment["WATCHDOG_PID"] = pid
    notifier = Notifier(environment)
    assert notifier.interval == interval
    notifier.close()
    assert environment == {}


def test_passed_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    made_private: list[int] = []
    monkeypatch.setattr(os, "set_inheritable", lambda fd, inheritable: made_private.append(fd))
    own = str(os.getpid())
    environment = {"LISTEN_PID": own, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "web:admin"}
    assert passed_sockets(environment) == [(3, "web"), (4, "admin"), (5, "unknown")]
    assert environment == {}
    assert made_private == [3, 4, 5]
    assert passed_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == []
    assert passed_sockets({"LISTEN_PID": own, "LISTEN_FDS": "-1"}) == []
    assert passed_sockets({"LISTEN_FDS": "1"}) == []
    assert len(passed_sockets({"LISTEN_PID": own, "LISTEN_FDS": "9999"})) == 64
    assert passed_sockets({}) == []
