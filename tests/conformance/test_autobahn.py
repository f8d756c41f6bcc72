"""The quick part of the Autobahn|Testsuite, where its program is: the variable WSTEST names it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

WSTEST = os.environ.get("WSTEST", "")
QUICK = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]


def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("autobahn_script", Path(__file__).with_name("autobahn.py"))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_what_counts_as_a_fault() -> None:
    results = {
        "1.1.1": {"behavior": "OK", "behaviorClose": "OK"},
        "6.4.1": {"behavior": "NON-STRICT", "behaviorClose": "OK"},
        "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"},
        "7.3.1": {"behavior": "OK", "behaviorClose": "FAILED"},
    }
    assert script().faults(results) == {"6.4.1": "NON-STRICT, close OK", "7.3.1": "OK, close FAILED"}


@pytest.mark.skipif(not WSTEST, reason="the variable WSTEST names no program of the Autobahn|Testsuite")
def test_the_quick_cases(tmp_path: Path) -> None:
    module = script()
    results = module.run(str(Path(WSTEST).resolve()), QUICK, tmp_path)
    assert len(results) > 200
    assert module.faults(results) == {}
