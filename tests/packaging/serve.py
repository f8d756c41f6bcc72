"""Start a server by its command, ask it one question, stop it as an operator would.

    python serve.py [--path /] [--expect TEXT] -- COMMAND...

COMMAND is given ``--port 0``: the server picks the port and prints it, and this
script reads it from that line.  Exit status 0: it answered 200 with TEXT in the
body, and left with status 0 on SIGTERM.  The standard library alone is used, so
that any interpreter with nothing but the wheel installed can run it.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from typing import IO

START_SECONDS = 15.0
STOP_SECONDS = 15.0
ADDRESS = re.compile(r"http://([0-9.]+|localhost):(\d+)|\b(127\.0\.0\.1):(\d+)")


# A proxy of the environment has no business with a loopback address.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """What the server did not do, in one line."""


def collect(stream: IO[str], lines: list[str]) -> None:
    """Keep what the server prints, line by line, while it runs."""
    for line in stream:
        lines.append(line)  # noqa: PERF402 - the other thread reads the list meanwhile


def await_address(lines: list[str], process: subprocess.Popen[str]) -> str:
    """Return the base URL printed by the server; raise `Failed` when there is none in time."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for line in list(lines):
            if found := ADDRESS.search(line):
                host, port = found[1] or found[3], found[2] or found[4]
                return f"http://{host}:{port}"
        if process.poll() is not None:
            raise Failed(f"exit status {process.returncode} before it served")
        time.sleep(0.01)
    raise Failed("no address printed")


def exercise(command: list[str], path: str, expect: str) -> None:
    """Run the whole life of one server; raise `Failed` with what went wrong and what it printed."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=collect, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        url = await_address(lines, process) + path
        with OPENER.open(url, timeout=10) as answer:
            status, body = answer.status, answer.read().decode("utf-8", "replace")
        if status != 200 or expect not in body:
            raise Failed(f"{url} answered {status}: {body[:200]!r}")
        process.send_signal(signal.SIGTERM)
        if (code := process.wait(STOP_SECONDS)) != 0:
            raise Failed(f"exit status {code} on SIGTERM")
        reader.join(5)
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{error}\n--- printed by {' '.join(command)}\n{''.join(lines)}") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    print(f"served {path} and stopped cleanly: {' '.join(command)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--path", default="/")
    parser.add_argument("--expect", default="")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    try:
        exercise(options.command, options.path, options.expect)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
