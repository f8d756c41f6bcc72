from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.load import publish, stand


@pytest.mark.parametrize("name", publish.COMMANDS)
def test_a_look_at_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody gets every byte, whoever the server is; figures are a matter of the machine."""
    pytest.importorskip("uvloop" if name == publish.UVLOOP else "websockets")
    monkeypatch.setattr(publish, "COMMANDS", {name: publish.COMMANDS[name]})
    stand.main(publish.BENCH, ["--rounds", "1", "--scale", "0.002", "--out", str(tmp_path)])
    (sample,) = json.loads((tmp_path / "publish.json").read_text())["samples"]
    assert sample["problem"] == ""
    assert set(sample["values"]) >= {column.key for column in publish.BENCH.scenarios["publish"][1]}
    assert sample["values"]["publish_ms"] > 0


def test_the_targets_compare_with_the_best_peer() -> None:
    results = stand.Results()
    for name, rate in ((stand.OURS, 300.0), (publish.WEBSOCKETS, 100.0), (publish.UVLOOP, 200.0)):
        values = {"per_second": rate, "burst_per_cpu_second": rate, "p99_ratio": 1.5}
        results.samples.append(stand.attempt("publish", name, 0, lambda values=values: values))  # type: ignore[misc]
    text = stand.page(publish.BENCH, results)
    assert "| 1.50 × | **no** |" in text
    assert "| ≤ 2 × | 1.50 × | yes |" in text
