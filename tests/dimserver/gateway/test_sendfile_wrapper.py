"""Which files the kernel may send, and from where."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from dimserver.gateway.sendfile_wrapper import file_body


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.write_bytes(b"0123456789")
    return made


@pytest.mark.parametrize(("mode", "buffering"), [("rb", -1), ("r+b", -1), ("rb", 0), ("r+b", 0)])
def test_what_is_left_of_a_file(path: Path, mode: str, buffering: int) -> None:
    with path.open(mode, buffering) as file:
        file.read(3)
        body = file_body(file)
    assert body is not None
    assert body.length == 7  # and it stays open when the file is closed
    body.close()


def test_at_and_behind_the_end(path: Path) -> None:
    with path.open("rb") as file:
        for at in (10, 20):
            file.seek(at)
            body = file_body(file)
            assert body is not None
            assert body.length == 0
            body.close()


def test_a_temporary_file() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"abc")
        file.flush()
        file.seek(1)
        body = file_body(file)
        assert body is not None
        assert body.length == 2
        body.close()


def test_what_only_looks_like_one(path: Path) -> None:
    """These have a descriptor, and reading them gives something else than what is there."""
    with gzip.open(path, "rb") as packed, path.open() as text:
        assert file_body(packed) is None
        assert file_body(text) is None

    class Upper(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            return (super().read(size) or b"").upper()

    with Upper(path) as own:
        assert file_body(own) is None


def test_what_is_none(path: Path) -> None:
    closed = path.open("rb")
    closed.close()
    read, write = os.pipe()
    near, far = socket.socketpair()
    with os.fdopen(read, "rb") as pipe, near.makefile("rb") as stream, near, far:
        given: list[Any] = [io.BytesIO(b"x"), object(), None, closed, pipe, stream]
        assert [file_body(each) for each in given] == [None] * 6
    os.close(write)


def test_a_file_that_turns_bad(path: Path) -> None:
    with path.open("rb") as file:
        os.close(file.fileno())
        assert file_body(file) is None
        os.open(path, os.O_RDONLY)  # the number again, for what closes it
