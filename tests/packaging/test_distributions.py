"""The distributions themselves: sdist, the wheel built from it, and that wheel repaired and installed.

    pip install -e '.[dev]' && pytest -m packaging

Every CPython from 3.11 on that is on this machine builds a wheel from the sdist,
has it repaired by auditwheel, and installs the result where no compiler can be
found.  There the server serves an example and the whole test suite runs, from
the unpacked sdist, which holds no compiled module that could stand in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="auditwheel repairs Linux wheels only"),
]

ROOT = Path(__file__).resolve().parents[2]
MINORS = range(11, 16)
COPIED = ("src", "tests", "bench", "examples", "docs", ".ci", ".github")
LEFT_OUT = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")


def interpreters() -> list[str]:
    """Return one path for each minor version that is installed: on PATH, or under pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for minor in MINORS:
        candidates = [shutil.which(f"python3.{minor}"), *map(str, sorted(pyenv.glob(f"3.{minor}.*/bin/python3")))]
        if sys.version_info[:2] == (3, minor):
            candidates.insert(0, sys.executable)
        found += [path for path in candidates if path and version(path) == (3, minor)][:1]
    return found


@cache
def version(python: str) -> tuple[int, int] | None:
    """Return the version behind the path: a pyenv shim may be there without a Python behind it."""
    code = "import sys; print(*sys.version_info[:2], sys.implementation.name)"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    words = result.stdout.split()
    return (int(words[0]), int(words[1])) if len(words) == 3 and words[2] == "cpython" else None


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run to the end; a failure shows everything the command printed."""
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{command} exited {result.returncode}:\n{result.stdout[-8000:]}"
    return result.stdout


def clean_environment(**extra: str) -> dict[str, str]:
    """Return the environment without what would let the checkout be imported."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))} | extra


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources: building in place would leave files among them."""
    copy = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, copy / path.name, ignore=LEFT_OUT)
        elif path.is_file():
            shutil.copy2(path, copy)
    return copy


@pytest.fixture(scope="session")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", out, checkout, cwd=out, env=clean_environment())
    (archive,) = out.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(out, filter="data")
    (tree,) = out.iterdir()
    return tree


@pytest.fixture(scope="session", params=interpreters(), ids=lambda path: "py{}.{}".format(*version(path) or ()))
def python(request: pytest.FixtureRequest) -> str:
    """Return one interpreter of this machine after the other."""
    path: str = request.param
    return path


@pytest.fixture(scope="session")
def wheel(python: str, sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel this interpreter builds from the sdist."""
    out = tmp_path_factory.mktemp("wheel")
    run(python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", out, sdist, cwd=out, env=clean_environment())
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def repaired(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel as it would be published.

    `auditwheel` picks the oldest manylinux policy whose symbol versions the
    binaries keep to; which one that is depends on the libc of this machine.
    """
    out = tmp_path_factory.mktemp("repaired")
    tools = Path(sys.executable).parent
    env = clean_environment(PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", out, wheel, cwd=out, env=env)
    (mended,) = out.glob("*.whl")
    return mended


@pytest.fixture(scope="session")
def fresh(python: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a new environment's bin directory, and variables under which nothing can be compiled."""
    place = tmp_path_factory.mktemp("fresh")
    run(python, "-m", "venv", place / "venv", cwd=place, env=clean_environment())
    tools = place / "venv" / "bin"
    return tools, clean_environment(PATH=str(tools), CC="false", CXX="false", PIP_ONLY_BINARY=":all:")


def test_sdist_is_a_whole_checkout_without_built_files(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for expected in (
        "pyproject.toml",
        "setup.py",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "src/dimcore/index/index.pyx",
    ):
        assert expected in names
    assert {name for name in names if name.startswith("tests/dimcore/test_")}
    assert "bench/load/floor.c" in names
    assert "examples/static_site/index.html" in names
    built = [name for name in names if name.endswith((".so", ".pyc")) or "_cache/" in name]
    built += [name for name in names if name.startswith("src/") and name.endswith((".c", ".html"))]
    assert not built


def test_wheel_holds_modules_and_interfaces_but_no_sources(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    source = ROOT / "src"
    modules = {path.relative_to(source).with_suffix("").as_posix() for path in (source / "dimcore").rglob("*.pyx")}
    for module in modules:
        assert any(name.startswith(f"{module}.") and name.endswith(".so") for name in names), module
    for directory in ("dimcore", "dimserver"):
        assert f"{directory}/py.typed" in names
    interfaces = (source / "dimcore").rglob("*.pyi")
    assert {path.relative_to(source).as_posix() for path in interfaces} <= set(names)
    assert not [name for name in names if name.endswith((".pyx", ".pxd", ".h", ".c"))]
    assert wheel.stat().st_size <= 2_500_000
    assert {name.split("/")[0].split("-")[0] for name in names} == {"dimcore", "dimserver"}


def test_repaired_wheel_is_a_manylinux_wheel(repaired: Path) -> None:
    assert "manylinux" in repaired.name


def test_repaired_wheel_serves_where_no_compiler_is(
    repaired: Path, fresh: tuple[Path, dict[str, str]], unpacked: Path
) -> None:
    tools, env = fresh
    run(tools / "python", "-m", "pip", "install", "--no-index", repaired, cwd=unpacked, env=env)
    script = unpacked / "tests" / "packaging" / "serve.py"
    serve: list[str | Path] = [tools / "python", script, "--expect", "Hello", "--"]
    run(*serve, tools / "dimserver", "run", "examples/hello.py", "--port", "0", cwd=unpacked, env=env)


def test_repaired_wheel_passes_the_test_suite(
    repaired: Path, fresh: tuple[Path, dict[str, str]], unpacked: Path
) -> None:
    tools, env = fresh
    run(tools / "python", "-m", "pip", "install", f"dimserver[test] @ {repaired.as_uri()}", cwd=unpacked, env=env)
    assert not list(unpacked.glob("src/**/*.so"))
    env = env | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}  # the tests themselves may want a shell
    run(tools / "python", "-m", "pytest", "-q", "tests", cwd=unpacked, env=env)
