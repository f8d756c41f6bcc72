"""What /proc, or `ps` where there is none, tells of a process."""

from __future__ import annotations

import os
import pathlib
import subprocess

PROC = pathlib.Path("/proc")


def stat(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat that follow its name: state, parent …; [] once it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_zombie(pid: int | str) -> bool:
    """Whether it has ended, reaped or not."""
    return stat(pid)[:1] in ([], ["Z"])


def is_gone(pid: int) -> bool:
    """Whether it has ended and been reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def children_of(pid: int) -> list[int]:
    """The process ids of its children that run."""
    if PROC.exists():
        try:
            # Asked again and again by tests that wait.
            found = (PROC / f"{pid}/task/{pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # a kernel without such a file; or it has ended
            found = [each.name for each in PROC.glob("[1-9]*") if (stat(each.name) or "00")[1] == str(pid)]
        return sorted(int(child) for child in found if not is_zombie(child))
    listed = subprocess.run(["ps", "-A", "-o", "ppid=,pid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return sorted(int(child) for parent, child, state in rows if int(parent) == pid and not state.startswith("Z"))


def resident(pid: int | str = "self") -> int:
    """Resident bytes."""
    figures = PROC / str(pid) / "statm"
    if figures.exists():
        return int(figures.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    own = os.getpid() if pid == "self" else pid
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(own)], capture_output=True, text=True, check=True)
    return int(listed.stdout) * 1024


def descriptors(pid: int | str = "self") -> set[str]:
    """The numbers of the descriptors it has open, for a comparison with itself; none where that cannot be seen."""
    if pid == "self":
        return set(os.listdir("/dev/fd"))  # noqa: PTH208 - asked for twice by thousands of tests
    listed = PROC / str(pid) / "fd"
    return {path.name for path in listed.iterdir()} if listed.is_dir() else set()


def open_files() -> dict[str, str]:
    """What this process has open, by number."""
    found = {}
    for link in pathlib.Path("/proc/self/fd" if pathlib.Path("/proc/self/fd").is_dir() else "/dev/fd").iterdir():
        try:
            found[link.name] = str(link.readlink()) if link.is_symlink() else ""
        except FileNotFoundError:  # the listing's own
            continue
    return found
