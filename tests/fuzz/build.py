"""A build of the packages with Clang's sanitizers and coverage counters, beside the checkout and never in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTENSIONS = {"dimcore_fuzz": Path("tests/fuzz/native.pyx"), "dimcore_fuzz_memory": Path("tests/fuzz/memory.pyx")}

# -O1 keeps every check and a readable stack.  UBSan's faults end the run, as ASan's do anyway.
FLAGS = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined"


def build(directory: Path, root: Path = ROOT) -> Path:
    """Build into `directory`; what is there is used again if it was built from the very same sources.

    Args:
        root: where the sources are.

    Returns:
        What to put on the module search path.

    Raises:
        subprocess.CalledProcessError: something does not compile; the compiler has said what.
    """
    library, base, stamp = directory / "lib", directory / "base", directory / "sources"
    sources = _digest(root)
    if stamp.exists() and stamp.read_text("ascii") == sources:
        return library
    # All of it anew: dates of files say little where branches are switched, and a module built against another
    # layout of a class does not load.
    stamp.unlink(missing_ok=True)
    for old in (library, base):
        shutil.rmtree(old, ignore_errors=True)
    compile_changed(directory, root)
    stamp.write_text(sources, "ascii")
    return library


def compile_changed(directory: Path, root: Path) -> None:
    """Build what is newer in `root` than in `directory`, by dates; see `build`."""
    environment = os.environ | {"CC": os.environ.get("CC", "clang"), "DIMCORE_CFLAGS": FLAGS}
    places = ["--build-base", directory / "base", "--build-lib", directory / "lib"]
    for script in ([root / "setup.py"], ["-m", "tests.fuzz.build"]):
        command = [sys.executable, *script, "-q", "build", "--parallel", str(os.cpu_count() or 1), *places]
        subprocess.run([str(word) for word in command], cwd=root, env=environment, check=True)


def _digest(root: Path) -> str:
    """Of everything a build is made from."""
    digest = hashlib.sha256(f"{sys.version} {os.environ.get('CC')} {FLAGS}".encode())
    suffixes = (".py", ".pyx", ".pxd", ".h")
    for path in sorted(path for path in (root / "src").rglob("*") if path.suffix in suffixes):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    for path in (root / "setup.py", *(root / path for path in EXTENSIONS.values())):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build_extensions() -> None:
    """Run by `build` in a process of its own: the harness's extensions, by the arguments of a setup.py."""
    from setuptools import Extension, setup

    modules = []
    for name, path in EXTENSIONS.items():
        module = Extension(
            name,
            [path.as_posix()],
            include_dirs=["src"],
            depends=sorted(path.as_posix() for path in Path("src/dimcore").rglob("*.pxd")),
            extra_compile_args=["-fno-strict-aliasing", *FLAGS.split()],
        )
        module.cython_c_in_temp = True
        module.cython_include_dirs = ["src"]
        module.cython_directives = {"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True}
        modules.append(module)
    setup(name="dimserver-fuzz", packages=[], py_modules=[], ext_modules=modules)


if __name__ == "__main__":
    _build_extensions()
