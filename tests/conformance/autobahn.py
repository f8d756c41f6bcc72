"""The Autobahn|Testsuite against echo servers: ``python tests/conformance/autobahn.py WSTEST [CASES...]``.

WSTEST is the program of the package ``autobahntestsuite``, which needs Python 2.7:

    python2.7 -m virtualenv env && env/bin/pip install autobahntestsuite
    python tests/conformance/autobahn.py env/bin/wstest            # all 517 cases for each form, 15 minutes
    python tests/conformance/autobahn.py env/bin/wstest '1.*' 2.3  # some

The same cases go to a handler that is told events, to one that is a coroutine and to an ASGI app.  Compression is on,
since cases 12 and 13 ask for it.  Prints a table of the outcomes; exit status 1 where a case is not OK, but for the
informational ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ECHO = """
from dimserver import App

app = App(port=0, ws_deflate=True)

@app.websocket("/events")
class Echo:
    def on_message(self, ws, message):
        ws.send(message)

@app.websocket("/coroutine")
async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def asgi(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})

app.mount("/asgi", asgi, interface="asgi")
app.run()
"""
FORMS = ("events", "coroutine", "asgi")
GOOD = ("OK", "INFORMATIONAL")


Results = dict[str, dict[str, str]]


def run(wstest: str, cases: list[str], directory: Path, forms: Sequence[str] = FORMS) -> dict[str, Results]:
    """Run cases; what the suite says of each, by form and number.

    Args:
        wstest: the suite's program.
        cases: numbers or patterns of them, for example ``6.*``.
        directory: for what the suite writes.
        forms: of handlers.

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
            "servers": [{"agent": form, "url": f"ws://127.0.0.1:{found[1]}/{form}"} for form in forms],
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
    results: dict[str, Results] = json.loads((directory / "reports" / "index.json").read_text())
    return results


def find_wstest() -> str | None:
    """The suite's program: what the variable WSTEST names, or what the search path has."""
    return os.environ.get("WSTEST") or shutil.which("wstest")


def faults(results: Results) -> dict[str, str]:
    """What is not as it has to be: the outcome, or that of the closing handshake, by case."""
    return {
        case: f"{result['behavior']}, close {result['behaviorClose']}"
        for case, result in results.items()
        if result["behavior"] not in GOOD or result["behaviorClose"] not in GOOD
    }


def main(wstest: str, *cases: str) -> int:
    with tempfile.TemporaryDirectory() as directory:
        results = run(str(Path(wstest).resolve()), list(cases) or ["*"], Path(directory))
    wrong = False
    for form, outcomes in results.items():
        wrong |= tell(form, outcomes)
    return int(wrong)


def tell(form: str, results: Results) -> bool:
    """Print the outcomes of a form; whether one is not as it has to be."""
    print(form)
    groups: dict[int, Counter[str]] = {}
    for case, result in results.items():
        groups.setdefault(int(case.partition(".")[0]), Counter())[result["behavior"]] += 1
    for group, outcomes in sorted(groups.items()):
        print(f"{group:>3}  " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    wrong = faults(results)
    for case, outcome in wrong.items():
        print(f"{case}: {outcome}")
    print(f"{len(results)} cases, {len(wrong)} not as they have to be")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
