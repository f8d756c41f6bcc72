"""Root as an ordinary user: tests of what is not permitted run for root as well.

Root reads and binds everything by three capabilities (capabilities(7)).  A thread of Linux can lay them aside; files
stay its own, so that their permission bits decide.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

DAC_OVERRIDE, DAC_READ_SEARCH, NET_BIND_SERVICE = 1, 2, 10
ROOTS = 1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH | 1 << NET_BIND_SERVICE
VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of each set
DROP_FROM_BOUNDING = 24  # PR_CAPBSET_DROP

# Lays them aside for good in a program that is started with `python -c`, for what it executes as well.
PROGRAM = f"""
import ctypes
for number in ({DAC_OVERRIDE}, {DAC_READ_SEARCH}, {NET_BIND_SERVICE}):
    ctypes.CDLL(None, use_errno=True).prctl({DROP_FROM_BOUNDING}, number, 0, 0, 0)
"""


T = TypeVar("T")


class Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _call(name: str, sets: ctypes.Array[Sets]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(ctypes.byref(Header(VERSION_3, 0)), sets):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def ordinary(call: Callable[[], T]) -> T:
    """Make a call on a thread that is subject to permission bits and may bind no port below 1024."""
    if os.geteuid() == 0 and not sys.platform.startswith("linux"):
        pytest.skip("root may do everything, and only Linux lets it do less")

    def lay_aside_and_call() -> T:
        if os.geteuid() == 0:
            sets = (Sets * 2)()
            _call("capget", sets)
            sets[0].effective &= ~ROOTS
            sets[0].permitted &= ~ROOTS  # access(2) looks at these
            _call("capset", sets)
        return call()

    with ThreadPoolExecutor(1) as alone:  # capabilities are a thread's; laid aside, they end with it
        return alone.submit(lay_aside_and_call).result()
