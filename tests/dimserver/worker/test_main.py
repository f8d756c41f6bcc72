"""What a worker process does besides serving: its end, and what it says when it cannot begin."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from dimserver.config import Settings
from dimserver.worker import main as child
from dimserver.worker.channel import Channel

# The fork is made by a process of its own: this one may have threads, which a forked process must not inherit.
FORKS = """
import os, sys
from dimserver.worker.main import become_worker
{program}
pid = os.fork()
if pid == 0:
    become_worker(job)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def in_child(program: str) -> tuple[int, str]:
    """Exit code of the job that a program defines, in a process forked from it, and what it wrote."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", FORKS.format(program=program)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_its_result_is_the_exit_code_and_what_is_printed_gets_out() -> None:
    assert in_child("def job():\n    print('unflushed', end='')\n    return 5\n") == (5, "unflushed")


def test_what_the_parent_registered_is_not_run_and_its_own_is() -> None:
    program = (
        "import atexit\n"
        "atexit.register(lambda: print('parent'))\n"
        "def job():\n    atexit.register(lambda: print('own'))\n    return 0\n"
    )
    assert in_child(program) == (0, "own\n")


def test_a_fault_is_shown_and_is_no_success() -> None:
    code, out = in_child("def job():\n    return 1 // 0\n")
    assert code == child.INTERNAL
    assert "ZeroDivisionError" in out


def fails(tmp_path: pathlib.Path, target: str, **values: object) -> tuple[object, ...]:
    """What a worker says that cannot start."""
    ours, theirs = Channel.pair()
    interrupt, hangup = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)
    path = list(sys.path)
    try:
        code = child.work(theirs, target, dict(values))
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGHUP, hangup)
        sys.path[:] = path
    messages, _ = ours.receive()
    ours.close()
    theirs.close()
    assert messages[-1][0] == "failed"
    assert messages[-1][1] == code
    return messages[-1]


def test_a_mistake_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    _, code, text, trace = fails(tmp_path, str(tmp_path / "none.py"))
    assert (code, trace) == (2, "")
    assert str(text).startswith("no such file: ")
    assert fails(tmp_path, "", static=str(tmp_path / "none"))[2] == (f"--static: no such directory: '{tmp_path}/none'")


def test_an_exception_of_the_app_is_told_whole(tmp_path: pathlib.Path) -> None:
    (tmp_path / "child_broken.py").write_text("def f():\n    raise ValueError('näh')\n\nf()\n")
    _, code, text, trace = fails(tmp_path, str(tmp_path / "child_broken.py"))
    assert code == 1
    assert "raised ValueError while it was loaded" in str(text)
    assert str(trace).startswith("Traceback (most recent call last):\n")
    assert "ValueError: näh" in str(trace)
    assert f"{os.sep}dimserver{os.sep}run" not in str(trace)


def test_an_endless_traceback_is_cut(tmp_path: pathlib.Path) -> None:
    (tmp_path / "child_long.py").write_text("raise ValueError('x' * 3_000_000)\n")
    trace = str(fails(tmp_path, str(tmp_path / "child_long.py"))[3])
    assert len(trace) < 2 * child.MOST_TRACEBACK


@pytest.mark.parametrize("value", [1, 1.5, True, None, "text", pathlib.Path("/a/b")])
def test_settings_of_the_app_can_be_sent(value: object) -> None:
    ours, theirs = Channel.pair()
    theirs.send("loaded", child._plain(value))
    assert ours.wait() == ("loaded", value if not isinstance(value, pathlib.Path) else "/a/b")
    ours.close()
    theirs.close()


def test_tables_of_the_app_can_be_sent() -> None:
    tables = Settings(route=["/a limit-body=1k stream", "/b"]).route
    for given in (tables, list(tables), [{"pattern": "/a", "limit_body": 1024, "stream": True}, {"pattern": "/b"}]):
        ours, theirs = Channel.pair()
        theirs.send("loaded", child._plain({"route": given, "admin": ("::1", 0)}))
        message = ours.wait()
        assert message is not None
        assert Settings(**message[1]) == Settings(route=tables, admin=("::1", 0))  # type: ignore[arg-type]
        ours.close()
        theirs.close()


def test_a_supervisor_that_is_gone_before_the_worker_is_ready() -> None:
    ours, theirs = Channel.pair()
    ours.close()
    interrupt, hangup = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)
    assert child.work(theirs, "", {"port": 0}) == 0
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, hangup)
    theirs.close()


STOPPED_EARLY = """
import socket
from dimserver.worker.channel import Channel
from dimserver.worker.main import work
ours, theirs = Channel.pair()
listening = socket.create_server(("127.0.0.1", 0))
listening.setblocking(False)
ours.send("serve", 1, [(False, False)], descriptors=[listening.fileno()])
ours.send("drain", 0.0, True)
code = work(theirs, "", {"port": 0})
print(code, [word for word, *_ in ours.receive()[0]])
"""


def test_what_was_sent_together_with_its_sockets_is_heard() -> None:
    """A server that stops while its worker starts."""
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_EARLY], capture_output=True, text=True, timeout=30, check=True
    )  # fmt: skip
    assert done.stdout == "0 ['loaded', 'ready', 'ended']\n"
