from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.load import stand, websockets
from bench.load.results import Results


def test_what_is_reached() -> None:
    results = Results()
    for scenario, name, values in (
        ("small", stand.OURS, {"cpu_us": 4.5}),
        ("small", websockets.COROUTINES, {"cpu_us": 10.1}),
        ("large", stand.OURS, {"cpu_us": 9.0}),
        ("silent", stand.OURS, {"bytes": 600.0}),
    ):
        results.samples.append(stand.attempt(scenario, name, 0, lambda values=values: values))
    page = stand.page(websockets.BENCH, results)
    assert "| ≤ 4.5 | 4.50 | yes |" in page
    assert "| ≤ 10 | 10.10 | **no** |" in page
    assert "| ≤ 600 | 600 | yes |" in page


@pytest.mark.slow
def test_a_look_at_it(tmp_path: Path) -> None:
    stand.main(
        websockets.BENCH,
        ["--rounds", "1", "--seconds", "1", "--scale", "0.01", "--out", str(tmp_path), "--servers", "dimserver"],
    )
    samples = json.loads((tmp_path / "websockets.json").read_text())["samples"]
    assert [(sample["scenario"], sample["problem"]) for sample in samples] == [
        ("small", ""), ("large", ""), ("silent", ""),
    ] * 3  # fmt: skip
    assert all(sample["values"]["cpu_us"] > 0 for sample in samples if sample["scenario"] != "silent")
