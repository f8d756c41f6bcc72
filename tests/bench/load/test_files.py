from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.ports import free_port, until_listening

from bench.load import files, stand
from bench.load.results import Results
from bench.load.stand import OURS


def test_files_are_what_is_asked_for(tmp_path: Path) -> None:
    files.lay_out(tmp_path / "root", 3_000_000)
    assert (tmp_path / "root" / "large.bin").stat().st_size == 3_000_000
    assert (tmp_path / "root" / "small.bin").stat().st_size == files.SMALL_BYTES


def test_a_ratio_is_of_medians_and_none_without_the_peer() -> None:
    target = files.BENCH.targets[1]
    results = Results()
    for number in range(3):
        results.samples.append(stand.attempt("file-1k", OURS, number, lambda: {"per_second": 80.0}))
    assert target.value(results) is None
    results.samples.append(stand.attempt("file-1k", files.NGINX, 0, lambda: {"per_second": 100.0}))
    assert target.value(results) == pytest.approx(0.8)
    assert target.holds(0.7)
    assert not target.holds(0.69)
    assert "| 0.80 | yes |" in stand.page(files.BENCH, results)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load")
def test_a_look_at_it(tmp_path: Path) -> None:
    look = ["--rounds", "1", "--seconds", "1", "--scale", "0.01", "--servers", OURS, "--out", str(tmp_path)]
    assert stand.main(files.BENCH, look) == 0
    samples = json.loads((tmp_path / "files.json").read_text())["samples"]
    assert {sample["scenario"] for sample in samples} == {"file-1k", "file-range", "file-100m"}
    assert [sample["problem"] for sample in samples] == ["", "", ""]
    assert "dimserver" in (tmp_path / "files.md").read_text()


@contextmanager
def listening(*command: str) -> Iterator[int]:
    """A server on the port that ``{port}`` in its command stands for."""
    port = free_port()
    process = subprocess.Popen([word.replace("{port}", str(port)) for word in command], stdout=subprocess.DEVNULL)
    try:
        until_listening(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_answers_are_nginx_s_but_for_three(tmp_path: Path) -> None:
    """Status, bytes and fields of every question; docs/static.md has the reasons for the three."""
    tmp_path.chmod(0o755)
    files.lay_out(tmp_path / "root", 1 << 20)
    command = files.nginx_command(tmp_path, tmp_path / "root", False)
    if command is None:
        pytest.skip("nginx is not installed")
    ours = (sys.executable, "-m", "dimserver", "run", "--static", str(tmp_path / "root"), "--port", "{port}")
    with listening(*ours) as here, listening(*command) as there:
        found = {name: lines for name, lines in files.differences(here, there).items() if lines}
        assert found == {
            "type of a.js": ["`content-type`: `text/javascript`, nginx `application/javascript`"],
            "a range for HEAD": [
                "status 200, nginx 206",
                "`accept-ranges`: `bytes`, nginx absent",
                "`content-length`: `1024`, nginx `10`",
                "`content-range`: absent, nginx `bytes 0-9/1024`",
            ],
            "directory without its slash": [
                f"`location`: `/directory/`, nginx `http://localhost:{there}/directory/`",
            ],
        }
