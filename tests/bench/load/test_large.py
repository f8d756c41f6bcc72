from __future__ import annotations

import json
from pathlib import Path

from bench.load import large, stand
from bench.load.stand import OURS


def test_a_look_at_it(tmp_path: Path) -> None:
    """80 MiB each way; a server that held them would not stay within the bound."""
    look = ["--rounds", "1", "--scale", "0.02", "--servers", OURS, "--out", str(tmp_path)]
    assert stand.main(large.BENCH, look) == 0
    samples = json.loads((tmp_path / "large.json").read_text())["samples"]
    assert [(sample["scenario"], sample["problem"]) for sample in samples] == [
        ("upload", ""),
        ("download", ""),
        ("download-thread", ""),
    ]
    assert all(sample["values"]["growth_bytes"] < 64 << 20 for sample in samples)
