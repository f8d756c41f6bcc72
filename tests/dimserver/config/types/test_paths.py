"""Places: what is taken and refused, and how it is shown."""

from __future__ import annotations

import pathlib

import pytest

from dimserver.config.types import MAX_SOCKET_PATH, Endpoint, Kind, LogTarget, Name, Path, SocketPath, UrlPath

TAKEN: list[tuple[Kind, object, object]] = [
    (Name(), "localhost", "localhost"),
    (Name(), "[::1]", "::1"),
    (Name(), "::", "::"),
    (Name(), "fe80::1%eth0", "fe80::1%eth0"),
    (Path(), "/srv/www", "/srv/www"),
    (Path(), pathlib.Path("/srv"), "/srv"),
    (Path(), "", None),
    (UrlPath(), "", ""),
    (UrlPath(), "/", ""),
    (UrlPath(), "/shop", "/shop"),
    (UrlPath(), "/a b/é/", "/a b/é"),
    (SocketPath(), "/run/x.sock", "/run/x.sock"),
    (Endpoint(), "127.0.0.1:9000", ("127.0.0.1", 9000)),
    (Endpoint(), "[::1]:0", ("::1", 0)),
    (Endpoint(), ("localhost", 1), ("localhost", 1)),
    (Endpoint(), "./admin.sock", "./admin.sock"),
    (Endpoint(), pathlib.Path("/run/a.sock"), "/run/a.sock"),
    (Endpoint(), None, None),
]

REFUSED: list[tuple[Kind, object]] = [
    (Name(), ""),
    (Name(), "host:80"),
    (Name(), "a b"),
    (Name(), "http://x"),
    (Name(), "x\ny"),
    (Name(), "x" * 254),
    (Path(), "a\0b"),
    (Path(), 5),
    (UrlPath(), None),
    (UrlPath(), "shop"),
    (UrlPath(), "//shop"),
    (UrlPath(), "/shop//"),
    (UrlPath(), "/a%20b"),
    (UrlPath(), "/a?b"),
    (UrlPath(), "/a/../b"),
    (UrlPath(), "/a\nb"),
    (UrlPath(), "/" + "x" * 1024),
    (SocketPath(), "/" + "x" * MAX_SOCKET_PATH),
    (Endpoint(), "9000"),
    (Endpoint(), ":9000"),
    (Endpoint(), "localhost"),
    (Endpoint(), "::1:9000"),
    (Endpoint(), "localhost:http"),
    (Endpoint(), "localhost:70000"),
    (Endpoint(), ("localhost", True)),
    (Endpoint(), ("localhost", 1, 2)),
]

SHOWN: list[tuple[Kind, object, str]] = [
    (Endpoint(), ("::1", 80), "[::1]:80"),
    (Endpoint(), "/run/x", "/run/x"),
    (Path(), None, "none"),
    (UrlPath(), "", "/"),
    (UrlPath(), "/x", "/x"),
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


@pytest.mark.parametrize(
    ("kind", "value", "resolved"),
    [
        (Path(), "www", "/srv/www"),
        (Path(), "./www/", "/srv/www"),
        (Path(), "../www/.", "/srv/../www/."),
        (Path(), "/www", "/www"),
        (Path(), None, None),
        (SocketPath(), "./s", "/srv/s"),
        (SocketPath(), "x" * 105, "x" * 105),  # its whole path has no room in a socket's address
        (SocketPath(), None, None),
        (Endpoint(), "./s", "/srv/s"),
        (Endpoint(), ("localhost", 1), ("localhost", 1)),
        (Endpoint(), None, None),
        (Name(), "www", "www"),
    ],
)
def test_a_relative_path_is_resolved(kind: Kind, value: object, resolved: object) -> None:
    assert kind.resolve(value, "/srv") == resolved


def test_a_dash_is_no_path() -> None:
    kind = LogTarget()
    assert kind.read("-") == kind.resolve("-", "/srv") == "-"
    assert kind.resolve(kind.read("a/-"), "/srv") == "/srv/a/-"
    assert kind.read("") is None
    assert kind.allowed() == "a path, or - for standard output"
