"""The test suite as `.ci/run` runs it: with a word about every test that was skipped.

    python .ci/suite.py [ARGUMENTS OF PYTEST]

Three sections stand before pytest's closing line: skips that are expected on this machine, what `.ci/run` set out to
prepare and could not, and all other skips.  The last make the run fail: a test that silently never runs guards nothing.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
LINUX = sys.platform.startswith("linux")

# Reason as a pattern, when it may be the reason of a skip, and why nothing can be prepared against it.
EXPECTED: tuple[tuple[str, bool, str], ...] = (
    (r"any port may be bound here", True, "the machine's net.ipv4.ip_unprivileged_port_start"),
    (r"root may do everything", ROOT and not LINUX, "only Linux lets root do less"),
    (r"inspect\.markcoroutinefunction", sys.version_info < (3, 12), "the function is new in Python 3.12"),
    (r"not epoll", True, "the case is about one kind of loop alone"),
    (r"no IPv6 here", not Path("/proc/net/if_inet6").exists() or not LINUX, "the machine has none"),
    (r"descriptors are (needed|allowed)", True, "the machine's hard limit (ulimit -Hn)"),
    (r"does not let a process be traced", True, "the machine's rules for ptrace"),
    (r"does not show what is mapped", not ROOT, "the machine's rules for /proc/PID/map_files"),
    (r"the system has such a thing", LINUX, "the test is about other systems"),
    (r"elsewhere|the system has no groups of sockets|an option of|reads /proc|no /proc", not LINUX, "Linux alone"),
)

# What `.ci/run` could not prepare, a line each: "haproxy: why".  A skip whose reason has the name is no surprise then.
LACKING = "CI_LACKING"


def reason_of(report: Any) -> str:
    """The text that was given for a skip."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


class Skips:
    """What was skipped in a run."""

    def __init__(self, expected: tuple[tuple[str, bool, str], ...] = EXPECTED, lacking: str = "") -> None:
        self.expected = expected
        self.lacking = [line for line in lacking.splitlines() if line]
        self.reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.reasons[reason_of(report)] += 1

    def pytest_collectreport(self, report: Any) -> None:
        if report.skipped:
            self.reasons[f"{reason_of(report)} (a whole file: {report.nodeid})"] += 1

    def sorted(self) -> tuple[list[str], list[str]]:
        """Lines about the skips that are expected, and about the others."""
        expected, others = [], []
        for reason, count in sorted(self.reasons.items()):
            why = next((why for pattern, holds, why in self.expected if holds and re.search(pattern, reason)), None)
            if why is None and any(line.partition(":")[0] in reason for line in self.lacking):
                why = "it is lacking"
            (others if why is None else expected).append(f"{count:4} × {reason}" + ("" if why is None else f": {why}"))
        return expected, others

    def pytest_sessionfinish(self, session: Any) -> None:
        if session.exitstatus == 0 and self.sorted()[1]:
            session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        expected, others = self.sorted()
        for title, lines in (
            ("skipped, as expected", expected),
            ("LACKING: what could not be prepared", self.lacking),
            ("SKIPPED WITHOUT NEED: this fails the run", others),
        ):
            if lines:
                terminalreporter.section(title)
                for line in lines:
                    terminalreporter.line(line)


if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[1:], plugins=[Skips(lacking=os.environ.pop(LACKING, ""))]))
