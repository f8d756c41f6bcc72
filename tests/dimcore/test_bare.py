"""Objects that no constructor has made: whatever is done with them raises, and never crashes the interpreter.

`X.__new__(X)`, a subclass that forgets its `super().__init__()`, `copy` and `pickle` all make such objects.  Each class
is walked in a process of its own, since what is looked for is the end of that process.
"""

from __future__ import annotations

import importlib
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import dimcore

# Calls with no argument, and with one to four of each of these; whatever comes of it is fine, but for a crash.
WALK = """
import copy, pickle, sys, importlib, warnings
warnings.simplefilter("ignore")
sys.unraisablehook = lambda *_: None
import dimcore

module, name = sys.argv[1:]
made = getattr(importlib.import_module(module), name)
GIVEN = [(), (None,), (b"x",), ("x",), (1,), (made,), (lambda *a: None,), (None, None), (b"x", 1), (1, 1), ("GET", "/"),
         (None, None, None), (1, 1, 1), (None, 1, "x"), (None, None, None, None), ([],), ({},)]


def sub(base):
    try:
        return type("Sub", (base,), {"__init__": lambda self, *a, **k: None})
    except TypeError:      # final
        return None


def bare():
    for kind in (made, sub(made)):
        for given in GIVEN if kind is not None else ():
            try:
                yield kind.__new__(kind, *given)
            except BaseException:
                continue
            break
        if kind is not None:
            try:
                one = kind.__new__(kind)
                yield one
                yield copy.copy(one)
                yield pickle.loads(pickle.dumps(one))
            except BaseException:
                pass


def attempt(call, *given):
    try:
        return call(*given)
    except BaseException:
        return None


NEVER = {"__class__", "__init_subclass__", "__subclasshook__", "__reduce__", "__reduce_ex__", "__getstate__"}
for kind in range(sum(1 for _ in bare())):
    for attribute in dir(made):
        if attribute in NEVER:
            continue
        for given in GIVEN:
            things = list(bare())
            if kind >= len(things):
                break
            thing = things[kind]
            print(attribute, given, flush=True)
            value = attempt(getattr, thing, attribute)
            if callable(value):
                result = attempt(value, *given)
                for step in ("send", "__next__", "close"):
                    if hasattr(result, step) and type(result).__module__.startswith("dimcore"):
                        attempt(getattr(result, step), *((None,) if step == "send" else ()))
            elif given == ():
                attempt(setattr, thing, attribute, None)
                attempt(delattr, thing, attribute)
            del thing, things
"""


def classes() -> list[str]:
    found = set()
    for module in pkgutil.iter_modules(dimcore.__path__, "dimcore."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and value.__module__ == module.name:
                found.add(f"{value.__module__}:{value.__qualname__}")
    return sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", classes())
def test_a_bare_object_does_not_crash(name: str) -> None:
    module, _, made = name.partition(":")
    done = subprocess.run(
        [sys.executable, "-c", WALK, module, made], check=False, capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": str(pathlib.Path(dimcore.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode >= 0, f"signal {-done.returncode} in {done.stdout.splitlines()[-1:]}"
