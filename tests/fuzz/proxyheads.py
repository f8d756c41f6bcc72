"""PROXY headers: the parser beside a second reading of the protocol, with Python's own means."""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Any

from tests.fuzz import exact
from tests.fuzz.inputs import split_choices

from dimcore import PeerError, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE_MOST = 107
MOST = 4096
CASTAGNOLI = 0x82F63B78
ADDRESSES = {0x11: (4, 12), 0x21: (16, 36), 0x31: (0, 216)}  # family: bytes of one address, and of all
UNNAMED = {0x00}  # of these nothing behind the length is read
PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
BYTEWISE = 300

FAILED = "failed"
Verdict = Any  # None for more, FAILED, or (length, None or (host, port))


def outcome(text: bytes) -> Verdict:
    """What the parser says."""
    try:
        return read_proxy_header(text)
    except PeerError:
        return FAILED


def model(text: bytes) -> Verdict:
    """What it must say."""
    for start in (b"PROXY ", SIGNATURE):
        if start.startswith(text[: len(start)]):
            if len(text) < len(start):
                return None
            return model_line(text) if start == b"PROXY " else model_block(text)
    return FAILED


def model_line(text: bytes) -> Verdict:
    line, newline, _ = text[:LINE_MOST].partition(b"\n")
    if not newline:
        return FAILED if len(text) >= LINE_MOST else None
    if not line.endswith(b"\r"):
        return FAILED
    length = len(line) + 1
    words = line[:-1].split(b" ")
    if words[1] == b"UNKNOWN":
        return length, None
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        return FAILED
    kind = ipaddress.IPv4Address if words[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        source, _ = (kind(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        return FAILED
    if any(b"%" in word for word in words[2:4]):
        return FAILED
    if not all(PORT.fullmatch(word) and int(word) < 65536 for word in words[4:]):
        return FAILED
    return length, (shown(source), int(words[4]))


def shown(address: Any) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


def model_block(text: bytes) -> Verdict:
    if len(text) < 16:
        return None
    command, family, size = struct.unpack("!BBH", text[12:16])
    if command not in (0x20, 0x21) or 16 + size > MOST:
        return FAILED
    whole = 16 + size
    if command == 0x20 or family in UNNAMED:
        return (whole, None) if len(text) >= whole else None
    if family not in ADDRESSES:
        return FAILED
    each, all_of_them = ADDRESSES[family]
    if size < all_of_them:
        return FAILED
    if len(text) < whole:
        return None
    if not extensions_are_right(text[:whole], 16 + all_of_them):
        return FAILED
    if not each:
        return whole, None
    port = struct.unpack("!H", text[16 + 2 * each : 18 + 2 * each])[0]
    return whole, (shown(ipaddress.ip_address(text[16 : 16 + each])), port)


def extensions_are_right(header: bytes, at: int) -> bool:
    sums = []
    while at < len(header):
        if at + 3 > len(header):
            return False
        kind, size = struct.unpack("!BH", header[at : at + 3])
        if at + 3 + size > len(header):
            return False
        if kind == 3:
            sums.append((at + 3, size))
        at += 3 + size
    if not sums:
        return True
    if len(sums) > 1 or sums[0][1] != 4:
        return False
    place = sums[0][0]
    return header[place : place + 4] == checksum(header[:place] + bytes(4) + header[place + 4 :])


def checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ CASTAGNOLI if crc & 1 else crc >> 1
    return struct.pack("!I", crc ^ 0xFFFFFFFF)


def signed(text: bytes) -> bytes:
    """The text as extensions of a header that has the right checksum, as far as it fits."""
    body = bytes(12) + b"\x03\0\x04" + bytes(4) + text[: MOST - 35]
    header = SIGNATURE + b"\x21\x11" + struct.pack("!H", len(body)) + body
    return header[:31] + checksum(header) + header[35:]


def same(one: Verdict, other: Verdict) -> bool:
    """An IPv6 address may be written in more than one way."""
    if isinstance(one, tuple) and isinstance(other, tuple) and one[1] and other[1]:
        return (one[0], shown(ipaddress.ip_address(one[1][0])), one[1][1]) == (other[0], *other[1])
    return bool(one == other)


def check(data: bytes) -> None:
    """Check one input.

    Raises:
        AssertionError: the parser is wrong about it.
    """
    choices, text = split_choices(data)
    for header in (text, signed(text)) if choices[0] & 1 else (text,):
        whole = outcome(header)
        assert same(whole, model(header)), f"{whole}, should be {model(header)}"
        exact.check_proxyhead(header, whole)
        length = whole[0] if isinstance(whole, tuple) else len(header)
        for end in range(length) if length <= BYTEWISE else (1, 15, 16, 17, length - 1):
            part = outcome(header[:end])
            assert part is None or (part == FAILED and whole == FAILED), "a verdict that is taken back"
        if whole is not None:
            assert outcome(header + b"\r\n") == whole
        if isinstance(whole, tuple):
            assert outcome(header[:length]) == whole
