from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.load import asgibodies, stand
from bench.load.results import Results


def results_of(scenario: str, key: str, figures: dict[str, float]) -> Results:
    results = Results()
    for name, figure in figures.items():
        results.samples.append(stand.attempt(scenario, name, 0, lambda figure=figure: {key: figure}))
    return results


def test_the_best_of_the_peers_counts_on_whichever_loop() -> None:
    figures = {asgibodies.ASYNCIO: 99.0, asgibodies.UVLOOP: 200.0, "uvicorn, uvloop": 50.0, "granian, asyncio": 100.0}
    results = results_of("download", "mib_per_second", figures)
    target = next(target for target in asgibodies.BENCH.targets if target.what == "download, asyncio")
    assert target.value(results) == 0.99
    assert not target.holds(0.99)


def test_memory_is_looked_at_in_every_scenario() -> None:
    results = results_of("upload", "growth_bytes", {asgibodies.UVLOOP: 1.0})
    results.samples += results_of("starlette-download", "growth_bytes", {asgibodies.UVLOOP: 9 << 20}).samples
    target = next(target for target in asgibodies.BENCH.targets if target.what == "growth of memory, uvloop")
    assert target.value(results) == 9 << 20
    assert not target.holds(9 << 20)


def test_a_look_at_it(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    look = ["--rounds", "1", "--seconds", "0", "--scale", "0.01", "--servers", asgibodies.ASYNCIO]
    assert stand.main(asgibodies.BENCH, [*look, "--out", str(tmp_path)]) == 0
    samples = json.loads((tmp_path / "asgibodies.json").read_text())["samples"]
    assert [sample["scenario"] for sample in samples] == list(asgibodies.SCENARIOS)
    assert [sample["problem"] for sample in samples] == [""] * 4
