"""When a worker has served enough."""

from __future__ import annotations

import os

import pytest

from dimserver.config import Settings
from dimserver.worker import recycling as module
from dimserver.worker.recycling import SPREAD, Recycling, resident_bytes


def test_nothing_to_look_at() -> None:
    recycling = Recycling(Settings())
    assert recycling.interval == 0
    assert recycling.reason(10**9) == ""


def test_age(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    recycling = Recycling(Settings(recycle_age=1000))
    assert recycling.interval > 0
    clock[0] += 1000 * (1 - SPREAD) - 1
    assert recycling.reason(10**9) == ""
    clock[0] += 1000 * 2 * SPREAD + 2
    assert recycling.reason(0).endswith(" s old")


def test_requests() -> None:
    recycling = Recycling(Settings(recycle_requests=1000))
    assert recycling.reason(int(1000 * (1 - SPREAD)) - 1) == ""
    assert recycling.reason(1251) == "it has served 1251 requests"
    limits = {Recycling(Settings(recycle_requests=1_000_000))._requests for _ in range(10)}
    assert len(limits) > 1  # workers that were started together do not go together


def test_memory() -> None:
    assert Recycling(Settings(recycle_memory=1)).reason(0).startswith("it uses ")
    assert Recycling(Settings(recycle_memory="1GiB")).reason(0) == ""


def test_resident_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resident_bytes()
    held = bytearray(os.urandom(1 << 16) * 512)  # 32 MiB, written to
    assert resident_bytes() > before + (16 << 20)
    del held

    def missing(*args: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(module, "open", missing, raising=False)
    assert resident_bytes() > 1 << 20
