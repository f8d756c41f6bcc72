"""What the figures were taken on: a number without its machine says nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def describe() -> dict[str, str]:
    """Return processor, memory, kernel and tools, as text for the report; nothing that names the host."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} CPUs",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {re.match(r'[0-9.]*', platform.release())[0]}",  # type: ignore[index]
        "libc": " ".join(platform.libc_ver()),
        "compiler": _first_line("cc", "--version"),
        "wrk": _first_line("wrk", "--version"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "not installed"
    lines = (done.stdout or done.stderr).splitlines()
    return re.sub(r"\s+Copyright.*", "", lines[0]) if lines else "unknown"


def python_version(python: str) -> str:
    """Return the implementation and version behind an interpreter's path."""
    code = "import platform as p; print(p.python_implementation(), p.python_version())"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
