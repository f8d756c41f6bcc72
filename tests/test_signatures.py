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


@pytest.mark.parametrize("module", [found.name for found in pkgutil.iter_modules(dimcore.__path__)])
def test_arguments_can_be_inspected(module: str) -> None:
    for name, function in callables(importlib.import_module(f"dimcore.{module}")):
        try:
            inspect.signature(function)
        except ValueError as error:  # a default that is a name of the C side is no Python expression
            pytest.fail(f"dimcore.{module}.{name}: {error}")


def test_defaults_are_what_the_function_uses() -> None:
    assert (
        inspect.signature(dimcore.ConnectionPoolManifold.cleanup_idle).parameters["max_idle_seconds"].default == 300.0
    )
    assert inspect.signature(dimcore.WebSocket.close).parameters["code"].default == 1000
