"""A build of the packages with Clang's sanitizers and coverage counters, beside the checkout and never in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NATIVE = Path("tests/fuzz/native.pyx")

# -O1 keeps every check and a readable stack.  UBSan's faults end the run, as ASan's do anyway.
FLAGS = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined"


def build(directory: Path) -> Path:
    """Build into `directory`; what is there is used again if it was built from the very same sources.

    Returns:
        What to put on the module search path.

    Raises:
        subprocess.CalledProcessError: something does not compile; the compiler has said what.
    """
    library, base, stamp = directory / "lib", directory / "base", directory / "sources"
    sources = _digest()
    if stamp.exists() and stamp.read_text("ascii") == sources:
        return library
    # All of it anew: dates of files say little where branches are switched, and a module built against another
    # layout of a class does not load.
    stamp.unlink(missing_ok=True)
    for old in (library, base):
        shutil.rmtree(old, ignore_errors=True)
    environment = os.environ | {"CC": os.environ.get("CC", "clang"), "DIMCORE_CFLAGS": FLAGS}
    places = ["--build-base", base, "--build-lib", library]
    for script in ([ROOT / "setup.py"], ["-m", "tests.fuzz.build"]):
        command = [sys.executable, *script, "-q", "build", *places]
        subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, check=True)
    stamp.write_text(sources, "ascii")
    return library


def _digest() -> str:
    """Of everything a build is made from."""
    digest = hashlib.sha256(f"{sys.version} {os.environ.get('CC')} {FLAGS}".encode())
    suffixes = (".py", ".pyx", ".pxd", ".h")
    for path in sorted(path for path in (ROOT / "src").rglob("*") if path.suffix in suffixes):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    for path in (ROOT / "setup.py", ROOT / NATIVE):
        digest.update(path.read_bytes())
    return digest.hexdigest()


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
