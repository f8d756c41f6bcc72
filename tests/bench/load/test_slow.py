from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.load import slow, stand
from bench.load.stand import OURS

QUICK = ("--timeout-connect", "0.3", "--timeout-head", "0.3", "--rate-credit", "0.3", "--rate-body", "1000")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load of the others")
def test_a_look_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind is closed; with time limits of a fraction of a second, since a test cannot wait for the defaults."""
    monkeypatch.setattr(slow, "DEFAULTS", {OURS: slow.DEFAULTS[OURS] + QUICK})
    monkeypatch.setattr(slow, "WATCH_SECONDS", 400.0)  # 4 seconds at this scale, and over as soon as all are closed
    look = ["--rounds", "1", "--scale", "0.01", "--servers", OURS, "--out", str(tmp_path)]
    stand.main(slow.BENCH, look)  # latencies are a matter of the machine
    (sample,) = json.loads((tmp_path / "slow.json").read_text())["samples"]
    assert sample["problem"] == ""
    assert sample["values"]["left"] == 0
    assert all(sample["values"][f"{kind.key}_closed"] == 1 for kind in slow.KINDS)


def test_the_page_says_when_each_was_closed() -> None:
    results = stand.Results()
    values = {f"{kind.key}_{end}": kind.deadline for kind in slow.KINDS for end in ("first", "last")}
    results.samples.append(stand.attempt("slow", OURS, 0, lambda: values | {"left": 0.0, "off_seconds": 0.2}))
    text = stand.page(slow.BENCH, results)
    assert "due after 10 s, closed after 10.0 to 10.0 s" in text
    assert "| 0.20 | yes |" in text
