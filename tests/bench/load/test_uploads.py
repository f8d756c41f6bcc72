from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.load import stand, uploads
from bench.load.stand import OURS


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load of the others")
def test_a_look_at_it(tmp_path: Path) -> None:
    look = ["--rounds", "1", "--seconds", "1", "--scale", "0.2", "--servers", OURS, "--out", str(tmp_path)]
    stand.main(uploads.BENCH, look)  # latencies are a matter of the machine
    (sample,) = json.loads((tmp_path / "uploads.json").read_text())["samples"]
    assert sample["problem"] == ""
    assert sample["values"]["answered"] == sample["values"]["uploads"] == 20
    assert sample["values"]["per_second"] > 0


def test_the_page_says_how_many_were_answered() -> None:
    results = stand.Results()
    values = {"uploads": 100.0, "answered": 99.0, "p99_without_us": 1000.0, "p99_us": 1600.0, "p99_ratio": 1.6}
    results.samples.append(stand.attempt("uploads", OURS, 0, lambda: values))
    text = stand.page(uploads.BENCH, results)
    assert "| slow uploads without their answer | none | 1 | **no** |" in text
    assert "| 1.60 | **no** |" in text
