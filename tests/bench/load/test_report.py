from __future__ import annotations

from pathlib import Path

import pytest

from bench.load import report
from bench.load.claims import CLAIMS
from bench.load.results import Results, Sample


@pytest.fixture
def results() -> Results:
    loads = [("C floor", 4.0), ("dimserver", 4.6), ("bjoern", 5.6)]
    samples = [
        Sample("plain-64", name, number, {"cpu_us": cpu, "per_second": 200_000.0, "p99_us": 420.0, "errors": 0.0})
        for number in range(3)
        for name, cpu in loads
    ]
    samples.append(Sample("plain-64", "fastwsgi", 0, problem="exited with status 1"))
    samples.append(Sample("idle-10000", "dimserver", 0, {"bytes_per_connection": 406.0, "opened": 1e4, "alive": 1e4}))
    return Results(samples=samples)


def test_best_first_and_absent_last(results: Results) -> None:
    rows = [line for line in report.markdown(results, None).splitlines() if line.startswith("| ")]
    loads = [row.split(" | ")[0].strip("|* ") for row in rows if " ± " in row or row.startswith("| fastwsgi")]
    assert loads == ["C floor", "dimserver", "bjoern", "fastwsgi"]


def test_figures_and_problems_are_shown(results: Results) -> None:
    page = report.markdown(results, "cpu.svg")
    assert "| **dimserver** | 4.60 | ± 0% | 1.15 | 200,000 |" in page
    assert "- fastwsgi, plain-64: exited with status 1" in page
    assert "](cpu.svg)" in page


def test_every_claim_is_a_row_measured_or_not(results: Results) -> None:
    page = report.markdown(results, None)
    assert "| memory a connection | 0.6 KB | 406 B |" in page
    assert "| CPU usage | 30 % | 4.6 % |" in page
    assert "| cold start | 0.5 s | not measured |" in page
    for claim in CLAIMS:
        assert f"| {claim.what} | {claim.claimed} |" in page


def test_the_claims_that_need_no_socket(results: Results) -> None:
    core = {"request_bytes": 496.0, "lookup_ns": 45.0, "route_ns": 99.0, "lazy_ns": 250.0, "eager_ns": 2500.0}
    results.core.update(core, routes_seconds=1.234, collections_0=12.0, collections_1=1.0, collections_2=0.0)
    page = report.markdown(results, None)
    assert "| 1,000,000 requests with 100 routes, time | 100 s | 1.2 s |" in page
    assert "| garbage collection | rare | 12 + 1 + 0 collections |" in page
    assert "| lazy parsing | 60 % faster | 90 % less time |" in page


def test_readme_keeps_what_stands_around_the_block(tmp_path: Path, results: Results) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{report.BEGIN}\nstale row\n{report.END}\n\nafter\n")
    report.write_readme(readme, report.readme_block(results, "bench/load/results/report.md"))
    text = readme.read_text()
    assert text.startswith(f"before\n\n{report.BEGIN}\n\n| server |")
    assert text.endswith(f"\n\n{report.END}\n\nafter\n")
    assert "stale row" not in text
    # Once more changes nothing.
    report.write_readme(readme, report.readme_block(results, "bench/load/results/report.md"))
    assert readme.read_text() == text


def test_readme_without_the_block(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{report.END} {report.BEGIN}")
    with pytest.raises(report.ReadmeError, match="bench:begin"):
        report.write_readme(readme, "table")
    assert readme.read_text() == f"{report.END} {report.BEGIN}"


def test_this_readme_has_the_block() -> None:
    text = (Path(report.__file__).parents[2] / "README.md").read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1
