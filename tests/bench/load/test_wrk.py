from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bench.load import wrk


def fake(directory: Path, monkeypatch: pytest.MonkeyPatch, prints: str) -> None:
    """Put a program in wrk's place that prints what it is told to."""
    program = directory / "wrk"
    program.write_text(f"#!/bin/sh\necho '{prints}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def test_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "FIGURES 1000 500000 10.0 20.0 30.0 40.5 0 1 0 2 0")
    seen = wrk.run(8080, 4, 1, 1, None, tmp_path)
    assert (seen.requests, seen.seconds, seen.per_second) == (1000, 0.5, 2000.0)
    assert (seen.p50_us, seen.p90_us, seen.p99_us, seen.p999_us) == (10.0, 20.0, 30.0, 40.5)
    assert seen.errors == {"read": 1, "timeout": 2}


def test_no_figures_says_what_it_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "unable to connect")
    with pytest.raises(wrk.LoadError, match="unable to connect"):
        wrk.run(8080, 4, 1, 1, None, tmp_path)


def test_without_wrk_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(wrk.LoadError, match="apt-get install wrk"):
        wrk.find()


def test_a_batch_is_made_only_for_pipelining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "FIGURES 1 1 0 0 0 0 0 0 0 0 0")
    wrk.run(8080, 4, 1, 16, None, tmp_path)
    assert "string.rep(one, 16)" in (tmp_path / "wrk-16.lua").read_text()
    wrk.run(8080, 4, 1, 1, None, tmp_path)
    assert "request =" not in (tmp_path / "wrk-1.lua").read_text()
