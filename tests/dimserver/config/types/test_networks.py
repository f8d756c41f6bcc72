"""Networks as text and as lists."""

from __future__ import annotations

import pytest

from dimserver.config.types import Hosts, Networks, is_loopback

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


def test_hosts() -> None:
    kind = Hosts()
    assert kind.read(None) == kind.read("none") == kind.read("") == ()
    assert kind.read(" My.Host, 10.0.0.1,[::1]") == ("my.host", "10.0.0.1", "::1")
    assert kind.read(["a", "b"]) == ("a", "b")
    assert kind.show(("a", "b")) == "a,b"
    assert kind.show(()) == "none"
    for bad in ("*", "*.example", "a:80", "a b", [1], 5, ["a"] * 1025):
        with pytest.raises(ValueError):  # noqa: PT011 - the caller writes the message
            kind.read(bad)


def test_loopback() -> None:
    for address in ("127.0.0.1", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1"):
        assert is_loopback(address), address
    for address in ("", "localhost", "128.0.0.1", "127.1", "127.0.0.256", "0127.0.0.1", "::", "::2", "::ffff:1.0.0.1",
                    "[::1]", "::1%lo", "127.0.0.1\0", "127.0.0.1.example"):  # fmt: skip
        assert not is_loopback(address), address


def test_what_to_write_instead() -> None:
    kind = Networks()
    assert "name the proxies" in kind.hint("*")
    assert "0.0.0.0/0,::/0,unix" in kind.hint(["10.0.0.1", "*"])
    kind.read("0.0.0.0/0,::/0,unix")
    assert kind.hint("10.0.0.1/8") == "; did you mean 10.0.0.0/8?"
    assert kind.hint("proxy.example") == kind.hint(7) == kind.hint([7]) == kind.hint("") == ""
