"""The bench of apps of other interfaces: what is measured, and its table in README."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.load import gateways, report
from bench.load.peers import APPS
from bench.load.results import Results, Sample


def results(**cpu_us: float) -> Results:
    names = {"ours": gateways.INLINE, "bjoern": "bjoern", "granian": "granian"}
    return Results(
        samples=[
            Sample("wsgi", names[name], number, {"cpu_us": value, "per_second": 1.0, "p99_us": 1.0})
            for name, value in cpu_us.items()
            for number in range(3)
        ],
        method={"rounds and length": "3 rounds"},
    )


def test_every_app_is_there() -> None:
    for servers in gateways.SERVERS.values():
        for command in servers.values():
            modules = [word.partition(":")[0] for word in command if word.endswith(":app")]
            assert [(APPS / f"{module}.py").exists() for module in modules] == [True], command
            assert any("{port}" in word for word in command)


def test_the_best_of_the_others() -> None:
    against = gateways.best("wsgi", gateways.INLINE)
    assert against(results(ours=5, bjoern=4, granian=10)) == pytest.approx(1.25)
    assert against(results(ours=5)) is None
    assert gateways.best("wsgi", gateways.INLINE, ("granian",))(results(ours=5, bjoern=4, granian=10)) == 0.5


def test_what_memory_is_measured_with() -> None:
    for scenario, name in gateways.MEMORY.values():
        assert name in gateways.SERVERS[scenario]
    kept = Results(samples=[Sample("memory", gateways.INLINE, 0, {"growth_bytes": 3.0 * 2**20})])
    missed = [t.what for t in gateways.TARGETS if (value := t.value(kept)) is not None and not t.holds(value)]
    assert missed == ["growth over a million requests, on the loop"]


def test_the_table_goes_into_readme(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    text = (gateways.ROOT / "README.md").read_text()
    readme.write_text(text)
    block = gateways.readme_block(results(ours=5, bjoern=4), "page.md")
    report.write_readme(readme, block, "gateways")
    written = readme.read_text()
    assert "| **dimserver, on the loop** | 5.0 | – | – | – | – |" in written
    assert "| bjoern | 4.0 | – | – | – | – |" in written
    assert "3 rounds.  [The whole page](page.md)." in written
    report.write_readme(readme, block, "gateways")
    assert readme.read_text() == written
    assert written.partition("<!-- gateways:begin")[0] == text.partition("<!-- gateways:begin")[0]
    with pytest.raises(report.ReadmeError, match="nothing:begin"):
        report.write_readme(readme, block, "nothing")
