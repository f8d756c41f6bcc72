"""``python -m bench.load.reload``: what reloads lose, how long a stop takes, and two workers beside other servers.

    python -m bench.load.reload losses      200,000 requests over 10 SIGHUPs, clients that never retry
    python -m bench.load.reload stops       seconds from SIGTERM to the end of the process
    python -m bench.load.reload workers     requests a second of two workers, nginx, granian and gunicorn

The load generator shares the CPUs with the server: that is what a small machine is.  Linux only.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load.process import free_port, is_up
from bench.load.steady import Tally, press

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
START_SECONDS = 20.0

APP = """
import os, time
from dimserver import App
app = App()
answer = (200, {"Content-Type": "text/plain"}, b"Hello, World!")
app.get("/")(lambda request: answer)
app.get("/who")(lambda request: f"{os.getpid()} served")

@app.get("/endless", blocking=True)
def endless(request):
    def pieces():
        while True:
            yield b"x"
            time.sleep(0.05)
    return pieces()
"""

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]
"""

NGINX = """
worker_processes 2;
error_log stderr error;
pid {directory}/nginx.pid;
daemon off;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{ default_type text/plain; return 200 "Hello, World!"; }}
    }}
}}
"""


@contextmanager
def running(command: list[str], directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server, once it answers; killed at the end if it still runs."""
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + START_SECONDS
        while not is_up(port):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[0]} did not start: {(directory / 'log').read_text()[-500:]}")
            time.sleep(0.01)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def dimserver(python: str, port: int, *words: str) -> list[str]:
    return [python, "-m", "dimserver", "run", "bench_app", "--port", str(port), "--log-level", "error", *words]


def losses(options: argparse.Namespace, directory: Path) -> None:
    """Full load from keep-alive clients through one reload after another."""
    port = free_port()
    with running(dimserver(options.python, port, "--workers", "2"), directory, port) as process:
        sent = 0

        def between(tally: Tally) -> None:
            nonlocal sent
            # The next one when both workers of the last one have answered.
            if sent < options.reloads and len(tally.served_by) >= 2 * (sent + 1):
                if tally.answers < options.requests * (sent + 1) // (options.reloads + 1):
                    return
                sent += 1
                process.send_signal(signal.SIGHUP)

        begun = time.monotonic()
        request = REQUEST.replace(b"/ ", b"/who ", 1)
        tally = press(
            ("127.0.0.1", port),
            options.connections,
            request,
            lambda tally: tally.answers >= options.requests and len(tally.served_by) >= 2 * (options.reloads + 1),
            between,
        )
        seconds = time.monotonic() - begun
    print(
        f"{tally.answers:,} answers from {len(tally.served_by)} worker processes over {sent} reloads in {seconds:.1f} s"
        f" ({options.connections} connections, 2 workers): {len(tally.lost)} lost, {tally.closed} closed as announced"
    )
    for loss in tally.lost[:10]:
        print("  lost:", loss)


def stops(options: argparse.Namespace, directory: Path) -> None:
    """From SIGTERM to the end of the process."""
    for what, path, drain in (("nothing", "", "30"), ("64 idle connections", "/", "30"), ("a stream", "/endless", "3")):
        samples = []
        for _ in range(options.rounds):
            port = free_port()
            with running(
                dimserver(options.python, port, "--workers", "2", "--drain", drain), directory, port
            ) as process:
                clients = []
                for _ in range(0 if not path else 1 if path == "/endless" else 64):
                    client = socket.create_connection(("127.0.0.1", port))
                    client.sendall(REQUEST.replace(b"/ ", path.encode() + b" ", 1))
                    client.recv(4096)
                    clients.append(client)
                begun = time.monotonic()
                process.send_signal(signal.SIGTERM)
                process.wait()
                samples.append(time.monotonic() - begun)
                for client in clients:
                    client.close()
        print(
            f"SIGTERM to exit with {what} (drain {drain} s): "
            f"{statistics.median(samples):.3f} s, at most {max(samples):.3f} s of {len(samples)}"
        )


def workers(options: argparse.Namespace, directory: Path) -> None:
    """Two workers on all CPUs, with wrk on the same ones."""
    rates: dict[str, list[float]] = {name: [] for name in ("dimserver", "nginx", "granian", "gunicorn")}
    for _ in range(options.rounds):
        for name, measured in rates.items():
            port = free_port()
            with running(command_of(name, options, directory, port), directory, port):
                measured.append(pressed(port, options.seconds))
    nginx = statistics.median(rates["nginx"])
    for name, samples in rates.items():
        rate = statistics.median(samples)
        print(f"{name:10} {rate:10,.0f} requests/s  {rate / nginx:5.2f} x nginx  ({len(samples)} rounds)")


def command_of(name: str, options: argparse.Namespace, directory: Path, port: int) -> list[str]:
    """How a server is started with two workers."""
    peers = Path(options.peers_python).parent
    match name:
        case "nginx":
            return ["nginx", "-p", str(directory), "-c", str(configured(directory, port))]
        case "granian":
            words = "--interface wsgi --workers 2 --no-access-log --log-level error"
            return [f"{peers}/granian", *words.split(), "--port", str(port), "bench_wsgi:app"]
        case "gunicorn":
            words = "-k gthread -w 2 --threads 4 --log-level error"
            return [f"{peers}/gunicorn", *words.split(), "-b", f"127.0.0.1:{port}", "bench_wsgi:app"]
        case _:
            return dimserver(options.python, port, "--workers", "2")


def configured(directory: Path, port: int) -> Path:
    path = directory / "nginx.conf"
    path.write_text(NGINX.format(directory=directory, port=port))
    return path


def pressed(port: int, seconds: int) -> float:
    words = ["wrk", "-t2", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}/"]
    subprocess.run([*words[:3], "-d1s", words[4]], capture_output=True, check=True)
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if found is None or "Non-2xx" in out:
        raise SystemExit(f"wrk: {out}")
    return float(found[1])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load.reload", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("losses", "stops", "workers"))
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--reloads", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="length of one load of `workers`")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has dimserver (this one)")
    parser.add_argument("--peers-python", default=os.environ.get("BENCH_PEERS_PYTHON", sys.executable))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "bench_app.py").write_text(APP)
        (directory / "bench_wsgi.py").write_text(WSGI)
        {"losses": losses, "stops": stops, "workers": workers}[options.what](options, directory)


if __name__ == "__main__":
    main()
