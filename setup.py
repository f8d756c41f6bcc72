"""Build of the compiled core: one extension for each ``.pyx`` below ``src/dimcore``.

Everything declarative is in ``pyproject.toml``.  Two environment variables serve
whoever builds in an unusual way: ``DIMCORE_CFLAGS`` and ``DIMCORE_LDFLAGS`` are
appended to the compiler's and the linker's arguments (sanitizers, ``-g``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

CORE = Path("src/dimcore")  # relative: setuptools records these paths in the sdist

DIRECTIVES = {
    "language_level": 3,
    "binding": False,  # builtin methods: no bound-method object a call
    "embedsignature": True,
    "embedsignature.format": "clinic",  # readable by inspect and stubtest
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "autotestdict": False,  # no copy of every docstring for doctest to find
    "freethreading_compatible": False,
}

# Debug information makes what is installed several times as large.
COMPILE_ARGS = ["-g0", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wall", "-Wno-unused-function"]
# No symbols either, where the linker can leave them out; `DIMCORE_CFLAGS=-g` keeps both.
LINK_ARGS = ["-Wl,-s"] if sys.platform.startswith("linux") else []

# What every request runs is compiled for speed, what runs at a start, at an end or for an operator for size, and the
# rest in between.  Names are modules or packages of dimcore; the longer name counts.
OPTIMISATION = {
    "": "-O2",
    "conn.answering": "-O3", "conn.carrier": "-O3", "conn.connection": "-O3", "conn.exchange": "-O3",
    "conn.lifecycle": "-O3", "conn.receiving": "-O3", "conn.request_start": "-O3",
    "http.request": "-O3", "http.router": "-O3", "http1": "-O3", "index.index": "-O3", "net.socket_io": "-O3",
    "aio.waiters": "-Os", "aio.wakeup": "-Os",
    "asgi.scope": "-Os", "asgi.stream": "-Os", "asgi.wait": "-Os", "asgi.websocket": "-Os",
    "budget": "-Os",
    "conn.acceptor": "-Os", "conn.admission": "-Os", "conn.batching": "-Os", "conn.charging": "-Os", "conn.core": "-Os",
    "conn.core_limits": "-Os", "conn.deadlines": "-Os", "conn.filter": "-Os", "conn.handler": "-Os", "conn.host": "-Os",
    "conn.phase": "-Os", "conn.protocol": "-Os", "conn.result": "-Os", "conn.scratch": "-Os",
    "filter": "-Os", "shared": "-Os", "stats": "-Os",
    "http.asked": "-Os", "http.body_reader": "-Os", "http.query": "-Os", "http.request_table": "-Os",
    "http.spool": "-Os", "http1.head_reader": "-Os",
    "index.connection_point": "-Os", "index.geometry": "-Os", "index.pools": "-Os", "index.states": "-Os",
    "net": "-Os",
    "pubsub.note": "-Os", "pubsub.room": "-Os", "ws.async_queue": "-Os", "ws.async_socket": "-Os",
    "wsgi.handover": "-Os", "wsgi.input": "-Os",
}  # fmt: skip


def optimisation(module: str) -> str:
    """The level for a module, by its name below `dimcore`."""
    names = [name for name in OPTIMISATION if not name or f"{module}.".startswith(f"{name}.")]
    return OPTIMISATION[max(names, key=len)]


def extension(source: Path) -> Extension:
    """One module; every ``.pxd`` and ``.h`` is a dependency, since nearly all cimport one another."""
    module = ".".join(source.with_suffix("").parts[2:])
    own = os.environ.get("DIMCORE_CFLAGS", "").split()
    built = Extension(
        f"dimcore.{module}",
        [source.as_posix()],
        include_dirs=[CORE.parent.as_posix()],
        depends=sorted(path.as_posix() for pattern in ("*.pxd", "*.h") for path in CORE.rglob(pattern)),
        extra_compile_args=[optimisation(module), *COMPILE_ARGS, *own],
        extra_link_args=([] if "-g" in own else LINK_ARGS) + os.environ.get("DIMCORE_LDFLAGS", "").split(),
    )
    # Read by Cython's own build_ext.  The C file goes to the build directory: beside the source it
    # would be taken for one, and shipped.
    built.cython_directives = dict(DIRECTIVES)
    built.cython_c_in_temp = True
    return built


if not sys.platform.startswith(("linux", "darwin")):
    sys.exit(f"dimserver is not supported on {sys.platform} yet: Linux and macOS are")

setup(
    ext_modules=[extension(source) for source in sorted(CORE.rglob("*.pyx"))],
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
