from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from dimserver.handlers.safe_open import Root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with files, links of every sort, and something outside it."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"outside")
    root = tmp_path / "root"
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "top").write_bytes(b"top")
    (root / "a" / "one").write_bytes(b"one")
    (root / "a" / "b" / "c" / "deep").write_bytes(b"deep")
    links = {
        "to-file": "a/one",
        "to-dir": "a/b",
        "dotted": "./a/./b//c/",
        "up-and-back": "a/b/../one",
        "absolute-inside": str(root / "a" / "one"),
        "absolute-root": str(root),
        "chain": "to-dir",
        "a/up": "../top",
        "a/b/up": "../../a/one",
        "to-dots": "a/..",
        "to-root": ".",
        "out-file": "../secret",
        "out-dir": "../outside",
        "out-absolute": str(tmp_path / "secret"),
        "out-and-in": "../root/top",
        "out-by-prefix": str(tmp_path / "root2"),
        "far-up": "../../../../../../../../etc/passwd",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "dangling": "nothing",
        "etc": "/etc",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    (tmp_path / "root2").write_bytes(b"neighbour")
    return root


def read(root: Path, path: str) -> bytes:
    fd = Root(root).open([os.fsencode(name) for name in path.split("/")])
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("top", b"top"),
        ("a/one", b"one"),
        ("a/b/c/deep", b"deep"),
        ("to-file", b"one"),
        ("to-dir/c/deep", b"deep"),
        ("dotted/deep", b"deep"),
        ("up-and-back", b"one"),
        ("absolute-inside", b"one"),
        ("absolute-root/top", b"top"),
        ("chain/c/deep", b"deep"),
        ("chain/up", b"one"),
        ("a/up", b"top"),
        ("to-dir/up", b"one"),
        ("to-root/to-root/top", b"top"),
        ("to-dots/top", b"top"),
    ],
)
def test_what_lies_beneath_is_opened(root: Path, path: str, content: bytes) -> None:
    assert read(root, path) == content
    assert read(Path(f"{root}/"), path) == content


@pytest.mark.parametrize("path", ["a", "to-dir", "dotted", "to-root", "to-dots", "absolute-root"])
def test_a_directory_is_opened_too(root: Path, path: str) -> None:
    fd = Root(root).open([os.fsencode(path)])
    try:
        assert Path(f"/proc/self/fd/{fd}").is_dir() or os.fstat(fd).st_mode & 0o40000
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "path",
    [
        "nothing", "a/nothing", "nothing/a", "dangling", "dangling/a", "out-file", "out-dir", "out-dir/file",
        "out-absolute", "out-and-in", "out-by-prefix", "far-up", "etc", "etc/passwd", "to-dir/../../../secret",
        "../secret", "..", "a/../../secret",
    ],
)  # fmt: skip
def test_nothing_else_is(root: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        read(root, path)


@pytest.mark.parametrize("path", ["loop", "ping", "loop/a", "ping/a"])
def test_loops_end(root: Path, path: str) -> None:
    with pytest.raises(OSError, match="Errno") as caught:
        read(root, path)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


@pytest.mark.parametrize("path", ["top/a", "a/one/x", "to-file/x"])
def test_a_file_is_no_directory(root: Path, path: str) -> None:
    with pytest.raises(NotADirectoryError):
        read(root, path)


def test_nothing_stays_open(root: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for path in ("a/b/c/deep", "chain/c/deep", "absolute-root/top", "to-dots/top"):
        read(root, path)
    for path in ("a/b/c/nothing", "a/b/c/deep/x", "out-dir/file", "loop", "to-dir/../../../secret"):
        with pytest.raises(OSError, match="Errno"):
            read(root, path)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_descriptor_is_not_inherited(root: Path) -> None:
    fd = Root(root).open([b"top"])
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_the_root_may_be_a_link_that_is_switched(tmp_path: Path) -> None:
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "file").write_bytes(release.encode())
    current = tmp_path / "current"
    current.symlink_to("1")
    (tmp_path / "2" / "absolute").symlink_to(current / "file")
    root = Root(current)
    assert read(current, "file") == b"1"
    current.unlink()
    current.symlink_to("2")
    for name in (b"file", b"absolute"):
        fd = root.open([name])
        assert os.read(fd, 9) == b"2"
        os.close(fd)


def test_a_relative_root_does_not_follow_the_working_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    opened = Root("root")
    monkeypatch.chdir("/")
    fd = opened.open([b"top"])
    assert os.read(fd, 9) == b"top"
    os.close(fd)


def test_the_whole_system_as_root(root: Path) -> None:
    names = [os.fsencode(part) for part in root.parts[1:]]
    fd = Root("/").open([*names, b"absolute-inside"])
    assert os.read(fd, 9) == b"one"
    os.close(fd)


def test_a_fifo_does_not_block(root: Path) -> None:
    os.mkfifo(root / "fifo")
    done = threading.Event()

    def attempt() -> None:
        os.close(Root(root).open([b"fifo"]))
        done.set()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    assert done.wait(5)
    thread.join()


def test_exchanging_a_directory_for_a_link_wins_nothing(root: Path) -> None:
    # A directory and a link out of the root change places as fast as they can: whatever is opened was inside.
    (root / "flip").mkdir()
    (root / "flip" / "file").write_bytes(b"inside")
    (root / "evil").symlink_to("../outside")
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            (root / "flip").rename(root / "kept")
            (root / "evil").rename(root / "flip")
            (root / "flip").rename(root / "evil")
            (root / "kept").rename(root / "flip")

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for _ in range(1500):
            try:
                content = read(root, "flip/file")
            except OSError:
                continue
            assert content == b"inside"
    finally:
        stop.set()
        thread.join()
