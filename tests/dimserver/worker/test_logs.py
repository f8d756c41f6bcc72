"""The logs that settings describe."""

from __future__ import annotations

import pathlib
import sys

import pytest

from dimcore import ConnectionPoolManifold
from dimserver.config import Settings
from dimserver.errors import StartError
from dimserver.worker.logs import open_access_log, open_log, out


def test_the_error_log(tmp_path: pathlib.Path) -> None:
    log = open_log(Settings(log_file=tmp_path / "log", log_format="json", log_level="error"), 7)
    log.warning("no")
    log.error("yes")
    log.close()
    assert '"worker":7' in (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().count("\n") == 1
    with pytest.raises(StartError, match="cannot open the log '/none/log': No such file or directory"):
        open_log(Settings(log_file="/none/log"))


def test_the_access_log(tmp_path: pathlib.Path) -> None:
    pools = ConnectionPoolManifold()
    assert open_access_log(Settings(), pools, print) is None
    log = open_access_log(Settings(access_log="json", access_log_file=tmp_path / "log"), pools, print)
    assert log is not None
    log.close()
    assert (tmp_path / "log").exists()
    with pytest.raises(StartError, match="cannot open the access log '/none/log': No such file or directory"):
        open_access_log(Settings(access_log="json", access_log_file="/none/log"), pools, print)


def test_a_file_for_an_access_log_that_is_off(tmp_path: pathlib.Path) -> None:
    pools = ConnectionPoolManifold()
    told: list[str] = []
    for worker in (0, 1):
        settings = Settings(access_log_file=tmp_path / "log")
        assert open_access_log(settings, pools, told.append, worker) is None
    assert told == [f"access-log-file is '{tmp_path / 'log'}', but access-log is off: nothing is written"]
    assert not (tmp_path / "log").exists()


def test_where_to_speak() -> None:
    assert out(Settings()) is sys.stdout
    assert out(Settings(access_log="json")) is sys.stderr
    assert out(Settings(access_log="json", access_log_file="log")) is sys.stdout
    assert out(Settings(access_log="json", access_log_file="-")) is sys.stderr


def test_a_dash_is_standard_output(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = Settings(log_file="-", access_log="common", access_log_file="-")
    open_log(settings).error("to the log")
    assert "error: to the log" in capfd.readouterr().out
    lines = ConnectionPoolManifold()
    log = open_access_log(settings, lines, print)
    assert log is not None
    assert log._file.fd == 1
    log.close()
