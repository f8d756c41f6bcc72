"""Writes that never wait."""

from __future__ import annotations

import io
import os
import pathlib
import socket
import threading
import time

import pytest

from dimserver.nowait import NoWaitWriter, put_line


def fill(fd: int) -> None:
    os.set_blocking(fd, False)
    for size in (65536, 1):
        try:
            while True:
                os.write(fd, b"." * size)
        except BlockingIOError:
            pass
    os.set_blocking(fd, True)


def test_a_file(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        writer = NoWaitWriter(file.fileno())
        assert writer.put(b"abc") == 3
        writer.close()
    assert (tmp_path / "file").read_bytes() == b"abc"


@pytest.mark.parametrize("patience", [0.0, 0.2])
def test_a_pipe_that_nobody_reads(patience: float) -> None:
    reader, writer = os.pipe()
    fill(writer)
    begun = time.monotonic()
    assert NoWaitWriter(writer).put(b"x" * 100, patience) == 0
    with os.fdopen(writer, "w") as stream:
        assert not put_line(stream, "x" * 100, patience)
        assert patience * 2 <= time.monotonic() - begun < 5
        os.read(reader, 65536)
        assert put_line(stream, "line\n")
    os.close(reader)


def test_a_reader_that_is_slow_is_waited_for() -> None:
    reader, writer = os.pipe()
    fill(writer)
    threading.Timer(0.1, os.read, (reader, 65536)).start()
    assert NoWaitWriter(writer).put(b"x" * 100, 10) == 100
    os.close(reader)
    os.close(writer)


def test_a_socket() -> None:
    one, other = socket.socketpair()
    writer = NoWaitWriter(one.fileno())
    assert writer.put(b"abc") == 3
    fill(one.fileno())
    assert writer.put(b"abc") == 0
    one.close()
    other.close()


def test_what_is_no_stream_of_the_system() -> None:
    out = io.StringIO()
    assert put_line(out, "a line\n")
    assert out.getvalue() == "a line\n"
    out.close()
    assert not put_line(out, "a line\n")
    assert not put_line(None, "a line\n")


def test_a_reader_that_has_left() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        assert not put_line(stream, "a line\n")
