from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimserver.handlers.ranges import MAX_RANGES, read_range


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 500)]),
        ("bytes=0-", [(0, 10000)]),
        ("bytes=9999-", [(9999, 1)]),
        ("bytes=-1", [(9999, 1)]),
        ("bytes=-500", [(9500, 500)]),
        ("bytes=-10000", [(0, 10000)]),
        ("bytes=-99999", [(0, 10000)]),
        ("bytes=9500-999999", [(9500, 500)]),
        ("bytes=0-999999999999999999", [(0, 10000)]),
        ("BYTES=0-1", [(0, 2)]),
        ("bytes=0-" + "9" * 19, [(0, 10000)]),
        ("bytes=0-9223372036854775808", [(0, 10000)]),
        ("bytes=0-18446744073709551616", [(0, 10000)]),
        ("bytes=-" + "9" * 5000, [(0, 10000)]),
        ("bytes=1-" + "9" * 5000, [(1, 9999)]),
        ("bytes=" + "0" * 5000 + "1-" + "0" * 30 + "2", [(1, 2)]),
        ("bytes=-" + "0" * 5000 + "1", [(9999, 1)]),
        ("bytes=00-01", [(0, 2)]),
        ("bytes=0-0,-1", [(0, 1), (9999, 1)]),
        ("bytes=-1,0-0", [(9999, 1), (0, 1)]),
        ("bytes= 0-0 ,\t-1 ", [(0, 1), (9999, 1)]),
        ("bytes=,0-0,,-1,", [(0, 1), (9999, 1)]),
        ("bytes=0-0,20000-", [(0, 1)]),
        ("bytes=500-600,601-999", [(500, 101), (601, 399)]),
        ("bytes=500-700,601-999", [(500, 201), (601, 399)]),
        ("bytes=601-999,500-700", [(601, 399), (500, 201)]),
        ("bytes=0-9,5000-5009,5-20", [(0, 10), (5000, 10), (5, 16)]),
        ("bytes=0-4999,-5000", [(0, 5000), (5000, 5000)]),
        ("bytes=0-9999,20000-", [(0, 10000)]),
    ],
)
def test_ranges_that_are_in_the_file(value: str, expected: list[tuple[int, int]]) -> None:
    assert read_range(value, 10000) == expected


@pytest.mark.parametrize(
    "value",
    [
        "bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=-" + "0" * 5000, "bytes=99999-,-0,10000-",
        "bytes=9223372036854775807-", "bytes=18446744073709551616-18446744073709551617", "bytes=" + "9" * 5000 + "-",
        "bytes=" + "9" * 30 + "-" + "9" * 30,
    ],
)  # fmt: skip
def test_none_in_the_file_is_unsatisfiable(value: str) -> None:
    assert read_range(value, 10000) == []


@pytest.mark.parametrize(
    "value",
    [
        "", "bytes", "bytes=", "bytes=,", "bytes= ", "bytes=-", "bytes=a", "bytes=1", "bytes=0-a", "bytes=a-0",
        "bytes=5-4", "bytes=0-0,5-4", "bytes=0-0,x", "bytes=--1", "bytes=0--1", "bytes=+0-1", "bytes=0 - 1",
        "bytes=0x0-1", "bytes=0-1;2-3", "bytes =0-1", " bytes=0-1", "lines=0-1", "byte=0-1", "bytes:0-1",
        "bytes=٠-١", "bytes=1_0-20", "bytes=" + "9" * 5000 + "-1", "bytes=" + "9" * 20 + "-" + "9" * 19 + "8",
        "none", "bytes=0-0\x00",
    ],
)  # fmt: skip
def test_what_is_odd_is_ignored(value: str) -> None:
    assert read_range(value, 10000) is None


@pytest.mark.parametrize(
    "value", ["bytes=0-9999,1-2", "bytes=0-,0-", "bytes=-1,0-", "bytes=0-5000,5000-", "bytes=-9999,-2"]
)
def test_more_than_the_file_is_the_file(value: str) -> None:
    assert read_range(value, 10000) is None


def test_an_empty_file_is_sent_whole() -> None:
    for value in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        assert read_range(value, 0) is None


def test_many_ranges_are_ignored() -> None:
    some = ",".join(f"{1000 * at}-{1000 * at}" for at in range(MAX_RANGES))
    assert len(read_range(f"bytes={some}", 1_000_000) or []) == MAX_RANGES
    assert read_range(f"bytes={some},-1", 1_000_000) is None
    start = time.perf_counter()
    assert read_range("bytes=" + "0-," * 100_000, 10) is None
    assert read_range("bytes=" + "," * 100_000 + "0-0", 10) == [(0, 1)]
    assert time.perf_counter() - start < 2


@given(
    size=st.integers(1, 3000),
    specs=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 4000)) | st.integers(0, 4000), max_size=6),
)
def test_each_range_as_it_was_asked_for(size: int, specs: list[tuple[int, int] | int]) -> None:
    texts = []
    wanted: list[range] = []
    for spec in specs:
        if isinstance(spec, int):
            texts.append(f"-{spec}")
            wanted.append(range(max(0, size - spec), size))
        else:
            first, last = sorted(spec)
            texts.append(f"{first}-{last}")
            wanted.append(range(first, min(last + 1, size)))
    parts = [part for part in wanted if part]
    ranges = read_range("bytes=" + ",".join(texts), size)
    if not specs or sum(map(len, parts)) > size:
        assert ranges is None
    else:
        assert ranges == [(part.start, len(part)) for part in parts]


def test_positions_have_as_many_digits_as_the_longest_file() -> None:
    most = (1 << 63) - 1
    assert read_range(f"bytes=1-2,{most - 2}-{most}", most) == [(1, 2), (most - 2, 2)]
    assert read_range(f"bytes=-{most - 1}", most) == [(1, most - 1)]
