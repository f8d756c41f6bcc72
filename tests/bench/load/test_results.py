from __future__ import annotations

from pathlib import Path

from bench.load.results import Results, Sample


def run_of(*figures: tuple[str, int, float]) -> Results:
    return Results(samples=[Sample("plain-64", server, number, {"cpu_us": value}) for server, number, value in figures])


def test_median_over_the_rounds() -> None:
    results = run_of(("a", 0, 5.0), ("a", 1, 4.0), ("a", 2, 90.0))
    assert results.median("plain-64", "a", "cpu_us") == 5.0
    assert results.median("plain-64", "b", "cpu_us") is None
    assert results.median("plain-64", "a", "p99_us") is None


def test_ratio_pairs_the_samples_of_a_round() -> None:
    # The machine was twice as slow in the second round: the ratio does not move.
    results = run_of(("C floor", 0, 4.0), ("a", 0, 5.0), ("C floor", 1, 8.0), ("a", 1, 10.0), ("a", 2, 100.0))
    assert results.ratio("plain-64", "a", "cpu_us") == 1.25


def test_ratio_without_a_base() -> None:
    assert run_of(("a", 0, 5.0)).ratio("plain-64", "a", "cpu_us") is None


def test_spread_is_the_furthest_round() -> None:
    assert run_of(("a", 0, 4.0), ("a", 1, 5.0), ("a", 2, 6.5)).spread("plain-64", "a", "cpu_us") == 0.3


def test_a_problem_is_listed_once() -> None:
    results = Results(samples=[Sample("plain-64", "a", number, problem="exited") for number in range(3)])
    assert results.problems() == ["a, plain-64: exited"]
    assert results.servers("plain-64") == ["a"]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    results = run_of(("a", 0, 5.0))
    results.machine["kernel"] = "Linux"
    results.core["lookup_ns"] = 40.0
    results.write(tmp_path / "samples.json")
    assert Results.read(tmp_path / "samples.json") == results
