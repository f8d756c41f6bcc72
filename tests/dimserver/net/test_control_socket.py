"""Where the control socket is, and how it is found, in every kind of place."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from dimserver.net import control_socket
from dimserver.net.control_socket import ControlSocket, find_servers
from dimserver.net.private_dir import PrivateDirectory


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """`run` in it is XDG_RUNTIME_DIR; nothing else is looked at."""
    path = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    for name in ("run", "tmp"):
        (path / name).mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path / "run"))
    monkeypatch.setenv("TMPDIR", str(path / "tmp"))
    monkeypatch.setattr(control_socket, "_where", lambda: iter([str(path / "run"), str(path / "tmp")]))
    yield path
    shutil.rmtree(path)


def own(place: pathlib.Path) -> pathlib.Path:
    return place / "run" / "dimserver" / str(os.getpid())


def make_old(path: pathlib.Path) -> None:
    os.utime(path, (1, 1))


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def found() -> list[str]:
    return [each.path for each in find_servers()]


def test_in_the_runtime_directory(place: pathlib.Path) -> None:
    before = os.umask(0)
    try:
        made = ControlSocket()
    finally:
        os.umask(before)
    assert made.path == str(own(place) / "control")
    assert [mode(each) for each in (own(place).parent, own(place), own(place) / "control")] == [0o700, 0o700, 0o600]
    (server,) = find_servers()
    assert (server.path, server.pid) == (made.path, os.getpid())
    assert find_servers(os.getpid() + 1) == []
    made.close()
    made.close()
    assert not own(place).exists()
    assert found() == []


@pytest.mark.parametrize("value", [None, "", "relative", "/does/not/exist", "/proc/1"])
def test_without_one_it_is_in_the_private_directory(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    monkeypatch.chdir(place)
    private = PrivateDirectory()
    made = ControlSocket(private)
    assert made.path == f"{private.path}/control"
    assert str(private.path).startswith(str(place / "tmp"))
    assert mode(pathlib.Path(made.path)) == 0o600
    assert found() == [made.path]
    alone = ControlSocket()  # a server without a private directory makes one for it
    assert alone.path is not None
    assert len(found()) == 2
    alone.close()
    made.close()
    assert list(pathlib.Path(str(private.path)).iterdir()) == []
    private.close()
    assert list((place / "tmp").iterdir()) == []


def test_a_name_that_is_too_long_for_a_socket(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = place / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    made = ControlSocket()
    assert made.path is not None
    assert made.path.startswith(str(place / "tmp"))
    made.close()
    assert list(long.iterdir()) == []


def test_a_second_one_of_the_same_number_is_elsewhere(place: pathlib.Path) -> None:
    """As of a server in another container, which has its own process 1."""
    first, second = ControlSocket(), ControlSocket()
    assert first.path == str(own(place) / "control")
    assert second.path is not None
    assert second.path.startswith(str(place / "run" / "dimsock-"))
    assert sorted(found()) == sorted([first.path, second.path])
    second.close()
    assert found() == [first.path]
    first.close()


def test_what_a_killed_server_has_left_is_no_server_and_is_taken_away(place: pathlib.Path) -> None:
    script = (
        "import os, signal\nfrom dimserver.net.control_socket import ControlSocket\n"
        "print(ControlSocket().path, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    left = pathlib.Path(done.stdout.strip())
    assert left.exists()
    assert found() == []
    make_old(left.parent)
    made = ControlSocket()
    assert not left.parent.exists()
    assert found() == [made.path]
    made.close()


def test_ones_own_number_again(place: pathlib.Path) -> None:
    """A process id comes round again, before anybody cleaned up."""
    own(place).mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(own(place) / "control"))
    own(place).chmod(0o755)
    made = ControlSocket()
    assert made.path == str(own(place) / "control")
    assert mode(own(place)) == 0o700
    made.close()


@pytest.mark.parametrize("which", ["dimserver", "PID"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_is_there(place: pathlib.Path, which: str, kind: str) -> None:
    path = own(place) if which == "PID" else own(place).parent
    path.parent.mkdir(exist_ok=True)
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    if kind == "file":
        path.touch()
    else:
        path.symlink_to(elsewhere)
    made = ControlSocket()
    assert made.path is not None
    assert made.path.startswith(str(place / "run" / "dimsock-"))
    made.close()
    assert list(elsewhere.iterdir()) == []
    assert path.is_symlink() or path.exists()


def test_directories_of_others_are_not_looked_into(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ControlSocket()
    assert found() == [made.path]
    monkeypatch.setattr(control_socket.os, "geteuid", lambda: 12345)
    assert found() == []
    monkeypatch.undo()
    made.close()


def test_a_server_whose_queue_is_full_is_one(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "BACKLOG", 0)
    made = ControlSocket()
    assert made.path is not None
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex(made.path)
    (server,) = find_servers()
    assert (server.path, server.pid) == (made.path, os.getpid())
    for sock in waiting:
        sock.close()
    made.close()


def test_the_first_place_with_a_server_counts(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ControlSocket()
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    there = ControlSocket()
    assert found() == [here.path]
    here.close()
    assert found() == [there.path]
    there.close()


@pytest.mark.parametrize("taken", ["control", "directory", "everything", "replaced"])
def test_one_that_was_taken_away_is_made_anew(place: pathlib.Path, taken: str) -> None:
    made = ControlSocket()
    assert made.is_there()
    path = pathlib.Path(str(made.path))
    if taken == "everything":
        shutil.rmtree(place / "run")
    elif taken == "directory":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
        if taken == "replaced":
            path.touch()
    assert not made.is_there()
    before = made.sock
    made.restore()
    assert made.is_there()
    assert before is not None
    assert before.fileno() == -1
    assert found() == [made.path]
    assert made.path is not None
    assert made.path.startswith(str(place / ("tmp" if taken == "everything" else "run/dimserver")))
    made.close()


def test_no_place_at_all(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int = 0, exist_ok: bool = False) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "mkdir", refuse)
    made = ControlSocket()
    assert (made.sock, made.path) == (None, None)
    assert made.is_there()  # there is nothing to look after
    made.close()


def test_a_forked_process_does_not_keep_it_alive(place: pathlib.Path) -> None:
    program = (
        "import os\n"
        "from dimserver.net.control_socket import ControlSocket\n"
        "made = ControlSocket()\n"
        "reader, writer = os.pipe()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    made.forget()\n"
        "    os.close(writer)\n"
        "    os.read(reader, 1)\n"
        "    os._exit(0)\n"
        "path = made.path\n"
        "made.close()\n"
        "assert not os.path.exists(path)\n"
        "again = ControlSocket()\n"
        "assert again.path == path, again.path\n"  # the lock was not the child's
        "again.close()\n"
        "os.close(writer)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", program], check=True, timeout=60)
    assert list((place / "run" / "dimserver").iterdir()) == []
