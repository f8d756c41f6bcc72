"""Every function and method of the core shows its arguments to `inspect`, and so to editors and `help`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import dimcore


def callables(module: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            for attribute, method in vars(value).items():
                if not attribute.startswith("_") and callable(method):
                    yield f"{name}.{attribute}", method
        elif callable(value):
            yield name, value


MODULES = [found.name for found in pkgutil.walk_packages(dimcore.__path__, "dimcore.") if not found.ispkg]


def test_the_modules_of_packages_are_among_them() -> None:
    assert {"dimcore.budget", "dimcore.index.pools", "dimcore.http.request"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_arguments_can_be_inspected(module: str) -> None:
    for name, function in callables(importlib.import_module(module)):
        try:
            inspect.signature(function)
        except ValueError as error:  # a default that is a name of the C side is no Python expression
            pytest.fail(f"{module}.{name}: {error}")


def test_defaults_are_what_the_function_uses() -> None:
    assert (
        inspect.signature(dimcore.ConnectionPoolManifold.cleanup_idle).parameters["max_idle_seconds"].default == 300.0
    )
    assert inspect.signature(dimcore.WebSocket.close).parameters["code"].default == 1000
