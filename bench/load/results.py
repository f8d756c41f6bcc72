"""Samples in, medians out; and the JSON file that keeps the samples."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.load.peers import FLOOR

Values = dict[str, float]


@dataclass
class Sample:
    """One measurement of one server.

    Attributes:
        round: candidates of one round were measured right after one another.
        problem: why there are no values, or "".
    """

    scenario: str
    server: str
    round: int
    values: Values = field(default_factory=dict)
    problem: str = ""


@dataclass
class Results:
    """All samples of a run and what they were taken on.

    Attributes:
        machine: see `machine.describe`.
        method: settings of the run, as text.
        versions: of each server, as text.
        core: figures that need no socket (`bench.load.core`).
    """

    machine: dict[str, str] = field(default_factory=dict)
    method: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    core: Values = field(default_factory=dict)

    def servers(self, scenario: str) -> list[str]:
        """Return the servers a scenario has samples of, in the order of the run."""
        return list(dict.fromkeys(s.server for s in self.samples if s.scenario == scenario))

    def series(self, scenario: str, server: str, key: str) -> dict[int, float]:
        """Return one figure by round."""
        return {
            s.round: s.values[key]
            for s in self.samples
            if s.scenario == scenario and s.server == server and key in s.values
        }

    def median(self, scenario: str, server: str, key: str) -> float | None:
        """Return the median over the rounds; `None` without a sample."""
        series = self.series(scenario, server, key)
        return statistics.median(series.values()) if series else None

    def ratio(self, scenario: str, server: str, key: str, base: str = FLOOR) -> float | None:
        """Return the median of the ratios to another server within each round.

        Within a round, what disturbs the machine disturbs both; a ratio of two
        medians would not cancel that.
        """
        mine, other = self.series(scenario, server, key), self.series(scenario, base, key)
        ratios = [mine[number] / other[number] for number in mine if other.get(number)]
        return statistics.median(ratios) if ratios else None

    def spread(self, scenario: str, server: str, key: str) -> float | None:
        """Return the distance of the furthest round from the median, as a fraction of the median."""
        series, middle = self.series(scenario, server, key), self.median(scenario, server, key)
        return max(abs(value - middle) for value in series.values()) / middle if middle else None

    def problems(self) -> list[str]:
        """Return one line for each thing that could not be measured."""
        lines = (f"{s.server}, {s.scenario}: {s.problem}" for s in self.samples if s.problem)
        return list(dict.fromkeys(lines))

    def write(self, path: Path) -> None:
        """Keep everything as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Return what `write` kept."""
        kept = json.loads(path.read_text())
        samples = [Sample(**sample) for sample in kept.pop("samples")]
        return cls(samples=samples, **kept)
