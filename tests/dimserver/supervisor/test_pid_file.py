"""The pid file, and whom a reload may be asked of."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from dimserver.errors import StartError
from dimserver.supervisor.pid_file import PidFile, hang_up, is_alive, read_pid


def ended() -> int:
    """The id of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_it_holds_the_process_while_it_runs(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pid"
    file = PidFile(str(path))
    assert not path.exists()
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["pid"]
    assert read_pid(str(path)) == os.getpid()
    file.remove()
    file.remove()
    assert not path.exists()


def test_one_left_behind_is_replaced_whomever_it_names(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pid"
    for text in (str(ended()), str(os.getppid()), "1", "nonsense" * 9, ""):
        path.write_text(text)
        file = PidFile(str(path))
        file.write()
        assert path.read_text() == f"{os.getpid()}\n"
        file.remove()
        assert not path.exists()


def test_one_that_is_held_refuses(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pid"
    script = (
        f"from dimserver.supervisor.pid_file import PidFile; PidFile({str(path)!r}).write(); print(flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StartError, match=rf"'{path}' is in use by a running server \(pid {process.pid}\)"):
            PidFile(str(path)).write()
        assert path.read_text() == f"{process.pid}\n"
        process.kill()
        process.wait()
    file = PidFile(str(path))
    file.write()  # the lock ended with its process
    file.remove()


def test_a_forked_process_does_not_keep_the_lock(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "pid")
    file = PidFile(path)
    file.write()
    copy = os.dup(file._fd)  # as a child has it
    file.forget()
    with pytest.raises(StartError, match="is in use"):
        PidFile(path).write()
    os.close(copy)
    again = PidFile(path)
    again.write()
    again.remove()


def test_what_is_no_file(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "else")
    for name in ("fifo", "link", "."):
        with pytest.raises(StartError, match="--pidfile: cannot write"):
            PidFile(str(tmp_path / name)).write()
    assert not (tmp_path / "else").exists()


def test_somebody_elses_stays(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pid"
    file = PidFile(str(path))
    file.write()
    path.write_text("1\n")
    file.remove()
    assert path.read_text() == "1\n"
    PidFile(str(tmp_path / "never")).remove()


def test_a_directory_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StartError, match=r"--pidfile: cannot write '.*pid': No such file or directory"):
        PidFile(str(tmp_path / "none" / "pid")).write()


def test_reading_says_what_is_wrong(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pid"
    with pytest.raises(StartError, match="cannot read the pid file"):
        read_pid(str(path))
    path.write_text("x y")
    with pytest.raises(StartError, match="contains no process id: 'x y'"):
        read_pid(str(path))
    gone = ended()
    path.write_text(str(gone))
    with pytest.raises(StartError, match=f"names process {gone}, which is not running"):
        read_pid(str(path))
    assert not is_alive(gone)
    assert is_alive(1)


def test_only_a_process_that_waits_for_it_is_signalled() -> None:
    with pytest.raises(StartError, match="is not running"):
        hang_up(ended())
    script = "import signal; signal.signal(signal.SIGHUP, lambda *a: exit(7)); print(flush=True); signal.pause()"
    for words, code in ((script, 7), ("import time; print(flush=True); time.sleep(30)", None)):
        with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            if code is None:
                if os.access("/proc/self/status", os.R_OK):
                    with pytest.raises(StartError, match=f"process {process.pid} is not a dimserver"):
                        hang_up(process.pid)
                process.kill()
                assert process.wait(10) == -signal.SIGKILL
            else:
                hang_up(process.pid)
                assert process.wait(10) == code
