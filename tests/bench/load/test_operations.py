from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.load import operations, stand
from bench.load.results import Results
from bench.load.stand import OURS


def test_what_is_reached() -> None:
    results = Results()
    samples = {
        "ask": {"stats_ms": 2.0, "list_ms": 5.1},
        "second": {"p99_ratio": 1.0},
        "tenth": {"p99_ratio": 1.2},
    }
    for scenario, values in samples.items():
        results.samples.append(stand.attempt(scenario, OURS, 0, lambda values=values: values))
    page = stand.page(operations.BENCH, results)
    assert "| ≤ 2 | 2.00 | yes |" in page
    assert "| ≤ 5 | 5.10 | **no** |" in page
    assert "| 1.00 × | yes |" in page
    assert "| 1.20 × | **no** |" in page


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load")
def test_a_look_at_it(tmp_path: Path) -> None:
    stand.main(operations.BENCH, ["--rounds", "1", "--seconds", "1", "--scale", "0.01", "--out", str(tmp_path)])
    samples = {
        sample["scenario"]: sample for sample in json.loads((tmp_path / "operations.json").read_text())["samples"]
    }
    assert [sample["problem"] for sample in samples.values()] == ["", "", ""]
    assert samples["ask"]["values"]["stats_ms"] > 0
    assert samples["second"]["values"]["list_p99_us"] > 0
    assert samples["tenth"]["values"]["trivial_p999_us"] > 0
    assert "dimserver" in (tmp_path / "operations.md").read_text()
