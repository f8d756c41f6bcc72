"""What each error says, and the exit code it stands for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dimserver import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ConfigError, 2),
        (errors.HandlerError, 2),
        (errors.LoadError, 2),
        (errors.StartError, 1),
        (errors.AppImportError, 1),
    ],
)
def test_exit_codes(kind: type[errors.DimserverError], code: int) -> None:
    assert kind("text").exit_code == code
    assert str(kind("text")) == "text"
    assert isinstance(kind("text"), Exception)


def test_what_they_are_to_who_knows_only_the_builtin_ones() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.HandlerError, TypeError)


def test_a_start_error_that_nobody_catches_is_one_line() -> None:
    script = "from dimserver.errors import StartError\nraise StartError('cannot listen')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "dimserver: cannot listen\n")
    caught = script.replace("raise", "try: raise").replace("listen')", "listen')\nexcept Exception as e: print(e)")
    done = subprocess.run([sys.executable, "-c", caught], capture_output=True, text=True, check=True)
    assert done.stdout == "cannot listen\n"
