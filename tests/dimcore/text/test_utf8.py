"""The incremental check of UTF-8, beside the decoder of Python."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimcore.text.utf8 import utf8_prefix


def judged_by_python(data: bytes) -> int | None:
    """What `utf8_prefix` should say: None, or how many bytes are missing at the end."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return None
    held = decoder.getstate()[0]
    if not held:
        return 0
    if held[0] == 0xED and held[1:] >= b"\xa0":  # Python waits for the third byte of a surrogate
        return None
    size = 2 if held[0] < 0xE0 else 3 if held[0] < 0xF0 else 4
    return size - len(held)


@given(st.binary(max_size=24), st.integers(0, 9))
def test_any_bytes(data: bytes, step: int) -> None:
    assert utf8_prefix(data, step=step) == judged_by_python(data)


@given(st.text(max_size=40), st.integers(0, 9), st.integers(0, 3))
def test_any_text(text: str, step: int, cut: int) -> None:
    data = text.encode("utf-8", "surrogatepass")
    data = data[: len(data) - cut]
    assert utf8_prefix(data, step=step) == judged_by_python(data)


@pytest.mark.parametrize("lead", range(0x80, 0x100))
def test_every_pair_of_bytes(lead: int) -> None:
    for second in range(0x100):
        for rest in (b"", b"\x80", b"\x80\x80", b"a"):
            data = bytes([lead, second]) + rest
            assert utf8_prefix(data) == judged_by_python(data), data


@pytest.mark.parametrize("at", range(20))
def test_a_fault_behind_ascii_of_any_length(at: int) -> None:
    assert utf8_prefix(b"a" * at + b"\xff" + b"b" * 20) is None
    assert utf8_prefix(b"a" * at + "ä".encode() + b"b" * 20) == 0
