"""Segments: what they promise, over a fork, over an exec, and when the system gives no memory file."""

from __future__ import annotations

import ctypes
import mmap
import os
import pathlib
import resource
import subprocess
import sys
import traceback
from collections.abc import Callable

import pytest

from dimcore import Segment, SegmentError, UsageError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="no /proc and no memory files")


def in_child(function: Callable[[], bool]) -> bool:
    """Whether a forked process finds it true."""
    pid = os.fork()
    if not pid:
        code = 2
        try:
            code = 0 if function() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_it_is() -> None:
    segment = Segment("ticket-keys", 3, 100)
    assert (segment.name, segment.version, segment.size) == ("ticket-keys", 3, 100)
    assert segment.bytes == mmap.PAGESIZE
    assert Segment("a", 1, mmap.PAGESIZE).bytes == 2 * mmap.PAGESIZE
    memory = memoryview(segment)
    assert bytes(memory) == bytes(100)
    assert ctypes.addressof(ctypes.c_char.from_buffer(memory)) % 64 == 0
    assert repr(segment) == "<Segment ticket-keys version 3 of 100 bytes>"


def test_both_processes_have_the_same_bytes() -> None:
    memory = memoryview(Segment("a", 1, 8)).cast("q")
    memory[0] = 1

    def write() -> bool:
        seen = memory[0]
        memory[0] = 2
        return seen == 1

    assert in_child(write)
    assert memory[0] == 2


def test_two_of_one_name_are_two() -> None:
    one, other = memoryview(Segment("a", 1, 8)), memoryview(Segment("a", 1, 8))
    one[0] = 1
    assert other[0] == 0


def test_the_memory_lasts_as_long_as_a_view_of_it() -> None:
    memory = memoryview(Segment("a", 1, 1 << 20))
    memory[-1] = 7
    assert (memory[-1], memory.nbytes) == (7, 1 << 20)


@LINUX
def test_it_takes_no_descriptor_and_is_given_back() -> None:
    listed = pathlib.Path("/proc/self/fd")
    before = sorted(listed.iterdir())
    segment = Segment("of-a-test", 1, 1 << 20)
    assert sorted(listed.iterdir()) == before
    maps = pathlib.Path("/proc/self/maps")
    assert "/memfd:dimserver-of-a-test (deleted)" in maps.read_text()
    del segment
    assert "of-a-test" not in maps.read_text()


@LINUX
def test_a_program_that_is_executed_does_not_have_it() -> None:
    segment = Segment("of-a-test", 1, 8)
    seen = subprocess.run(
        ["cat", "/proc/self/maps"], capture_output=True, text=True, check=True, close_fds=False
    ).stdout
    listed = subprocess.run(
        ["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, check=True, close_fds=False
    ).stdout
    assert "dimserver" not in seen
    assert "dimserver" not in listed
    assert segment.size == 8


@LINUX
def test_its_size_never_changes() -> None:
    segment = Segment("of-a-test", 1, 100)
    (line,) = [line for line in pathlib.Path("/proc/self/maps").read_text().splitlines() if "of-a-test" in line]
    try:
        file = os.open(f"/proc/self/map_files/{line.split()[0]}", os.O_RDWR)
    except OSError:
        pytest.skip("the system does not show what is mapped to those without privileges")
    try:
        for size in (0, 1 << 20):
            with pytest.raises(PermissionError):
                os.truncate(file, size)
    finally:
        os.close(file)
    assert bytes(segment) == bytes(100)


# In an interpreter of its own: what else is loaded here (libuv) aborts in a forked process that may open nothing.
WITHOUT_DESCRIPTORS = """
import os, resource
from dimcore import Segment
resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    os.dup(1)
except OSError:
    memory = memoryview(Segment("a", 1, 8))
    pid = os.fork()
    if not pid:
        memory[0] = 5
        os._exit(0)
    os.waitpid(pid, 0)
    os._exit(memory[0])
"""


def test_without_a_descriptor_it_is_anonymous() -> None:
    assert subprocess.run([sys.executable, "-c", WITHOUT_DESCRIPTORS], timeout=30, check=False).returncode == 5


def test_no_memory() -> None:
    def ask() -> bool:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        with pytest.raises(SegmentError, match=r"no 10737418240 bytes of shared memory for arena: .*emory"):
            Segment("arena", 1, (10 << 30) - 64)
        return len(bytes(Segment("arena", 1, 64))) == 64

    assert in_child(ask)


def test_fits() -> None:
    segment = Segment("a", 2, 100)
    assert segment.fits("a", 2, 100)
    for name, version, size in (("b", 2, 100), ("a", 1, 100), ("a", 2, 101)):
        assert not segment.fits(name, version, size)


@pytest.mark.parametrize("at", [0, 8, 16, 24], ids=["magic", "size", "version", "name"])
def test_a_header_that_was_written_over_does_not_fit(at: int) -> None:
    segment = Segment("a", 2, 100)
    header = ctypes.addressof(ctypes.c_char.from_buffer(segment)) - 64
    ctypes.c_char.from_address(header + at).value = b"\xff"
    assert not segment.fits("a", 2, 100)


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "a\0b", "ä", "a" * 22])
def test_bad_names(name: str) -> None:
    with pytest.raises(UsageError, match="name of a segment is 1 to 21"):
        Segment(name, 1, 8)


@pytest.mark.parametrize("version", [0, -1, 1 << 32, 1.0, True, None])
def test_bad_versions(version: int) -> None:
    with pytest.raises(UsageError, match="version of segment a must be 1 to 4294967295"):
        Segment("a", version, 8)


@pytest.mark.parametrize("size", [0, -1, (1 << 40) + 1, 1.0, True, None])
def test_bad_sizes(size: int) -> None:
    with pytest.raises(UsageError, match="size of segment a must be 1 to 1099511627776 bytes"):
        Segment("a", 1, size)


def test_limits_themselves() -> None:
    segment = Segment("a" * 21, (1 << 32) - 1, 1)
    assert segment.fits("a" * 21, (1 << 32) - 1, 1)
