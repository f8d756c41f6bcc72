"""The mask of WebSocket frames: beside numpy's xor and the extension of `websockets`.

Run:  pytest bench/micro/test_frames.py --benchmark-only

Each makes a copy, as the others cannot do without one.  In the server the mask is taken off in place.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dimcore import apply_mask

KEY = b"\x11\x22\x33\x44"
SIZES = {"32 bytes": 32, "16 KiB": 16 << 10, "1 MiB": 1 << 20}


def measure(benchmark: BenchmarkFixture, size: str, mask: Callable[[bytes], bytes]) -> None:
    """Time one way to mask, once it is seen to be one; `GB_s` is what it comes to."""
    payload = os.urandom(SIZES[size])
    assert mask(payload) == bytes(byte ^ KEY[at & 3] for at, byte in enumerate(payload))
    benchmark.group = f"mask {size}"
    benchmark(mask, payload)
    if benchmark.stats is not None:
        benchmark.extra_info["GB_s"] = SIZES[size] / benchmark.stats.stats.min / 1e9


@pytest.mark.parametrize("size", SIZES)
def test_dimcore(benchmark: BenchmarkFixture, size: str) -> None:
    measure(benchmark, size, lambda payload: apply_mask(payload, KEY))


@pytest.mark.parametrize("size", SIZES)
def test_websockets(benchmark: BenchmarkFixture, size: str) -> None:
    speedups = pytest.importorskip("websockets.speedups")
    measure(benchmark, size, lambda payload: speedups.apply_mask(payload, KEY))


@pytest.mark.parametrize("size", SIZES)
def test_numpy(benchmark: BenchmarkFixture, size: str) -> None:
    numpy = pytest.importorskip("numpy")
    word = numpy.frombuffer(KEY, dtype=numpy.uint32)[0]
    measure(
        benchmark,
        size,
        lambda payload: numpy.bitwise_xor(numpy.frombuffer(payload, dtype=numpy.uint32), word).tobytes(),
    )
