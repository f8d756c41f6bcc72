"""The PROXY header: every form whole, split at every byte and with bytes behind it; and everything that is none."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest

from dimcore import PeerError, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TCP4, UDP4, TCP6, UDP6, UNIX, UNIX_DATAGRAM = 0x11, 0x12, 0x21, 0x22, 0x31, 0x32
FOUR = ipaddress.ip_address("192.0.2.7").packed + ipaddress.ip_address("198.51.100.1").packed + b"\xdc\x04\x01\xbb"
SIX = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("2001:db8::1").packed + b"\xdc\x04\x01\xbb"
PATHS = b"/run/client".ljust(108, b"\0") + b"/run/proxy".ljust(108, b"\0")
MOST = 4096  # bytes of a header


def block(family: int = TCP4, body: bytes = FOUR, command: int = 0x21, length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body) if length is None else length) + body


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def crc32c(data: bytes) -> int:
    """Bit by bit, as RFC 4960 appendix B has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 if crc & 1 else crc >> 1
    return crc ^ 0xFFFFFFFF


def checked(extensions: bytes = b"", wrong: int = 0) -> bytes:
    empty = block(body=FOUR + extension(4, b"pad") + extension(3, bytes(4)) + extensions)
    return empty.replace(extension(3, bytes(4)), extension(3, struct.pack("!I", crc32c(empty) ^ wrong)))


NAMED = ("192.0.2.7", 56324)
NAMED_SIX = ("2001:db8::7", 56324)

GOOD: list[tuple[bytes, Any]] = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", NAMED),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ("255.255.255.255", 65535)),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ("0.0.0.0", 0)),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", NAMED_SIX),
    (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
    ),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 56324 443\r\n", NAMED),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 garbage\0 of any kind\r\n", None),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", None),  # 107 bytes
    (block(), NAMED),
    (block(TCP6, SIX), NAMED_SIX),
    (block(UNIX, PATHS), None),
    (block(0, b""), None),
    (block(0, b"whatever"), None),  # of an unknown family all is discarded
    (block(0, b"", command=0x20), None),
    (block(TCP4, FOUR, command=0x20), None),
    (block(UDP4, FOUR, command=0x20), None),
    (block(body=FOUR + extension(1, b"h2") + extension(2, b"example.com") + extension(0xEA, bytes(300))), NAMED),
    (block(body=FOUR + extension(4, b"")), NAMED),
    (block(body=FOUR + extension(4, bytes(MOST - 16 - 12 - 3))), NAMED),
    (checked(), NAMED),
    (checked(extension(2, b"example.com")), NAMED),
]


@pytest.mark.parametrize(("header", "client"), GOOD)
def test_what_is_one(header: bytes, client: Any) -> None:
    assert read_proxy_header(header) == (len(header), client)
    for behind in (b"\0", b"\r\n", b"GET / HTTP/1.1\r\n", header):
        assert read_proxy_header(header + behind) == (len(header), client)
    for end in range(len(header)):
        assert read_proxy_header(header[:end]) is None


BAD = [
    (b"GET / HTTP/1.1\r\n\r\n", "there is none"),
    (b"\x16\x03\x01", "there is none"),
    (b"PROXY\tTCP4 ", "there is none"),
    (b"PROXY\r\n", "there is none"),
    (b"PROXi TCP4", "there is none"),
    (b"proxy TCP4", "there is none"),
    (b"\r\n\r\n\0\r\nQUIT\r", "there is none"),
    (b"PROXY \r\n", "its line"),
    (b"PROXY UNKNOWNx\r\n", "its line"),
    (b"PROXY UNKNOWN\n", "its line"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n", "its line"),
    (b"PROXY TCP5 192.0.2.7 198.51.100.1 56324 443\r\n", "its line"),
    (b"PROXY UDP4 192.0.2.7 198.51.100.1 56324 443\r\n", "its line"),
    (b"PROXY  TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "its line"),
    (b"PROXY TCP4\r\n", "its line"),
    (b"PROXY TCP4 \r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n", "its address"),
    (b"PROXY TCP4  192.0.2.7 198.51.100.1 1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7  198.51.100.1 1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1  1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 1  1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 1 \r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 99999\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 000001 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 01 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.07 198.51.100.1 1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2 198.51.100.1 1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.7\0 198.51.100.1 1 1\r\n", "its address"),
    (b"PROXY TCP4 192.0.2.256 198.51.100.1 1 1\r\n", "its address"),
    (b"PROXY TCP4 2001:db8::7 198.51.100.1 1 1\r\n", "its address"),
    (b"PROXY TCP6 192.0.2.7 198.51.100.1 1 1\r\n", "its address"),
    (b"PROXY TCP6 2001:db8::7%eth0 ::1 1 1\r\n", "its address"),
    (b"PROXY TCP6 [2001:db8::7] ::1 1 1\r\n", "its address"),
    (b"PROXY TCP6 " + b"0" * 46 + b" ::1 1 1\r\n", "its address"),
    (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "longer"),  # 108 bytes
    (b"PROXY TCP4 " + b"1" * 200, "longer"),
    (block(command=0x11), "version"),
    (block(command=0x31), "version"),
    (block(command=0x22), "version"),
    (block(command=0x2F), "version"),
    (block(0x10), "family"),
    (block(0x13), "family"),
    (block(0x41), "family"),
    (block(0x01), "family"),
    (block(0xFF), "family"),
    (block(UDP4), "datagrams"),
    (block(UDP6, SIX), "datagrams"),
    (block(UNIX_DATAGRAM, PATHS), "datagrams"),
    (block(body=FOUR[:-1]), "too short"),
    (block(body=b""), "too short"),
    (block(TCP6, FOUR), "too short"),
    (block(UNIX, PATHS[:-1]), "too short"),
    (block(length=MOST - 16 + 1), "longer"),
    (block(length=65535), "longer"),
    (block(command=0x20, length=65535), "longer"),
    (block(body=FOUR + b"\x01"), "extension"),
    (block(body=FOUR + b"\x01\0"), "extension"),
    (block(body=FOUR + b"\x01\0\x01"), "extension"),
    (block(body=FOUR + extension(4, b"x") + b"\x01\xff\xff"), "extension"),
    (block(body=FOUR + extension(3, bytes(3))), "extension"),
    (block(body=FOUR + extension(3, bytes(5))), "extension"),
    (checked(extension(3, bytes(4))), "extension"),  # two checksums cannot both be right
    (checked(wrong=1), "checksum"),
    (checked(wrong=0xFFFFFFFF), "checksum"),
    (block(body=FOUR + extension(3, bytes(4))), "checksum"),
]


@pytest.mark.parametrize(("header", "why"), BAD)
def test_what_is_none(header: bytes, why: str) -> None:
    with pytest.raises(PeerError, match=why):
        read_proxy_header(header)
    with pytest.raises(PeerError, match=why):
        read_proxy_header(header + b"\r\n")
    # However few bytes have come, the verdict is this one or none yet.
    for end in range(len(header)):
        try:
            assert read_proxy_header(header[:end]) is None
        except PeerError as error:
            assert why in str(error)  # noqa: PT017 (it need not be raised)


def test_the_checksum_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of every catalogue


def test_nothing_is_a_beginning() -> None:
    assert read_proxy_header(b"") is None


def test_text_is_refused() -> None:
    with pytest.raises(TypeError):
        read_proxy_header("PROXY UNKNOWN\r\n")  # type: ignore[arg-type]
