"""Extensions compiled for these tests."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from tests.dimcore.conn import toy_build


@pytest.fixture(scope="session")
def seams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("seams")
    toy_build.build(directory)
    modules = {}
    for name in toy_build.EXTENSIONS:
        spec = importlib.util.spec_from_file_location(name, next(directory.glob(f"{name}.*.so")))
        assert spec is not None
        assert spec.loader is not None
        modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    return modules
