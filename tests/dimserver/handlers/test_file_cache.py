"""Files kept in memory: what is served is what lies there now, and no more is kept than is allowed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dimcore import FileBody, parse_request
from dimserver.handlers import file_cache as kept
from dimserver.handlers.file_cache import CachedFile, FileCache
from dimserver.handlers.static import INLINE_BYTES, StaticFiles


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once; a test cannot wait, nor set the time of an inode back."""
    monkeypatch.setattr(kept, "SETTLED_NS", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"first")
    (folder / "index.html").write_bytes(b"index")
    return folder


def ask(files: StaticFiles, path: str, method: str = "GET", *fields: str) -> tuple[int, dict[str, str], Any]:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields]) + "\r\n\r\n"
    parsed = parse_request(head.encode())
    assert parsed is not None
    return files(parsed[0])  # type: ignore[return-value]


def kept_of(files: StaticFiles) -> FileCache:
    return files._kept


def put(files: FileCache, name: str, path: Path) -> None:
    status = path.stat()
    files.keep(name, CachedFile(os.fsencode(path), [], status, "", 0, {}, path.read_bytes()), status)


@pytest.mark.usefixtures("settled")
def test_the_second_answer_is_the_first_and_opens_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = StaticFiles(folder)
    first = ask(files, "/a.txt"), ask(files, "/")
    assert first[0][0] == 200
    monkeypatch.setattr(os, "open", None)
    assert (ask(files, "/a.txt"), ask(files, "/")) == first
    assert ask(files, "/a.txt", "HEAD")[1] == first[0][1]


@pytest.mark.usefixtures("settled")
def test_what_a_caller_does_to_an_answer_is_not_in_the_next(folder: Path) -> None:
    files = StaticFiles(folder)
    for _ in range(3):
        fields = ask(files, "/a.txt")[1]
        assert "X" not in fields
        fields["X"] = "1"


@pytest.mark.usefixtures("settled")
def test_a_change_is_seen_at_once(folder: Path, tmp_path: Path) -> None:
    files = StaticFiles(folder)
    path = folder / "a.txt"
    assert ask(files, "/a.txt")[2] == b"first"
    assert ask(files, "/a.txt")[2] == b"first"

    path.write_bytes(b"longer than before")
    assert ask(files, "/a.txt")[2] == b"longer than before"

    before = path.stat()
    other = tmp_path / "other"  # of the same length and, to the nanosecond, of the same time
    other.write_bytes(b"another is in here")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)
    assert ask(files, "/a.txt")[2] == b"another is in here"

    path.unlink()
    assert ask(files, "/a.txt")[0] == 404
    assert len(kept_of(files)) == 0


@pytest.mark.usefixtures("settled")
def test_what_becomes_a_way_out_is_none(folder: Path, tmp_path: Path) -> None:
    files = StaticFiles(folder)
    (tmp_path / "secret").write_bytes(b"secre")
    assert ask(files, "/a.txt")[0] == 200
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(tmp_path / "secret")
    assert ask(files, "/a.txt")[0] == 404


@pytest.mark.usefixtures("settled")
def test_conditions_and_ranges_are_judged_as_without_it(folder: Path) -> None:
    files = StaticFiles(folder)
    fields = ask(files, "/a.txt")[1]
    tag, date = fields["ETag"], fields["Last-Modified"]
    for _ in range(2):  # a file that was looked at by a slower way stays kept
        assert ask(files, "/a.txt", "GET", f"If-None-Match: {tag}") == (304, {"ETag": tag, "Last-Modified": date}, b"")
        assert ask(files, "/a.txt", "GET", f"If-Modified-Since: {date}")[0] == 304
        assert ask(files, "/a.txt", "HEAD", f"If-None-Match: {tag}")[0] == 304
        assert ask(files, "/a.txt", "GET", 'If-None-Match: "x"')[::2] == (200, b"first")
        assert ask(files, "/a.txt", "GET", 'If-Match: "x"')[0] == 412
        assert ask(files, "/a.txt", "GET", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT")[0] == 412
        assert ask(files, "/a.txt", "GET", "Range: bytes=1-2")[::2] == (206, b"ir")
        assert ask(files, "/a.txt", "GET", f"If-None-Match: {tag}", "Range: bytes=1-2")[0] == 304
        assert ask(files, "/a.txt", "POST")[0] == 405


def test_a_file_that_was_just_written_is_not_kept(folder: Path) -> None:
    """Written again within the same tick of the clock, it would look the same."""
    files = StaticFiles(folder)
    assert ask(files, "/a.txt")[0] == 200
    os.utime(folder / "a.txt", (0, 0))  # an old content in a fresh inode
    assert ask(files, "/a.txt")[0] == 200
    assert len(kept_of(files)) == 0


@pytest.mark.usefixtures("settled")
def test_a_file_has_one_name_and_a_large_one_none(folder: Path) -> None:
    files = StaticFiles(folder)
    (folder / "large.bin").write_bytes(b"x" * (INLINE_BYTES + 1))
    for path in ("/%61.txt", "/a.tx%74", "/large.bin"):
        assert ask(files, path)[0] == 200
    assert len(kept_of(files)) == 0
    ask(files, "/a.txt?one")
    ask(files, "/a.txt?two")
    assert len(kept_of(files)) == 1


@pytest.mark.usefixtures("settled")
def test_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_FILES", 3)
    monkeypatch.setattr(kept, "MOST_BYTES", 20)
    files = FileCache()
    path = folder / "a.txt"
    for number in range(5):
        put(files, f"/{number}", path)
    assert [files.find(f"/{number}") is not None for number in range(5)] == [False, False, True, True, True]

    path.write_bytes(b"x" * 18)  # with it, two of the small ones are too many
    put(files, "/large", path)
    assert len(files) == 1
    put(files, "/large", path)  # again is no second one
    path.write_bytes(b"xx")
    put(files, "/small", path)
    assert len(files) == 2

    put(files, "/" + "n" * kept.MOST_NAME, path)
    assert len(files) == 2
    for name in ("/large", "/small", "/never"):
        files.forget(name)
    assert (len(files), files._bytes) == (0, 0)


RANGES = (
    "bytes=0-0", "bytes=1-3", "bytes=2-", "bytes=-2", "bytes=3-99999999", "bytes=99999999-", "bytes=3-1",
    "bytes=0-0,3-3", "lines=1-2",
)  # fmt: skip
CONDITIONS = ((), ("If-Range: {etag}",), ('If-Range: "x"',), ("If-Match: {etag}",), ('If-Match: "x"',),
              ("If-None-Match: {etag}",), ("If-Modified-Since: {date}",))  # fmt: skip


def content(body: Any) -> bytes:
    if isinstance(body, FileBody):
        return b"a stretch"
    return bytes(body) if isinstance(body, bytes) else b"parts"


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("size", [5, 100_000])
def test_ranges_are_the_same_again(folder: Path, size: int) -> None:
    """Of a file in memory, and of one of which only the description is kept."""
    (folder / "a.txt").write_bytes(bytes(number % 251 for number in range(size)))
    kept = StaticFiles(folder)
    _, fields, _ = ask(kept, "/a.txt")
    ask(kept, "/a.txt", "GET", "Range: bytes=0-0")
    assert len(kept_of(kept)) == 1
    for method in ("GET", "HEAD"):
        for value in RANGES:
            for condition in CONDITIONS:
                lines = [line.format(etag=fields["ETag"], date=fields["Last-Modified"]) for line in condition]
                ours = ask(kept, "/a.txt", method, f"Range: {value}", *lines)
                fresh = ask(StaticFiles(folder), "/a.txt", method, f"Range: {value}", *lines)
                assert ours[0] == fresh[0]
                assert content(ours[2]) == content(fresh[2])
                boundary = "boundary=" in fresh[1].get("Content-Type", "")
                assert boundary or ours[1] == fresh[1]


@pytest.mark.usefixtures("settled")
def test_a_small_range_of_a_large_file_is_of_the_file_as_it_is(folder: Path) -> None:
    path, span = folder / "a.txt", "Range: bytes=0-2"
    path.write_bytes(b"one" + bytes(100_000))
    files = StaticFiles(folder)
    assert [ask(files, "/a.txt", "GET", span)[2] for _ in range(3)] == [b"one"] * 3
    (folder / "b.txt").write_bytes(b"two" + bytes(100_001))
    (folder / "b.txt").rename(path)
    status, fields, body = ask(files, "/a.txt", "GET", span)
    assert (status, fields["Content-Range"], body) == (206, "bytes 0-2/100004", b"two")
    path.unlink()
    assert ask(files, "/a.txt", "GET", span)[0] == 404
    assert len(kept_of(files)) == 0
    (folder.parent / "outside").write_bytes(b"not" + bytes(100_001))
    path.symlink_to("../outside")
    assert ask(files, "/a.txt", "GET", span)[0] == 404


@pytest.mark.usefixtures("settled")
def test_a_description_takes_no_bytes_but_a_place(folder: Path) -> None:
    (folder / "a.txt").write_bytes(bytes(100_000))
    files = StaticFiles(folder)
    ask(files, "/a.txt", "GET", "Range: bytes=0-2")
    assert len(kept_of(files)) == 1
    assert kept_of(files)._bytes == 0
