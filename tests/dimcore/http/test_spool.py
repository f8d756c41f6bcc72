"""Bodies in temporary files: written by the server, read as often as asked, gone with the last reference."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimcore import UsageError
from dimcore.http.spool import Spool, open_unnamed

Serve = Callable[..., Any]

KIB = 1024


def post(body: bytes, path: bytes = b"/") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (path, len(body)) + body


def pattern(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + bytes(range(size % 256))


def test_an_empty_one() -> None:
    file, path = tempfile.mkstemp()
    Path(path).unlink()
    spool = Spool(file)
    assert (spool.size, list(spool), spool.read()) == (0, [], b"")
    del spool
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


@pytest.mark.parametrize("named", [False, True])
def test_a_file_without_a_name(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one step where the file system can, else in two."""
    made: list[str] = []
    mkstemp = tempfile.mkstemp

    def counted(**how: Any) -> tuple[int, str]:
        made.append("")
        return mkstemp(**how)

    monkeypatch.setattr(tempfile, "mkstemp", counted)
    if named:
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_EXCL, raising=False)  # no such file system
    file = open_unnamed(str(tmp_path))
    assert made == ([""] if named or not hasattr(os, "O_TMPFILE") else [])
    assert list(tmp_path.iterdir()) == []
    status = os.fstat(file)
    assert (status.st_nlink, status.st_mode & 0o777) == (0, 0o600)
    assert not os.get_inheritable(file)
    os.write(file, b"abc")
    assert os.pread(file, 10, 0) == b"abc"
    os.close(file)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError):
        open_unnamed()


def test_what_is_no_descriptor() -> None:
    with pytest.raises(UsageError, match="-1 is no descriptor"):
        Spool(-1)
    with pytest.raises(TypeError):
        Spool("a")  # type: ignore[arg-type]
    os.fstat(0)  # and standard input is still open


@pytest.mark.parametrize("size", [2 * KIB, 64 * KIB, 64 * KIB + 1, 300 * KIB])
def test_reading(serve: Serve, size: int) -> None:
    body = pattern(size)
    found: list[Any] = []

    def handler(request: Any) -> str:
        pieces = list(request.stream())
        found.append(pieces)
        assert b"".join(request.stream()) == body  # again, from the start
        one, other = request.stream(), request.stream()
        for piece in pieces:  # and side by side
            assert next(one) == next(other) == piece
        assert request.body == body
        assert list(request.stream()) == [body]
        return "ok"

    rig = serve({"POST /": handler}, body_memory=1000)
    client = rig.connect()
    for _ in range(2):
        assert client.ask(post(body)).body == b"ok", rig.reports
    assert b"".join(found[0]) == body
    assert {len(piece) for piece in found[0][:-1]} <= {64 * KIB}


def test_a_request_that_is_kept_keeps_its_body(serve: Serve) -> None:
    kept: list[Any] = []
    body = pattern(100_000)
    rig = serve({"POST /": lambda request: str(kept.append(request))}, body_memory=1000)
    client = rig.connect()
    client.ask(post(body))
    client.ask(post(b"x" * 100_000))
    client.sock.close()
    rig.turn()
    assert kept[0].body == body
    kept.clear()


def test_a_file_that_was_cut_behind_its_back(serve: Serve) -> None:
    files: list[int] = []

    def open_spool() -> int:
        file, path = tempfile.mkstemp()
        Path(path).unlink()
        files.append(file)
        return file

    def handler(request: Any) -> bytes:
        os.ftruncate(files[0], 10)
        return bytes(request.body)

    rig = serve({"POST /": handler}, options={"open_spool": open_spool}, body_memory=1000)
    assert rig.connect().ask(post(b"x" * 100_000)).status == 500
    assert "could not be read" in str(rig.reports[0][2])
    rig.reports.clear()  # the traceback holds the request, and that the file


def test_no_file_for_what_fits(serve: Serve) -> None:
    rig = serve({"POST /": lambda request: request.body}, options={"open_spool": lambda: 1 / 0}, body_memory=10_000)
    body = pattern(10_000)
    assert rig.connect().ask(post(body)).body == body
    client = rig.connect()
    for byte in range(0, len(body), 500):
        client.send((post(body) if byte == 0 else b"")[: -len(body)] + body[byte : byte + 500])
    assert client.answer().body == body
