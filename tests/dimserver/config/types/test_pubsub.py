"""How far messages to topics reach, as a setting."""

from __future__ import annotations

import pytest

from dimserver.config.types import ChannelPrefix, Kind, PubSub, shown_url


@pytest.mark.parametrize(
    "text",
    [
        "off",
        "workers",
        "valkey://localhost",
        "valkey://127.0.0.1:6379/0",
        "redis://:pass:word@host:1/15",
        "rediss://user:p%40ss@host.example:6390/2?ssl_cert_reqs=none",
        "valkeys://[::1]:6379/0",
        "valkey://[::1]",
        "unix:///run/valkey.sock?db=1",
        "unix://user:secret@/run/valkey.sock",
    ],
)
def test_right(text: str) -> None:
    assert PubSub().read(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "on",
        "Workers",
        "valkey:host",
        "valkey://",
        "valkey://:6379",
        "valkey://host:0",
        "valkey://host:65536",
        "valkey://host:",
        "valkey://host:x",
        "valkey://host/x",
        "http://host",
        "unix://run/valkey",
        "valkey://ho st",
        "valkey://höst",
        "valkey://host\n",
        "valkey://" + "h" * 3000,
    ],
)
def test_wrong(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller writes the message
        PubSub().read(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("valkey://user:pass@host:1/2?x=y", "valkey://host:1/2"),
        ("valkey://:p@ss@host", "valkey://host"),
        ("unix://:secret@/run/x?db=1", "unix:///run/x"),
        ("redis://host", "redis://host"),
    ],
)
def test_what_is_shown_has_no_secret(url: str, shown: str) -> None:
    assert shown_url(url) == PubSub().show(url) == shown
    assert PubSub().secret(url)
    assert not PubSub().secret("worker")
    assert PubSub().show("off") == "off"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a", True), ("my-app:1/x_.", True), ("a" * 64, True),
        ("", False), ("a*", False), ("a b", False), ("é", False), ("a" * 65, False),
    ],
)  # fmt: skip
def test_prefixes(text: str, right: bool) -> None:
    kind: Kind = ChannelPrefix()
    if right:
        assert kind.read(text) == text
    else:
        with pytest.raises(ValueError):  # noqa: PT011 - the caller writes the message
            kind.read(text)
