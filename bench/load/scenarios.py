"""What is measured: each scenario starts one server afresh, takes one sample of it, and stops it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.load import idle, wrk
from bench.load.peers import FLOOR, OURS, Server
from bench.load.process import Running, free_port, serving

Values = dict[str, float]

WARM_UP_SECONDS = 1
IDLE_CONNECTIONS = 10_000
MILLION = 1_000_000


@dataclass(frozen=True)
class Setup:
    """The run's constants.

    Attributes:
        python: interpreter that has dimserver.
        peers_python: interpreter that has the peers.
        python_path: ``PYTHONPATH`` for dimserver, when it runs from a source tree.
        floor: the compiled C floor.
        scratch: directory for logs and scripts.
        seconds: length of one load.
        server_cpu, client_cpu: CPUs they are bound to; `None` where there is only one.
    """

    python: str
    peers_python: str
    python_path: str
    floor: Path
    scratch: Path
    seconds: int
    server_cpu: int | None
    client_cpu: int | None


@dataclass(frozen=True)
class Scenario:
    """One thing measured.

    Attributes:
        key: its name on the command line and in the JSON.
        title: its name in the report.
        measure: takes one sample of a running server.
        servers: names of the candidates it is for; empty means all.
        rounds: how often it is taken at most; 0 leaves that to the run.
        descriptors: open files needed in one process.
    """

    key: str
    title: str
    measure: Callable[[Running, Setup], Values]
    servers: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    rounds: int = 0
    descriptors: int = 1024

    def takes(self, server: Server) -> bool:
        """Return whether this candidate is measured in it."""
        return server.name not in self.without and (not self.servers or server.name in self.servers)


def sample(scenario: Scenario, server: Server, setup: Setup) -> Values:
    """Start the server, measure, stop it.

    Raises:
        ServerError: it did not start.
        LoadError: wrk is missing or failed.
    """
    ours = server.name == OURS
    port = free_port()
    command = server.argv(setup.python if ours else setup.peers_python, setup.floor, port)
    log = setup.scratch / f"{server.name.replace(' ', '-')}.log"
    with serving(command, port, setup.server_cpu, log, setup.python_path if ours else "") as running:
        return scenario.measure(running, setup)


def load(connections: int, pipeline: int = 1) -> Callable[[Running, Setup], Values]:
    """Return a measurement: a warm-up, then one load with the server's CPU time around it."""

    def measure(server: Running, setup: Setup) -> Values:
        def press(seconds: int) -> wrk.Load:
            return wrk.run(server.port, connections, seconds, pipeline, setup.client_cpu, setup.scratch)

        press(WARM_UP_SECONDS)
        before = server.cpu_seconds()
        seen = press(setup.seconds)
        spent = server.cpu_seconds() - before
        if seen.requests < 2 * connections:
            # bjoern answers the first of several pipelined requests and then no more.
            raise wrk.LoadError(f"{seen.requests} answers in {seen.seconds:.0f} s over {connections} connections")
        # wrk does not time the requests of a batch one by one.
        latency = {"p50_us": seen.p50_us, "p99_us": seen.p99_us, "p999_us": seen.p999_us} if pipeline == 1 else {}
        return latency | {
            "requests": float(seen.requests),
            "cpu_us": spent / seen.requests * 1e6,
            "per_second": seen.per_second,
            "errors": float(sum(seen.errors.values())),
            "rss_bytes": float(server.resident_bytes()),
        }

    return measure


def cold_start(server: Running, setup: Setup) -> Values:
    """The start itself is what `serving` timed."""
    return {"seconds": server.cold_start_s, "rss_bytes": float(server.resident_bytes())}


def idle_memory(server: Running, setup: Setup) -> Values:
    """Ten thousand keep-alive connections, one answer each, then silence."""
    held = idle.hold(server, IDLE_CONNECTIONS)
    # What was spent on connections that are gone says nothing about those that are held.
    cost = {"bytes_per_connection": held.per_connection_bytes} if held.alive == held.opened else {}
    return cost | {"opened": float(held.opened), "alive": float(held.alive), "rss_bytes": float(held.after_bytes)}


def million(server: Running, setup: Setup) -> Values:
    """Resident memory before and after a million requests, the first 100,000 being warm-up."""
    _press_until(server, setup, MILLION // 10)
    before = server.resident_bytes()
    answered, seconds = _press_until(server, setup, MILLION)
    after = server.resident_bytes()
    return {
        "requests": float(answered),
        "seconds": seconds,
        "before_bytes": float(before),
        "after_bytes": float(after),
        "growth_bytes": float(after - before),
    }


def _press_until(server: Running, setup: Setup, wanted: int) -> tuple[int, float]:
    answered, seconds = 0, 0.0
    while answered < wanted:
        seen = wrk.run(server.port, 64, setup.seconds, 1, setup.client_cpu, setup.scratch)
        if not seen.requests:
            raise wrk.LoadError(f"no answer after {answered} requests")
        answered += seen.requests
        seconds += seen.seconds
    return answered, seconds


def in_process(setup: Setup) -> Values:
    """Return the core's figures that need no socket, taken by `bench.load.core` in a process of its own."""
    script = Path(__file__).with_name("core.py")
    environment = os.environ | {"PYTHONPATH": setup.python_path}
    done = subprocess.run([setup.python, str(script)], capture_output=True, text=True, check=True, env=environment)
    figures: Values = json.loads(done.stdout)
    return figures


SCENARIOS = (
    Scenario("plain-64", "plaintext, 64 connections", load(64)),
    Scenario("pipelined-16", "64 connections, 16 requests pipelined", load(64, pipeline=16)),
    Scenario("plain-1000", "plaintext, 1,000 connections", load(1_000), descriptors=1_200),
    Scenario("plain-10000", "plaintext, 10,000 connections", load(10_000), descriptors=10_300),
    Scenario(
        "idle-10000",
        "10,000 idle keep-alive connections",
        idle_memory,
        without=(FLOOR,),
        rounds=1,
        descriptors=10_300,
    ),
    Scenario("cold-start", "process start to first answer", cold_start),
    Scenario("million", "a million requests: growth of resident memory", million, servers=(OURS,), rounds=1),
)
