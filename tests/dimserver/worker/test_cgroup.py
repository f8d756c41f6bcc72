"""What control groups allow, read from trees as the two versions have them."""

from __future__ import annotations

import os
import pathlib

import pytest

from dimserver.worker.cgroup import oom_kills, usable_cpus, usable_memory


@pytest.fixture
def tree(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A machine of 8 CPUs; its groups are below root, and `own` names the one of this process."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "root").mkdir()
    return tmp_path


def put(tree: pathlib.Path, own: str, **files: str) -> tuple[str, str]:
    (tree / "own").write_text(own)
    for name, text in files.items():
        path = tree / "root" / name.replace("__", "/").replace("_max", ".max")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(tree / "root"), str(tree / "own")


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("", 8), ("1 0", 8)],
)
def test_the_quota_of_version_2(tree: pathlib.Path, quota: str, cpus: int) -> None:
    assert usable_cpus(*put(tree, "0::/a/b\n", a__b__cpu_max=quota)) == cpus


def test_a_group_further_up_may_allow_less(tree: pathlib.Path) -> None:
    where = put(tree, "0::/a/b\n", a__b__cpu_max="400000 100000", a__cpu_max="300000 100000")
    assert usable_cpus(*where) == 3


def test_the_quota_of_version_1(tree: pathlib.Path) -> None:
    where = put(tree, "5:cpu,cpuacct:/a\n4:memory:/a\n")
    (tree / "root/cpu/a").mkdir(parents=True)
    (tree / "root/cpu/a/cpu.cfs_quota_us").write_text("250000\n")
    (tree / "root/cpu/a/cpu.cfs_period_us").write_text("100000\n")
    assert usable_cpus(*where) == 3
    (tree / "root/cpu/a/cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cpus(*where) == 8


def test_affinity_alone(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cpus(str(tree), str(tree / "none")) == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus(str(tree), str(tree / "none")) == 1


def test_this_machine() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("limit", "memory"),
    [("max", 8 << 30), (str(1 << 30), 1 << 30), (str(1 << 40), 8 << 30), ("0", 8 << 30), ("", 8 << 30)],
)
def test_memory_by_version_2(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch, limit: str, memory: int) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 2 << 20, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert usable_memory(*put(tree, "0::/a/b\n", a__b__memory_max=limit)) == memory
    where = put(tree, "0::/a/b\n", a__b__memory_max=limit, a__memory_max=str(512 << 20))
    assert usable_memory(*where) == 512 << 20  # a group further up may allow less


def test_memory_by_version_1(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 2 << 20, "SC_PAGE_SIZE": 4096}.__getitem__)
    where = put(tree, "4:memory:/a\n5:cpu:/b\n")
    (tree / "root/memory/a").mkdir(parents=True)
    (tree / "root/memory/a/memory.limit_in_bytes").write_text(f"{300 << 20}\n")
    assert usable_memory(*where) == 300 << 20
    (tree / "root/memory/a/memory.limit_in_bytes").write_text("9223372036854771712\n")  # no limit
    assert usable_memory(*where) == 8 << 30


def test_kills_for_want_of_memory(tree: pathlib.Path) -> None:
    where = put(tree, "0::/a\n")
    assert oom_kills(*where) == -1
    (tree / "root/a").mkdir()
    (tree / "root/a/memory.events").write_text("low 0\noom 5\noom_kill 3\n")
    assert oom_kills(*where) == 3


def test_kills_as_version_1_tells_them(tree: pathlib.Path) -> None:
    where = put(tree, "9:memory:/a\n2:cpu:/b\n")
    assert oom_kills(*where) == -1
    for path in ("memory/a", "cpu/a", "memory/b"):
        (tree / "root" / path).mkdir(parents=True)
    (tree / "root/memory/a/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    (tree / "root/memory/b/memory.oom_control").write_text("oom_kill 9\n")
    assert oom_kills(*where) == 4
