"""Every kind of value: what it takes, what it refuses, how it is shown."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from dimserver.kinds import (
    MAX_SOCKET_PATH,
    Choice,
    Duration,
    Endpoint,
    Flag,
    Integer,
    KiB,
    Kind,
    MiB,
    Name,
    Path,
    Size,
    SocketPath,
    Token,
)

TAKEN: list[tuple[Kind, object, object]] = [
    (Integer(0, 65535), "8080", 8080),
    (Integer(0, 65535), 0, 0),
    (Integer(0, 9, optional=True), "", None),
    (Integer(0, 9, optional=True), None, None),
    (Duration(0, 3600), "10", 10.0),
    (Duration(0, 3600), "1.5", 1.5),
    (Duration(0, 3600), "500ms", 0.5),
    (Duration(0, 3600), "2 M", 120.0),
    (Duration(0, 3600), "1h", 3600.0),
    (Duration(0, 3600), 7, 7.0),
    (Size(0, 16 * MiB), "16MiB", 16 * MiB),
    (Size(0, 16 * MiB), "8k", 8 * KiB),
    (Size(0, 16 * MiB), "1.5 KiB", 1536),
    (Size(0, 16 * MiB), "100b", 100),
    (Size(0, 16 * MiB), "42", 42),
    (Size(0, 16 * MiB), 42, 42),
    (Choice("off", "json"), "json", "json"),
    (Flag(), "Yes", True),
    (Flag(), "off", False),
    (Flag(), True, True),
    (Name(), "localhost", "localhost"),
    (Name(), "[::1]", "::1"),
    (Name(), "::", "::"),
    (Name(), "fe80::1%eth0", "fe80::1%eth0"),
    (Path(), "/srv/www", "/srv/www"),
    (Path(), pathlib.Path("/srv"), "/srv"),
    (Path(), "", None),
    (SocketPath(), "/run/x.sock", "/run/x.sock"),
    (Endpoint(), "127.0.0.1:9000", ("127.0.0.1", 9000)),
    (Endpoint(), "[::1]:0", ("::1", 0)),
    (Endpoint(), ("localhost", 1), ("localhost", 1)),
    (Endpoint(), "./admin.sock", "./admin.sock"),
    (Endpoint(), pathlib.Path("/run/a.sock"), "/run/a.sock"),
    (Endpoint(), None, None),
    (Token(), "abc-._~+/=", "abc-._~+/="),
    (Token(), "", None),
]

REFUSED: list[tuple[Kind, object]] = [
    (Integer(0, 65535), "65536"),
    (Integer(0, 65535), "-1"),
    (Integer(0, 65535), -1),
    (Integer(0, 65535), "1_0"),
    (Integer(0, 65535), " 1"),
    (Integer(0, 65535), "+1"),
    (Integer(0, 65535), "١"),  # a digit in Arabic script
    (Integer(0, 65535), "9" * 5000),
    (Integer(0, 65535), ""),
    (Integer(0, 65535), True),
    (Integer(0, 65535), 1.0),
    (Integer(0, 65535), None),
    (Duration(0, 3600), "nan"),
    (Duration(0, 3600), float("nan")),
    (Duration(0, 3600), "inf"),
    (Duration(0, 3600), "1e3"),
    (Duration(0, 3600), "-1"),
    (Duration(0, 3600), "ms"),
    (Duration(0, 3600), "1."),
    (Duration(0, 3600), "5 minutes"),
    (Duration(0, 3600), 3601),
    (Duration(0, 3600), False),
    (Size(0, 16 * MiB), "17MiB"),
    (Size(0, 16 * MiB), "0.3"),
    (Size(0, 16 * MiB), "16 MB x"),
    (Size(0, 16 * MiB), 1.5),
    (Choice("off", "json"), "JSON"),
    (Choice("off", "json"), 3),
    (Flag(), "maybe"),
    (Flag(), 1),
    (Name(), ""),
    (Name(), "host:80"),
    (Name(), "a b"),
    (Name(), "http://x"),
    (Name(), "x\ny"),
    (Name(), "x" * 254),
    (Path(), "a\0b"),
    (Path(), 5),
    (SocketPath(), "/" + "x" * MAX_SOCKET_PATH),
    (Endpoint(), "9000"),
    (Endpoint(), ":9000"),
    (Endpoint(), "localhost"),
    (Endpoint(), "::1:9000"),
    (Endpoint(), "localhost:http"),
    (Endpoint(), "localhost:70000"),
    (Endpoint(), ("localhost", True)),
    (Endpoint(), ("localhost", 1, 2)),
    (Token(), "two words"),
    (Token(), "=" * 3),
    (Token(), "ключ"),
    (Token(), "a" * 5000),
]


@pytest.mark.parametrize(("kind", "given", "value"), TAKEN)
def test_taken(kind: Kind, given: object, value: object) -> None:
    read = kind.read(given)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("kind", "given"), REFUSED)
def test_refused(kind: Kind, given: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller writes the message
        kind.read(given)
    assert kind.allowed()


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Duration(0, 1), 0.5, "500 ms"),
        (Duration(0, 1), 300.0, "300 s"),
        (Size(0, 1), 0, "0 B"),
        (Size(0, 1), 16 * MiB, "16 MiB"),
        (Size(0, 1), 65535, "65535 B"),
        (Integer(0, 9, zero="none"), 0, "0 (none)"),
        (Integer(0, 9), 3, "3"),
        (Flag(), True, "on"),
        (Endpoint(), ("::1", 80), "[::1]:80"),
        (Endpoint(), "/run/x", "/run/x"),
        (Path(), None, "none"),
        (Token(), "secret", "set"),
    ],
)
def test_shown(kind: Kind, value: Any, text: str) -> None:
    assert kind.show(value) == text


@pytest.mark.parametrize("kind", [Duration(0.01, 86400), Size(64, 65535)])
def test_what_is_shown_can_be_read(kind: Duration | Size) -> None:
    for value in (kind.low, kind.high):
        assert kind.read(kind.show(value)) == value
