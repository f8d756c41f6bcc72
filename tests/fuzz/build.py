"""A build of the packages with Clang's sanitizers and coverage counters, beside the checkout and never in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NATIVE = Path("tests/fuzz/native.pyx")

# -O1 keeps every check and a readable stack.  UBSan's faults end the run, as ASan's do anyway.
FLAGS = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined"


def build(directory: Path) -> Path:
    """Build into `directory`, or bring what is there up to date.

    Returns:
        What to put on the module search path.

    Raises:
        subprocess.CalledProcessError: something does not compile; the compiler has said what.
    """
    library = directory / "lib"
    environment = os.environ | {"CC": os.environ.get("CC", "clang"), "DIMCORE_CFLAGS": FLAGS}
    places = ["--build-base", directory / "base", "--build-lib", library]
    for script in ([ROOT / "setup.py"], ["-m", "tests.fuzz.build"]):
        command = [sys.executable, *script, "-q", "build", *places]
        subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, check=True)
    return library


def _build_native() -> None:
    """Run by `build` in a process of its own: the harness's extension, by the arguments of a setup.py."""
    from setuptools import Extension, setup

    native = Extension(
        "dimcore_fuzz",
        [NATIVE.as_posix()],
        include_dirs=["src/dimcore"],
        depends=sorted(path.as_posix() for path in Path("src/dimcore").glob("*.pxd")),
        extra_compile_args=["-fno-strict-aliasing", *FLAGS.split()],
    )
    native.cython_c_in_temp = True
    native.cython_include_dirs = ["src"]
    native.cython_directives = {"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True}
    setup(name="dimserver-fuzz", packages=[], py_modules=[], ext_modules=[native])


if __name__ == "__main__":
    _build_native()
