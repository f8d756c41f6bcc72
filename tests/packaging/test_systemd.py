"""The unit in examples/systemd: read by systemd itself, and held against what the server does."""

from __future__ import annotations

import configparser
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from tests.support.servers import child_environment
from tests.support.waiting import PATIENCE

UNIT = pathlib.Path(__file__).parents[2] / "examples/systemd/dimserver.service"


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def test_it_says_what_it_needs(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["Type"] == "notify"  # `notify-reload` is unknown before 253
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["KillMode"] == "mixed"
    assert int(service["WatchdogSec"]) > 1
    assert service["RuntimeDirectory"]
    words = service["ExecStart"].split()
    assert int(service["TimeoutStopSec"]) > float(words[words.index("--drain") + 1]) + 2


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_it(tmp_path: pathlib.Path) -> None:
    # Its program and directory are made up; all else is looked at as it stands.
    text = UNIT.read_text().replace("/srv/shop/venv/bin/dimserver", "/bin/true").replace("/srv/shop", "/")
    (tmp_path / UNIT.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert ours == []


def test_the_options_of_its_program_are_taken(unit: configparser.ConfigParser, tmp_path: pathlib.Path) -> None:
    """Started, reloaded and stopped as the unit says, with a manager that listens."""
    (tmp_path / "shop.py").write_text("def app(environ, start):\n    start('200 OK', [])\n    return [b'x']\n")
    words = unit["Service"]["ExecStart"].split()[1:]
    words[words.index("--uds") + 1] = "http.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        process = subprocess.Popen(
            [sys.executable, "-m", "dimserver", *words], cwd=tmp_path, stdout=subprocess.DEVNULL,
            env=child_environment(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000"),
        )  # fmt: skip
        try:
            told = manager.recv(4096)
            assert b"READY=1" in told
            assert f"MAINPID={process.pid}".encode() in told
            pings = [time.monotonic() for _ in range(3) if _next(manager, b"WATCHDOG=1")]
            assert pings[-1] - pings[0] < 10  # one each 0.2 s, on a machine that is busy
            process.send_signal(signal.SIGHUP)
            _next(manager, b"RELOADING=1")
            _next(manager, b"READY=1")
            process.terminate()
            _next(manager, b"STOPPING=1")
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()


def _next(manager: socket.socket, what: bytes) -> bool:
    while what not in manager.recv(4096):
        pass
    return True
