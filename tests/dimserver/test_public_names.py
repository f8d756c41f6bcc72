"""What `dimserver` exports: all that a program names, at no cost to one that does not."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dimcore
import dimserver

ROOT = Path(__file__).parents[2]
LATER = ("dimserver.handlers", "dimserver.http.events", "dimserver.worker", "dimserver.gateway", "asyncio", "typing")

PROGRAM = Path(__file__).with_name("typed_program.py")

Serve = Callable[..., Any]


def names_imported(path: Path, package: str) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == package
        for alias in node.names
    }


def load() -> Any:
    spec = importlib.util.spec_from_file_location("typed_program", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_name_is_there_once() -> None:
    assert len(set(dimserver.__all__)) == len(dimserver.__all__)
    for name in dimserver.__all__:
        assert getattr(dimserver, name) is not None
        assert name in dir(dimserver)
    assert dimserver.Request is dimserver.RequestPoint is dimcore.RequestPoint
    with pytest.raises(AttributeError, match="module 'dimserver' has no attribute 'Requests'"):
        dimserver.Requests  # type: ignore[attr-defined] # noqa: B018


def test_nothing_is_loaded_that_a_small_program_does_not_need() -> None:
    code = f"import sys, dimserver; print([name for name in {LATER!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.skipif(not (ROOT / "examples").exists(), reason="no examples beside an installed package")
def test_the_examples_import_one_package() -> None:
    examples = sorted((ROOT / "examples").rglob("*.py"))
    assert examples
    for path in examples:
        assert not names_imported(path, "dimcore"), path
        assert names_imported(path, "dimserver") <= set(dimserver.__all__), path


def test_a_program_that_names_all_of_it(serve: Serve) -> None:
    assert names_imported(PROGRAM, "dimserver") == set(dimserver.__all__)
    program = load()
    assert isinstance(program.seed(), dimserver.App)
    url = serve(program.app).url
    source = PROGRAM.read_bytes()
    for path, body in (
        ("/", f"version {dimserver.__version__}".encode()),
        ("/file", source),
        ("/static/typed_program.py", source),
        ("/pushed", b"pushed"),
        ("/events", b"id: 1\ndata: one\n\n"),
    ):
        with urllib.request.urlopen(url + path) as answer:  # noqa: S310 - our own server
            assert (answer.status, answer.read()) == (200, body)
