"""Extensions that are compiled for the tests: a transport in memory, and a toy protocol."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
EXTENSIONS = {"toy": Path("tests/dimcore/conn/toy.pyx"), "memory": Path("tests/fuzz/memory.pyx")}


def build(directory: Path) -> None:
    """Compile both into a directory; what the compilers say is shown if they fail."""
    command = [sys.executable, "-m", "tests.dimcore.conn.toy_build", "-q", "build_ext", "--parallel", "2"]
    command += ["--build-lib", str(directory), "--build-temp", str(directory / "temp")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def main() -> None:
    from setuptools import Extension, setup

    modules = []
    for name, path in EXTENSIONS.items():
        flags = ["-O0", "-g0", "-fno-strict-aliasing", "-w"]
        module = Extension(name, [path.as_posix()], include_dirs=["src"], extra_compile_args=flags)
        module.cython_c_in_temp = True
        module.cython_include_dirs = ["src"]
        module.cython_directives = {"language_level": 3}
        modules.append(module)
    setup(name="toy", packages=[], py_modules=[], ext_modules=modules)


if __name__ == "__main__":
    main()
