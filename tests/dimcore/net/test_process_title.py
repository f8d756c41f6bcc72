"""The title and the name of a process, as the system shows them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from dimcore import UsageError, set_process_title

LINUX = sys.platform == "linux"
PROGRAM = """
import json, os, sys
from dimcore import set_process_title

def read(name):
    with open(f"/proc/self/{name}", "rb") as file:
        return file.read().decode("utf-8", "surrogateescape")

before = read("cmdline")
done = [set_process_title(title, name) for title, name in json.loads(sys.stdin.read())]
child = os.fork()
if child == 0:
    os._exit(0 if set_process_title("child", "c") and read("cmdline").rstrip("\\0") == "child" else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps([done, len(os.fsencode(before)), read("cmdline"), read("comm"), read("environ"), sys.argv, code]))
"""


def run(*titles: tuple[str, str], words: tuple[str, ...] = (), **variables: str) -> tuple[str, str, int]:
    """Set titles in a process of its own; the last title and name it shows, and the room there is."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    done, room, cmdline, comm, environ, argv, code = json.loads(
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            input=json.dumps(titles), env=environment, capture_output=True, check=True, text=True,
        ).stdout
    )  # fmt: skip
    assert done == [True] * len(titles)
    assert len(os.fsencode(cmdline)) == room, "neither more nor less than the arguments is written"
    assert environ == "".join(f"{name}={value}\0" for name, value in environment.items())
    assert argv == ["-c", *words], "the program's own copy"
    assert code == 0, "the child has a title of its own, and its parent's stays"
    title = cmdline.rstrip("\0")
    assert "\0" not in title, "nothing is left of the arguments"
    return title, comm, room


@pytest.mark.skipif(not LINUX, reason="the system has no such thing")
def test_a_title() -> None:
    assert run(("dimserver: worker 2 shop:app", "w2"))[:2] == ("dimserver: worker 2 shop:app", "w2\n")


@pytest.mark.skipif(not LINUX, reason="the system has no such thing")
def test_another_title_leaves_nothing_of_the_one_before() -> None:
    assert run(("a long title " * 10, "a long name"), ("short", "n"))[:2] == ("short", "n\n")
    assert run(("short", "n"), ("", ""))[:2] == ("", "\n")


@pytest.mark.skipif(not LINUX, reason="the system has no such thing")
def test_a_title_is_cut_to_the_room_there_is() -> None:
    title, comm, room = run(("x" * 100_000, "n" * 100))
    assert (title, comm) == ("x" * (room - 1), "n" * 15 + "\n")
    assert 300 < room < 10_000


@pytest.mark.skipif(not LINUX, reason="the system has no such thing")
@pytest.mark.parametrize("more", range(4))
def test_no_part_of_a_character_is_left(more: int) -> None:
    title, comm, room = run(("\N{SNOWMAN}" * 10_000, "\N{SNOWMAN}" * 6), words=("x" * more,))
    assert title == "\N{SNOWMAN}" * ((room - 1) // 3)
    assert comm == "\N{SNOWMAN}" * 5 + "\n"


@pytest.mark.skipif(not LINUX, reason="the system has no such thing")
@pytest.mark.parametrize("size", [4000, 4096, 5000, 20_000])
def test_arguments_of_many_pages(size: int) -> None:
    words = ("y" * size,)
    assert run(("short", "n"), words=words)[0] == "short"
    title, _, room = run(("z" * 100_000, "n"), words=words, VARIABLE="v" * 50_000)
    assert title == "z" * (room - 1)
    assert room > size


def test_nul() -> None:
    for title, name in (("a\0b", "n"), ("t", "n\0")):
        with pytest.raises(UsageError, match="cannot contain NUL"):
            set_process_title(title, name)


@pytest.mark.skipif(not LINUX, reason="the system has no such thing")
def test_what_cannot_be_had_is_not_done() -> None:
    program = (
        "import os, resource; from dimcore import set_process_title; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); print(set_process_title('t', 'n'))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.skipif(LINUX, reason="the system has such a thing")
def test_elsewhere_all_stays_as_it_is() -> None:
    assert not set_process_title("t", "n")


@pytest.mark.skipif(not LINUX or not pathlib.Path("/usr/bin/ps").exists(), reason="there is no ps")
def test_what_ps_shows() -> None:
    program = (
        "import sys; from dimcore import set_process_title; set_process_title('a: title', 'name'); "
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        ask = ["/usr/bin/ps", "-o", "comm=,args=", "-p", str(process.pid)]
        shown = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        process.communicate()
    assert shown.split() == ["name", "a:", "title"]
