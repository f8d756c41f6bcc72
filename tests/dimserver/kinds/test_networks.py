"""Networks as text and as lists."""

from __future__ import annotations

import pytest

from dimserver.kinds import Networks

KIND = Networks()


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, ()),
        ("", ()),
        ("none", ()),
        ("10.0.0.0/8", ("10.0.0.0/8",)),
        (" 192.0.2.1 , unix,fd00::/8", ("192.0.2.1/32", "unix", "fd00::/8")),
        (["::1", "unix"], ("::1/128", "unix")),
        (("10.0.0.0/255.0.0.0",), ("10.0.0.0/8",)),
    ],
)
def test_read(value: object, read: tuple[str, ...]) -> None:
    assert KIND.read(value) == read
    assert KIND.read(KIND.read(value)) == read


@pytest.mark.parametrize(
    "value", ["10.0.0.1/8", "x", "10.0.0.0/33", "fe80::1%eth0", "10.0.0.0/8;unix", [1], 5, {"a": 1}, ["unix"] * 1025]
)
def test_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller writes the message
        KIND.read(value)


def test_show() -> None:
    assert KIND.show(()) == "none"
    assert KIND.show(("10.0.0.0/8", "unix")) == "10.0.0.0/8,unix"
    assert "without host bits" in KIND.allowed()
