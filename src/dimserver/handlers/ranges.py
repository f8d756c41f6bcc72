"""The Range field (RFC 9110 section 14), for bytes.

A range request is optional for a server in every respect, so all that is odd or
greedy gets the whole file instead (14.2): it costs the server no more than an
ordinary request, and it is an answer every client must understand.
"""

from __future__ import annotations

import re

__all__ = ["MAX_RANGES", "read_range"]

# Ranges in one request.  Each may cost a descriptor and a head of its own, so many small ones are the cheapest way
# to make a server work (CVE-2011-3192); Apache allows 200, and viewers that fetch a document in parts ask for few.
MAX_RANGES = 16

# 14.1.1: any number of digits, leading zeros too.
_USUAL = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")
_SPEC = re.compile(r"([0-9]+)-([0-9]+)?|-([0-9]+)")
_LONG = 19  # digits: as many as the longest file has, 63 bits; what has more lies beyond its end


def read_range(value: str, size: int) -> list[tuple[int, int]] | None:
    """Read a Range field for a file.

    Args:
        value: the field, for example ``"bytes=0-99,-100"``.
        size: bytes of the file.

    Returns:
        ``None``: send the whole file.  Else ``(first, count)`` pairs that lie in
        the file, as they were asked for, together no longer than it; empty when
        not one of them can be satisfied (416).

    Example:
        ``read_range("bytes=0-99,200-299,-1", 1000) == [(0, 100), (200, 100), (999, 1)]``
    """
    if size and (match := _USUAL.fullmatch(value)) is not None:  # what nearly everybody sends
        first, end = int(match[1]), min(int(match[2]) + 1, size)
        if first < end:
            return [(first, end - first)]
    unit, equals, ranges = value.partition("=")
    if not equals or unit.lower() != "bytes" or size == 0:
        # An empty file has no position to name in Content-Range; clients that put a Range on everything they
        # fetch are better served with the empty answer than with an error.
        return None
    specs = [spec for spec in (text.strip(" \t") for text in ranges.split(",")) if spec]
    if not 0 < len(specs) <= MAX_RANGES:
        return None
    wanted: list[tuple[int, int]] = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        first_text, last_text, suffix_text = match.groups()
        if suffix_text is not None:
            suffix = _number(suffix_text)
            if suffix:
                count = min(suffix, size)
                wanted.append((size - count, count))
            continue
        first = _number(first_text)
        last = size - 1
        if last_text is not None:
            if _is_less(last_text, first_text):
                return None
            last = min(last, _number(last_text))
        if first < size:
            wanted.append((first, last + 1 - first))
    # Ranges that overlap are parts that overlap, which is what most servers make of them; but together they are
    # never more to send than the file.
    return None if sum(count for _, count in wanted) > size else wanted


def _number(digits: str) -> int:
    """The number, or one beyond the end of every file: Python reads no more than 4,300 digits at once."""
    bare = digits.lstrip("0")
    return int(bare or "0") if len(bare) <= _LONG else 10**_LONG


def _is_less(one: str, other: str) -> bool:
    """Whether one number is less than another, however many digits they have."""
    one, other = one.lstrip("0"), other.lstrip("0")
    return (len(one), one) < (len(other), other)
