"""Directories of one server: where they are, who may enter, and that none stays for ever."""

from __future__ import annotations

import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import pytest

from dimserver.net import private_dir as module
from dimserver.net.private_dir import PrivateDirectory


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Where they are made; its name is short enough."""
    path = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(path))
    yield path
    shutil.rmtree(path)


def make_old(path: pathlib.Path) -> None:
    os.utime(path, (1, 1))


def test_one_of_ones_own(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "not there"))
    made, other = PrivateDirectory(), PrivateDirectory()
    assert made.path is not None
    path = pathlib.Path(made.path)
    assert path.parent == place
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert made.path != other.path
    (path / "3").touch()
    made.close()
    made.close()
    assert not path.exists()
    other.close()
    assert list(place.iterdir()) == []


def test_one_that_was_taken_away_is_made_anew(place: pathlib.Path) -> None:
    made = PrivateDirectory()
    assert made.path is not None
    path = pathlib.Path(made.path)
    assert not made.restore()
    path.rmdir()
    assert made.restore()
    assert made.path == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not made.restore()
    make_old(path)
    other = PrivateDirectory()  # it is locked again: nobody takes it away
    assert path.exists()
    other.close()
    made.close()


def test_nor_is_somebody_elses_taken_for_it(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = PrivateDirectory()
    assert made.path is not None
    path = pathlib.Path(made.path)
    path.rmdir()
    path.mkdir()
    (place / "next").mkdir()
    monkeypatch.setenv("TMPDIR", str(place / "next"))
    assert made.restore()
    assert made.path == str(place / "next" / path.name)
    made.close()


def test_without_any_place_left_it_goes_without(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = PrivateDirectory()
    assert made.path is not None
    pathlib.Path(made.path).rmdir()
    monkeypatch.setattr(module, "places", lambda: iter(()))
    monkeypatch.setattr(os, "mkdir", lambda path, mode: (_ for _ in ()).throw(OSError("no")))
    assert made.restore()
    assert made.path is None
    assert not made.restore()
    made.close()


def test_a_name_that_is_too_long_for_a_socket_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * 80)
    made = PrivateDirectory()
    assert made.path is not None
    assert made.path.startswith("/tmp/dimsock-")
    made.close()


def test_no_place_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "mkdir", refuse)
    made = PrivateDirectory()
    assert made.path is None
    made.close()


def test_what_a_killed_server_has_left_is_taken_away(place: pathlib.Path) -> None:
    script = (
        "import os, signal\nfrom dimserver.net.private_dir import PrivateDirectory\nmade = PrivateDirectory()\n"
        "open(made.path + '/1', 'w').close()\nprint(made.path, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    left = pathlib.Path(done.stdout.strip())
    assert (left / "1").exists()
    young = PrivateDirectory()
    assert left.exists()  # it may have been made this very moment
    make_old(left)
    fresh = PrivateDirectory()
    assert not left.exists()
    for made in (young, fresh):
        made.close()


def test_what_somebody_has_stays(place: pathlib.Path) -> None:
    made = PrivateDirectory()
    assert made.path is not None
    make_old(pathlib.Path(made.path))
    PrivateDirectory().close()
    assert pathlib.Path(made.path).exists()
    made.close()


def test_a_forked_process_does_not_give_it_up_for_its_owner(place: pathlib.Path) -> None:
    program = (
        "import os\n"
        "from dimserver.net.private_dir import PrivateDirectory\n"
        "made = PrivateDirectory()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    made.forget()\n"
        "    os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "os.utime(made.path, (1, 1))\n"
        "PrivateDirectory().close()\n"
        "assert os.path.exists(made.path)\n"
        "made.close()\n"
    )
    subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", program], check=True, timeout=60)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("put", [pathlib.Path.touch, lambda path: path.symlink_to("/etc"), pathlib.Path.mkdir])
def test_what_is_not_ours_stays(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[pathlib.Path], object]
) -> None:
    path = place / "dimsock-0123456789abcdef"
    put(path)
    os.utime(path, (1, 1), follow_symlinks=False)
    if path.is_dir() and not path.is_symlink():
        monkeypatch.setattr(module.os, "geteuid", lambda: 12345)
    PrivateDirectory().close()
    assert path.is_symlink() or path.exists()
