"""What a line of the access log costs: ``python -m bench.load.accesslog``.

One server process on a CPU, wrk on another; each round takes every form once, and
the cost of a form is the median over the rounds of its CPU time a request minus
that of ``off`` *in the same round*.  The writing thread's time is in it: what is
counted is the whole process.  wrk sends a browser's user agent and a referer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench.load import wrk
from bench.load.process import free_port, serving

FORMS = ("off", "common", "combined", "json")
FIELDS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Referer: https://www.example.com/shop/index.html?page=3",
)


def sample(form: str, seconds: int, connections: int, pipeline: int, scratch: Path) -> float:
    """CPU microseconds a request of a fresh server that logs in this form.

    Raises:
        ServerError: it did not start.
        LoadError: wrk failed, or a line is missing in the log.
    """
    port = free_port()
    path = scratch / "access.log"
    path.unlink(missing_ok=True)
    words = ["-m", "dimserver", "run", "native:app", "--port", str(port), "--access-log", form]
    words += ["--access-log-file", str(path)] if form != "off" else []
    cpus = sorted(os.sched_getaffinity(0))
    server, client = (cpus[0], cpus[1]) if len(cpus) > 1 else (None, None)
    sources = str(Path(__file__).resolve().parents[2] / "src")
    with serving([sys.executable, *words], port, server, scratch / "server.log", sources) as running:
        wrk.run(port, connections, 1, pipeline, client, scratch, fields=FIELDS)
        before = running.cpu_seconds()
        load = wrk.run(port, connections, seconds, pipeline, client, scratch, fields=FIELDS)
        spent = running.cpu_seconds() - before
    if form != "off":
        with path.open("rb") as log:
            lines = sum(1 for _ in log)
        if lines < load.requests:
            raise wrk.LoadError(f"{lines} lines for more than {load.requests} requests")
    path.unlink(missing_ok=True)
    return spent / load.requests * 1e6


def main(argv: list[str] | None = None) -> int:
    """Take the samples and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.accesslog", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--pipeline", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="where the log is written; the system's temporary one")
    given = parser.parse_args(argv)
    found: dict[str, list[float]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory(dir=given.directory) as scratch:
        for _ in range(given.rounds):
            for form in FORMS:
                found[form].append(sample(form, given.seconds, given.connections, given.pipeline, Path(scratch)))
    print(f"{'access log':12}{'CPU us/request':>16}{'more than off':>16}")
    for form in FORMS:
        more = statistics.median(with_log - off for with_log, off in zip(found[form], found["off"], strict=True))
        print(f"{form:12}{statistics.median(found[form]):16.2f}{more:16.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
