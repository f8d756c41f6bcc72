"""The quick part of the Autobahn|Testsuite, where its program is: the variable WSTEST or the search path has it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

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


WSTEST = script().find_wstest()


@pytest.mark.skipif(WSTEST is None, reason="no program of the Autobahn|Testsuite: neither WSTEST nor PATH has one")
@pytest.mark.parametrize("form", script().FORMS)
def test_the_quick_cases(tmp_path: Path, form: str) -> None:
    module = script()
    results = module.run(str(Path(str(WSTEST)).resolve()), QUICK, tmp_path, [form])
    assert len(results[form]) > 200
    assert module.faults(results[form]) == {}


def test_where_the_program_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "wstest"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WSTEST", raising=False)
    assert script().find_wstest() == str(program)
    monkeypatch.setenv("WSTEST", "elsewhere")
    assert script().find_wstest() == "elsewhere"
