"""What the control group of this process allows: CPUs, memory, and how often the kernel ran out of that."""

from __future__ import annotations

import os

__all__ = ["oom_kills", "usable_cpus", "usable_memory"]

ROOT = "/sys/fs/cgroup"


def usable_cpus(root: str = ROOT, own: str = "/proc/self/cgroup") -> int:
    """How many CPUs this process may use, at least 1: by its affinity and by the quota of its control groups.

    Args:
        root: where control groups are mounted.
        own: the file that names the groups of this process.
    """
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cpus = os.cpu_count() or 1
    for directory in _directories(root, own, "cpu"):
        words = _read(f"{directory}/cpu.max").split()  # version 2: "quota period", quota may be "max"
        if not words:  # version 1
            words = [_read(f"{directory}/cpu.cfs_quota_us").strip(), _read(f"{directory}/cpu.cfs_period_us").strip()]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            # Upwards: a worker that is idle for a part of the time costs less than a part of a CPU that is.
            cpus = min(cpus, -(-int(words[0]) // int(words[1])))
    return max(1, cpus)


def usable_memory(root: str = ROOT, own: str = "/proc/self/cgroup") -> int:
    """How many bytes of memory this process may use: the machine's, or what its control groups allow.

    Args:
        root, own: as `usable_cpus`.
    """
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for directory in _directories(root, own, "memory"):
        # Version 2, where "max" is no limit, and version 1, where that is a number beyond any machine's memory.
        limit = (_read(f"{directory}/memory.max") or _read(f"{directory}/memory.limit_in_bytes")).strip()
        if limit.isdigit() and int(limit):
            found = min(found, int(limit))
    return found


def oom_kills(root: str = ROOT, own: str = "/proc/self/cgroup") -> int:
    """How many processes of this control group the kernel killed for want of memory so far; -1 when not to be read."""
    for directory in _directories(root, own, "memory"):
        # Version 2, and version 1, where only the group itself is counted.
        told = _read(f"{directory}/memory.events") or _read(f"{directory}/memory.oom_control")
        for line in told.splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill" and number.isdigit():
                return int(number)
    return -1


def _directories(root: str, own: str, controller: str) -> list[str]:
    """Those of this process and of every group above it, the innermost first; of version 2, or of one controller."""
    found = []
    for line in _read(own).splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            base = root
        elif controller in controllers.split(","):
            base = f"{root}/{controller}"
        else:
            continue
        parts = [part for part in path.split("/") if part]
        found += ["/".join([base, *parts[:count]]) for count in range(len(parts), -1, -1)]
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
