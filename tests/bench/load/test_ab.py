from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import dimcore
from bench.load import ab

SOURCES = Path(dimcore.__file__).parents[1]
SCENARIO = ab.SCENARIOS[0]


def samples(old: list[float], new: list[float], again: list[float]) -> dict[str, ab.Samples]:
    return {SCENARIO.key: {"OLD": old, "NEW": new, ab.AGAIN: again}}


def test_a_build_is_an_interpreter_an_environment_or_a_tree(tmp_path: Path) -> None:
    assert ab.build_at(sys.executable, "/python") == ab.Build(sys.executable)
    interpreter = tmp_path / "venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(sys.executable)
    assert ab.build_at(str(tmp_path / "venv"), "/python") == ab.Build(str(interpreter)), "the link itself"
    tree = tmp_path / "tree"
    (tree / "src" / "dimserver").mkdir(parents=True)
    (tree / "src" / "dimcore").mkdir()
    with pytest.raises(ab.BuildError, match="its core is not compiled"):
        ab.build_at(str(tree), "/python")
    (tree / "src" / "dimcore" / "errors.so").touch()
    assert ab.build_at(str(tree), "/python") == ab.Build("/python", str(tree / "src"))
    with pytest.raises(ab.BuildError, match="neither an interpreter nor"):
        ab.build_at(str(tmp_path), "/python")


def test_a_build_that_is_none_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ab.main(["/nowhere", "/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("/nowhere: neither an interpreter nor")


@pytest.mark.parametrize(
    ("old", "new", "again", "fine", "said"),
    [
        ([100.0, 120.0], [101.0, 101.0], [101.5, 300.0], True, "NEW costs no more: 1.010"),
        ([100.0, 120.0], [90.0, 101.0], [101.0, 101.0], True, "NEW costs no more: 0.900"),
        ([100.0, 120.0], [103.0, 103.0], [101.0, 101.0], False, "NEW costs more: 1.030"),
        ([100.0, 100.0], [100.0, 100.0], [103.0, 103.0], False, "no verdict"),
        ([103.0, 103.0], [103.0, 103.0], [100.0, 100.0], False, "no verdict"),
    ],
)
def test_the_minima_decide(old: list[float], new: list[float], again: list[float], fine: bool, said: str) -> None:
    (line,), verdict = ab.verdict(samples(old, new, again), [SCENARIO])
    assert verdict is fine
    assert said in line


def test_the_table_has_minima_and_medians() -> None:
    header, old, new, again = ab.table(samples([100, 110, 300], [50, 99, 98], [100, 100, 100]), [SCENARIO]).split("\n")
    assert header.split() == ["CPU", "ns/request", "build", "minimum", "×", "OLD", "median", "×", "OLD"]
    assert old.split() == ["64", "connections", "OLD", "100", "1.000", "110", "1.000"]
    assert new.split() == ["NEW", "50", "0.500", "98", "0.891"]
    assert again.split()[2:] == ["100", "1.000", "100", "0.909"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_shares_a_cpu_does_not_interrupt() -> None:
    before = os.sched_getaffinity(0)
    with ab.sharing(min(before)):
        assert os.sched_getaffinity(0) == {min(before)}
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getaffinity(0) == before
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load")
def test_a_look_at_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    status = ab.main([sys.executable, sys.executable, "--rounds", "1"])
    said = capsys.readouterr()
    assert status in (0, 1), said.err  # one round is no measure
    rows = [line.split() for line in said.out.splitlines()[1:10]]
    assert all(float(row[-4].replace(",", "")) > 100 for row in rows), "nanoseconds of a whole request"
    assert [line for line in said.out.splitlines() if line.startswith("1,000 connections: ")]
