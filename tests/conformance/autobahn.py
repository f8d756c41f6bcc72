"""The Autobahn|Testsuite against an echo server: ``python tests/conformance/autobahn.py WSTEST [CASES...]``.

WSTEST is the program of the package ``autobahntestsuite``, which needs Python 2.7:

    python2.7 -m virtualenv env && env/bin/pip install autobahntestsuite
    python tests/conformance/autobahn.py env/bin/wstest            # all 517 cases, about ten minutes
    python tests/conformance/autobahn.py env/bin/wstest '1.*' 2.3  # some

Compression is on, since cases 12 and 13 ask for it.  Prints a table of the outcomes; exit status 1 where a case is
not OK, the informational ones apart.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ECHO = """
from dimserver import App

app = App(port=0, ws_deflate=True)

@app.websocket("/")
class Echo:
    def on_message(self, ws, message):
        ws.send(message)

app.run()
"""
GOOD = ("OK", "INFORMATIONAL")


def run(wstest: str, cases: list[str], directory: Path) -> dict[str, dict[str, str]]:
    """Run cases; what the suite says of each, by its number.

    Args:
        wstest: the suite's program.
        cases: numbers or patterns of them, for example ``6.*``.
        directory: for what the suite writes.

    Raises:
        subprocess.CalledProcessError: the suite did not run to its end.
    """
    server = subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://[\d.]+:(\d+)", server.stdout.readline())
        assert found is not None, "the server did not start"
        specification = {
            "outdir": str(directory / "reports"),
            "servers": [{"agent": "dimserver", "url": f"ws://127.0.0.1:{found[1]}/"}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (directory / "cases.json").write_text(json.dumps(specification))
        # Its Python is not ours.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run(
            [wstest, "-m", "fuzzingclient", "-s", "cases.json"],
            cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True,
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
    results: dict[str, dict[str, dict[str, str]]] = json.loads((directory / "reports" / "index.json").read_text())
    return results["dimserver"]


def faults(results: dict[str, dict[str, str]]) -> dict[str, str]:
    """What is not as it has to be: the outcome, or that of the closing handshake, by case."""
    return {
        case: f"{result['behavior']}, close {result['behaviorClose']}"
        for case, result in results.items()
        if result["behavior"] not in GOOD or result["behaviorClose"] not in GOOD
    }


def main(wstest: str, *cases: str) -> int:
    with tempfile.TemporaryDirectory() as directory:
        results = run(str(Path(wstest).resolve()), list(cases) or ["*"], Path(directory))
    groups: dict[int, Counter[str]] = {}
    for case, result in results.items():
        groups.setdefault(int(case.partition(".")[0]), Counter())[result["behavior"]] += 1
    for group, outcomes in sorted(groups.items()):
        print(f"{group:>3}  " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    wrong = faults(results)
    for case, outcome in wrong.items():
        print(f"{case}: {outcome}")
    print(f"{len(results)} cases, {len(wrong)} not as they have to be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
