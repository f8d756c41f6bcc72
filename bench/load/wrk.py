"""The load generator: wrk, told by a script of its own to print exact figures."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

from bench.load.process import pinned

HINT = "wrk is not on PATH: it makes the load (Debian and Ubuntu: apt-get install wrk; macOS and others: build it)"
MARK = "FIGURES"
FIELDS = ["requests", "microseconds", "p50", "p90", "p99", "p999", "connect", "read", "write", "timeout", "status"]

DONE = f"""
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("{MARK} %d %d %f %f %f %f %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
"""

PIPELINE = """
local batch
init = function(args)
  local one = wrk.format(nil, "/")
  batch = string.rep(one, %d)
end
request = function() return batch end
"""


class LoadError(Exception):
    """wrk is missing, or printed no figures."""


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw.

    Attributes:
        requests: answers received.
        seconds: length of the run.
        p50_us, p90_us, p99_us, p999_us: latency, microseconds.
        errors: connections refused, reads and writes failed, timeouts (over 2 s), answers of 400 and up.
    """

    requests: int
    seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    errors: dict[str, int]

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds if self.seconds else 0.0


def find() -> str:
    """Return the path of wrk.

    Raises:
        LoadError: it is not installed; the message names the package.
    """
    path = shutil.which("wrk")
    if path is None:
        raise LoadError(HINT)
    return path


def run(
    port: int,
    connections: int,
    seconds: int,
    pipeline: int,
    cpu: int | None,
    scratch: Path,
    *,
    path: str = "/",
    fields: tuple[str, ...] = (),
    lua: str = "",
    niceness: int = 0,
) -> Load:
    """Send GETs over keep-alive connections for some seconds.

    Args:
        port: of the loopback interface.
        connections: open at once, one thread.
        pipeline: requests sent in one write.
        cpu: the CPU wrk is bound to.
        scratch: directory for its script.
        path: what is asked for.
        fields: header fields to send along, each as ``Name: value``.
        lua: a script of the caller's own, in place of plain GETs.
        niceness: of wrk; 19 for a load whose own latency is of no interest, beside a client whose is.

    Raises:
        LoadError: wrk is missing, or printed no figures.
    """
    # One of a name for each script, so that two loads at once do not share one.
    script = scratch / (f"wrk-{zlib.crc32(lua.encode()):08x}.lua" if lua else f"wrk-{pipeline}.lua")
    script.write_text((lua or (PIPELINE % pipeline if pipeline > 1 else "")) + DONE)
    command = [find(), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    command += [word for field in fields for word in ("-H", field)]
    command.append(f"http://127.0.0.1:{port}{path}")
    if niceness:
        command = ["nice", "-n", str(niceness), *command]
    with pinned(cpu):
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return _load(line.split()[1:])
    raise LoadError(f"wrk printed no figures: {(done.stderr or done.stdout).strip()[-300:]}")


def _load(words: list[str]) -> Load:
    figures = {name: float(word) for name, word in zip(FIELDS, words, strict=True)}
    errors = {name: int(figures[name]) for name in FIELDS[6:] if figures[name]}
    return Load(
        requests=int(figures["requests"]),
        seconds=figures["microseconds"] / 1e6,
        p50_us=figures["p50"],
        p90_us=figures["p90"],
        p99_us=figures["p99"],
        p999_us=figures["p999"],
        errors=errors,
    )
