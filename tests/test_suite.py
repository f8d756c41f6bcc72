"""`.ci/suite.py`: no test is skipped in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / ".ci" / "suite.py"

pytestmark = pytest.mark.skipif(not SUITE.exists(), reason="no checkout")

TESTS = """
import pytest

def test_fine():
    pass

@pytest.mark.skip(reason="{reason}")
def test_skipped():
    pass
"""


def run(directory: Path, reason: str, lacking: str = "") -> tuple[int, str]:
    (directory / "test_it.py").write_text(TESTS.format(reason=reason))
    (directory / "pytest.ini").write_text("[pytest]\n")
    environment = {**os.environ, "CI_LACKING": lacking, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, str(SUITE), "-p", "no:cacheprovider"],
        cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_skip_that_is_expected(tmp_path: Path) -> None:
    code, out = run(tmp_path, "not epoll")
    assert code == 0
    assert "skipped, as expected" in out
    assert "1 × not epoll: the case is about one kind of loop alone" in out
    assert "1 passed, 1 skipped in" in out.splitlines()[-1]  # pytest's closing line comes last


def test_a_skip_that_is_not(tmp_path: Path) -> None:
    code, out = run(tmp_path, "no haproxy")
    assert code == 1
    assert "SKIPPED WITHOUT NEED" in out
    assert "1 × no haproxy" in out
    assert "1 passed, 1 skipped in" in out.splitlines()[-1]


def test_a_skip_for_want_of_what_could_not_be_prepared(tmp_path: Path) -> None:
    code, out = run(tmp_path, "no haproxy", "haproxy: not installed, and there is no apt-get\n")
    assert code == 0
    assert "SKIPPED WITHOUT NEED" not in out
    assert "LACKING" in out
    assert "haproxy: not installed, and there is no apt-get" in out
    assert "1 × no haproxy: it is lacking" in out


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("import pytest\npytest.importorskip('no_such_module_anywhere')\n")
    code, out = run(tmp_path, "not epoll")
    assert code == 1
    assert "test_other.py" in out.partition("SKIPPED WITHOUT NEED")[2]


def test_a_failure_stays_one(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_broken():\n    assert False\n")
    code, out = run(tmp_path, "no haproxy")
    assert code == 1
    assert "1 failed, 1 passed, 1 skipped" in out.splitlines()[-1]
