"""Numbers: what is taken and refused, and how it is shown."""

from __future__ import annotations

import pytest

from dimserver.config.types import HOUR, Duration, GiB, Integer, KiB, Kind, MiB, Mode, Size, Threads, Workers

TAKEN: list[tuple[Kind, object, object]] = [
    (Integer(0, 65535), "8080", 8080),
    (Integer(0, 65535), 0, 0),
    (Integer(0, 9, optional=True), "", None),
    (Workers(), "auto", 0),
    (Threads(), "auto", None),
    (Threads(), None, None),
    (Threads(), "0", 0),
    (Threads(), 1024, 1024),
    (Workers(), "4", 4),
    (Workers(), 512, 512),
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
    (Mode(), "660", 0o660),
    (Mode(), "0660", 0o660),
    (Mode(), "0o007", 7),
    (Mode(), 0o600, 0o600),
]

REFUSED: list[tuple[Kind, object]] = [
    (Integer(0, 65535), "65536"),
    (Workers(), "0"),
    (Threads(), ""),
    (Threads(), "1025"),
    (Threads(), True),
    (Workers(), "513"),
    (Workers(), "AUTO"),
    (Workers(), 1.5),
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
    (Mode(), "66"),
    (Mode(), "1660"),
    (Mode(), "0888"),
    (Mode(), "u+rw"),
    (Mode(), "0o"),
    (Mode(), "00660"),
    (Mode(), ""),
    (Mode(), 0o1000),
    (Mode(), -1),
    (Mode(), True),
    (Mode(), None),
    (Mode(), 6.0),
]

SHOWN: list[tuple[Kind, object, str]] = [
    (Duration(0, 1), 0.5, "500 ms"),
    (Duration(0, 1), 300.0, "300 s"),
    (Size(0, 1), 0, "0 B"),
    (Size(0, 1), 16 * MiB, "16 MiB"),
    (Size(0, 1), 65535, "65535 B"),
    (Integer(0, 9, zero="none"), 0, "0 (none)"),
    (Integer(0, 9), 3, "3"),
    (Mode(), 0o660, "0660"),
    (Mode(), 0, "0000"),
    (Workers(), 0, "auto"),
    (Threads(), None, "auto"),
    (Threads(), 0, "0"),
    (Workers(), 3, "3"),
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


@pytest.mark.parametrize(("kind", "value", "text"), SHOWN)
def test_shown(kind: Kind, value: object, text: str) -> None:
    assert kind.show(value) == text


@pytest.mark.parametrize("kind", [Duration(0.01, 86400), Size(64, 65535)])
def test_what_is_shown_can_be_read(kind: Duration | Size) -> None:
    for value in (kind.low, kind.high):
        assert kind.read(kind.show(value)) == value


def test_what_to_write_instead() -> None:
    size = Size(0, GiB)
    assert size.hint("5MB") == "; did you mean 5MiB?"
    assert size.hint("5 kb") == "; did you mean 5KiB?"
    assert size.hint("5TB") == size.hint("xMB") == size.hint(5) == ""
    duration = Duration(0, HOUR)
    assert duration.hint("5 min") == "; did you mean 5m?"
    assert duration.hint("1.5 hours") == "; did you mean 1.5h?"
    assert duration.hint("five minutes") == duration.hint(None) == ""
