"""Directories that settings name: what is said of one that will not do."""

from __future__ import annotations

import pathlib

import pytest
from tests.rights import ordinary

from dimserver.config import Settings, check_paths
from dimserver.errors import ConfigError


def test_check_paths(tmp_path: pathlib.Path) -> None:
    check_paths(Settings())
    check_paths(Settings(static=tmp_path))
    with pytest.raises(ConfigError, match="no such directory"):
        check_paths(Settings(static=tmp_path / "missing"))
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match="not a directory"):
        check_paths(Settings(static=file))
    with pytest.raises(ConfigError, match="--static: File name too long"):
        check_paths(Settings(static="x" * 5000))
    check_paths(Settings(spool_dir=tmp_path))
    with pytest.raises(ConfigError, match="--spool-dir: no such directory"):
        check_paths(Settings(spool_dir=tmp_path / "missing"))


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_check_paths_without_permission(tmp_path: pathlib.Path, mode: int) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(mode)
    try:
        with pytest.raises(ConfigError, match="no permission"):
            ordinary(lambda: check_paths(Settings(static=closed)))
    finally:
        closed.chmod(0o700)
