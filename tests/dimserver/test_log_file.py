"""The file of a log: where it is opened, and how rotation is followed."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from dimserver import log_file as logfile
from dimserver.log_file import LogFile


def test_a_new_file_is_not_for_everybody_and_not_inherited(tmp_path: pathlib.Path) -> None:
    file = LogFile(str(tmp_path / "log"))
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0
    assert not os.get_inheritable(file.fd)
    assert os.get_blocking(file.fd)
    assert not file.is_stream
    file.close()
    file.close()


def test_it_is_appended_to(tmp_path: pathlib.Path) -> None:
    (tmp_path / "log").write_text("before\n")
    one, other = LogFile(str(tmp_path / "log")), LogFile(str(tmp_path / "log"))
    os.write(one.fd, b"one\n")
    os.write(other.fd, b"other\n")
    os.write(one.fd, b"one\n")
    assert (tmp_path / "log").read_text() == "before\none\nother\none\n"
    one.close()
    other.close()


def test_a_descriptor_stays_its_owners() -> None:
    reader, writer = os.pipe()
    file = LogFile(writer)
    assert (file.path, file.is_stream) == (None, True)
    file.reopen()
    file.follow()
    file.close()
    assert stat.S_ISFIFO(os.fstat(writer).st_mode)
    os.close(reader)
    os.close(writer)


def test_reopen(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    file = LogFile(str(path))
    path.rename(tmp_path / "log.1")
    os.write(file.fd, b"old\n")
    file.reopen()
    os.write(file.fd, b"new\n")
    file.close()
    assert ((tmp_path / "log.1").read_text(), path.read_text()) == ("old\n", "new\n")


def test_reopen_into_nothing_keeps_the_old_file(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = LogFile(str(folder / "log"))
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        file.reopen()
    with pytest.raises(FileNotFoundError):
        file.follow()
    os.write(file.fd, b"line\n")
    file.close()
    assert (tmp_path / "moved/log").read_text() == "line\n"


@pytest.mark.parametrize("how", ["renamed", "removed", "replaced"])
def test_follow(how: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(logfile, "monotonic", lambda: now)
    path = tmp_path / "log"
    file = LogFile(str(path))
    file.follow()
    before = os.fstat(file.fd).st_ino
    if how == "removed":
        path.unlink()
    else:
        path.rename(tmp_path / "log.1")
    if how == "replaced":
        path.write_text("")
    file.follow()
    assert os.fstat(file.fd).st_ino == before  # looked at a moment ago
    now += 1.5
    file.follow()
    assert os.fstat(file.fd).st_ino == path.stat().st_ino
    file.close()


def test_a_fifo(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device"):
        LogFile(str(tmp_path / "fifo"))  # rather than to wait for a reader
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(str(tmp_path / "fifo"))
    assert file.is_stream
    assert os.get_blocking(file.fd)
    file.close()
    os.close(reader)


def test_a_path_that_cannot_be_opened(tmp_path: pathlib.Path) -> None:
    with pytest.raises(IsADirectoryError):
        LogFile(str(tmp_path))
