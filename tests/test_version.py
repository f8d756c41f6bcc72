"""One version: what pip installs is what the program says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import dimserver

ROOT = Path(__file__).parents[1]


def declared() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def test_the_package_and_the_project_agree() -> None:
    assert dimserver.__version__ == declared()
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab]\d+|rc\d+|\.dev\d+)?", declared())


def test_the_installed_distribution_agrees() -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("dimserver")
    except PackageNotFoundError:
        pytest.skip("not installed: run from the sources")
    assert installed == declared()
