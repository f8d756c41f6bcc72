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

# Debug information makes what is installed several times as large; `DIMCORE_CFLAGS=-g` brings it back.
COMPILE_ARGS = ["-O3", "-g0", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wall", "-Wno-unused-function"]


def extension(source: Path) -> Extension:
    """One module; every ``.pxd`` and ``.h`` is a dependency, since nearly all cimport one another."""
    built = Extension(
        ".".join(source.with_suffix("").parts[1:]),
        [source.as_posix()],
        include_dirs=[CORE.parent.as_posix()],
        depends=sorted(path.as_posix() for pattern in ("*.pxd", "*.h") for path in CORE.rglob(pattern)),
        extra_compile_args=COMPILE_ARGS + os.environ.get("DIMCORE_CFLAGS", "").split(),
        extra_link_args=os.environ.get("DIMCORE_LDFLAGS", "").split(),
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
