"""Strong tags of files."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest

from dimserver.handlers import validators
from dimserver.handlers.validators import DIGEST_BYTES, STRETCH, Tags

LONG_AGO = 1_700_000_000
SIZES = [0, 1, 1000, DIGEST_BYTES, DIGEST_BYTES + 1, 5 * DIGEST_BYTES]


def tag_of(path: pathlib.Path, tags: Tags | None = None) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return (Tags() if tags is None else tags).of(fd, os.fstat(fd))
    finally:
        os.close(fd)


def make(path: pathlib.Path, content: bytes, when: float = LONG_AGO) -> pathlib.Path:
    path.write_bytes(content)
    os.utime(path, (when, when))
    return path


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_with_its_times_has_the_same_tag(tmp_path: pathlib.Path, size: int) -> None:
    one = make(tmp_path / "one", os.urandom(size))
    (tmp_path / "host").mkdir()
    other = pathlib.Path(shutil.copy2(one, tmp_path / "host/renamed"))
    assert tag_of(one) == tag_of(other)
    assert tag_of(one).startswith('"')


@pytest.mark.parametrize("size", [size for size in SIZES if size <= DIGEST_BYTES])
def test_a_copy_with_other_times_has_it_too_up_to_a_mebibyte(tmp_path: pathlib.Path, size: int) -> None:
    content = os.urandom(size)
    assert tag_of(make(tmp_path / "one", content)) == tag_of(make(tmp_path / "two", content, LONG_AGO + 99))


@pytest.mark.parametrize("size", [size for size in SIZES if 0 < size <= DIGEST_BYTES])
@pytest.mark.parametrize("where", [0, 0.5, 1])
def test_any_other_content_of_the_same_size_and_time_differs(tmp_path: pathlib.Path, size: int, where: float) -> None:
    content = bytearray(os.urandom(size))
    one = tag_of(make(tmp_path / "one", bytes(content)))
    content[int((size - 1) * where)] ^= 1
    assert tag_of(make(tmp_path / "two", bytes(content))) != one


def test_a_large_file_differs_by_time_size_and_stretches(tmp_path: pathlib.Path) -> None:
    size = 3 * DIGEST_BYTES
    content = bytes(size)
    seen = {
        tag_of(make(tmp_path / "one", content)),
        tag_of(make(tmp_path / "two", content, LONG_AGO + 0.000001)),
        tag_of(make(tmp_path / "three", content + b"x")),
        tag_of(make(tmp_path / "four", b"x" + content[1:])),
        tag_of(make(tmp_path / "five", content[:-1] + b"x")),
    }
    assert len(seen) == 5


def test_what_has_settled_is_remembered(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = Tags()
    path = make(tmp_path / "one", b"x")
    tag = tag_of(path, tags)
    assert len(tags) == 0  # it changed a moment ago: the next change may have the same time
    monkeypatch.setattr(validators, "clock", lambda: path.stat().st_ctime + 10)
    assert tag_of(path, tags) == tag
    assert len(tags) == 1
    monkeypatch.setattr(validators, "_tag", None)
    assert tag_of(path, tags) == tag


def test_there_is_a_limit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators, "MOST_TAGS", 3)
    monkeypatch.setattr(validators, "clock", lambda: 1e11)
    tags = Tags()
    for number in range(9):
        tag_of(make(tmp_path / str(number), b"x"), tags)
    assert len(tags) == 3


def test_a_file_that_shrinks(tmp_path: pathlib.Path) -> None:
    path = make(tmp_path / "one", b"x" * STRETCH)
    fd = os.open(path, os.O_RDONLY)
    status = os.fstat(fd)
    os.truncate(path, 5)
    with pytest.raises(BlockingIOError):
        Tags().of(fd, status)
    os.close(fd)
