"""A server in a process of its own, and one that is moved on by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.wire.echo import app
from tests.wire.stepping import SteppedServer


@pytest.fixture(scope="session")
def address() -> Iterator[tuple[str, int]]:
    """Where `dimserver run echo.py` listens."""
    command = [sys.executable, "-m", "dimserver", "run", str(Path(__file__).with_name("echo.py")), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            match = re.search(r"http://([\d.]+):(\d+)", line)
            assert match is not None, line
            yield match[1], int(match[2])
        finally:
            process.terminate()
            process.stdout.read()
            code = process.wait(timeout=10)
    assert code == 0


@pytest.fixture(scope="session")
def stepped() -> Iterator[SteppedServer]:
    """The same app in this process."""
    with SteppedServer(app.request_manifold) as server:
        yield server
