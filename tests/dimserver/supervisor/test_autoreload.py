"""Watching source files, in a real directory with a real child."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Iterator

import pytest
from tests.support.waiting import until

from dimserver.errors import ConfigError
from dimserver.supervisor.autoreload import Watcher, check_library, is_of_interest

pytest.importorskip("watchfiles")


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("1")
    (tmp_path / "settings.toml").write_text("1")
    return tmp_path


@pytest.fixture
def watcher(place: pathlib.Path) -> Iterator[Watcher]:
    watcher = Watcher([str(place)], [str(place / "settings.toml")], lambda: None)
    # Until it watches, a change goes unnoticed: so one is made again and again.
    end = time.monotonic() + 20
    while not watcher.changes():
        assert time.monotonic() < end
        (place / "first.py").write_text(str(time.monotonic()))
        time.sleep(0.1)
    time.sleep(0.5)
    watcher.changes()
    yield watcher
    watcher.close()


def heard(watcher: Watcher) -> str:
    end = time.monotonic() + 20
    while not (changes := watcher.changes()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return " ".join(changes)


def test_a_changed_source_and_a_named_file(place: pathlib.Path, watcher: Watcher) -> None:
    (place / "package" / "a.py").write_text("2")
    assert "a.py" in heard(watcher)
    (place / "settings.toml").write_text("2")
    assert "settings.toml" in heard(watcher)
    (place / "package" / "a.py").unlink()
    assert "a.py" in heard(watcher)


def test_other_files_do_not_count(place: pathlib.Path, watcher: Watcher) -> None:
    (place / "data.json").write_text("1")
    (place / ".git").mkdir()
    (place / ".git" / "hook.py").write_text("1")
    (place / "last.py").write_text("1")
    assert heard(watcher).endswith("last.py")


def test_changes_made_together_are_one(place: pathlib.Path, watcher: Watcher) -> None:
    for number in range(8):
        (place / f"m{number}.py").write_text("1")
    line = heard(watcher)
    time.sleep(0.5)
    watcher.changes()
    assert line.count(".py") <= 8
    assert "more" in line or line.count(".py") <= 3


def test_the_end_of_the_child_is_seen(place: pathlib.Path) -> None:
    def fail() -> None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the rest of the child's life
        raise RuntimeError

    watcher = Watcher([str(place)], [], fail)
    until(lambda: watcher.changes() is None)
    watcher.close()
    watcher.close()


def test_what_is_of_interest() -> None:
    assert is_of_interest("/a/b.py", ())
    assert not is_of_interest("/a/b.pyc", ())
    assert is_of_interest("/a/b.toml", ["/a/b.toml"])


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_library()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'dimserver\[reload\]'"):
        check_library()
