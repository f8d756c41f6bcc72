from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import dimcore
from bench.load import ab, callgrind

SOURCES = Path(dimcore.__file__).parents[1]


def test_no_valgrind_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ab.main([sys.executable, sys.executable, "--instructions"]) == 2
    assert capsys.readouterr().err == callgrind.HINT + "\n"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts the instructions")
def test_instructions_are_counted(tmp_path: Path) -> None:
    first = callgrind.instructions(sys.executable, str(SOURCES), 8, 1, tmp_path / "profiles")
    assert 1_000 < first < 100_000
    assert len(list((tmp_path / "profiles").iterdir())) == 2
    pipelined = callgrind.instructions(sys.executable, str(SOURCES), 8, 8)
    assert pipelined < first, "one read and one write for eight requests"
