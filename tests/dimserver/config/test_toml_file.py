"""A file of settings: what is said of one that cannot be read, is no TOML, or says what cannot be."""

from __future__ import annotations

import os
import pathlib
import socket

import pytest
from tests.rights import ordinary

from dimserver.config import SETTINGS, Setting
from dimserver.config.toml_file import MAX_FILE, read_toml
from dimserver.config.types import Duration, Flag, Integer, Kind
from dimserver.errors import ConfigError


class Names(Kind):
    """A kind that takes a list."""

    typed = (str, list)

    def allowed(self) -> str:
        return "names"


ROWS = (*SETTINGS, Setting("Group", "names", Names(), None, "What.", "Why."))


def read(directory: pathlib.Path, text: str | bytes) -> dict[str, object]:
    path = directory / "site.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_toml(str(path), ROWS, shown="site.toml")


def refused(directory: pathlib.Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(directory, text)
    message = str(caught.value)
    assert len(message) < 400
    return message


def test_every_type(tmp_path: pathlib.Path) -> None:
    text = (
        '# a comment\nport = 0x50\nrate-credit = 1.5\ntimeout = "5m"\ndrain = 7\n'
        'api = true\nnames = ["a", "b"]\nhost = "größe"\n'
    )
    values = {
        "port": 80, "rate-credit": 1.5, "timeout": "5m", "drain": 7, "api": True, "names": ["a", "b"], "host": "größe",
    }  # fmt: skip
    assert read(tmp_path, text) == values
    assert read(tmp_path, text.replace("\n", "\r\n")) == values
    assert read(tmp_path, b"\xef\xbb\xbf" + text.encode()) == values
    assert read(tmp_path, "") == {}


# --- the file


def test_what_cannot_be_opened(tmp_path: pathlib.Path) -> None:
    cases = {"missing": "no such file", "directory": "a directory, not a file", "x" * 300: "File name too long"}
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    cases["file/below"] = os.strerror(20)
    os.mkfifo(tmp_path / "pipe")  # nobody writes: to wait for that would be for ever
    cases["pipe"] = "not a regular file"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        for name, reason in cases.items():
            with pytest.raises(ConfigError) as caught:
                read_toml(str(tmp_path / name), ROWS, origin="DIMSERVER_CONFIG")
            assert str(caught.value) == f"DIMSERVER_CONFIG: {reason}: '{tmp_path / name}'"
        with pytest.raises(ConfigError):
            read_toml(str(tmp_path / "socket"), ROWS)


def test_a_file_without_permission(tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.toml").touch(0)
    with pytest.raises(ConfigError, match=r"^--config: no permission to read this file: '.*site.toml'$"):
        ordinary(lambda: read_toml(str(tmp_path / "site.toml"), ROWS))


def test_a_link_to_a_file_will_do(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").write_text("port = 1")
    (tmp_path / "link").symlink_to("real")  # how Kubernetes mounts configuration
    assert read_toml(str(tmp_path / "link"), ROWS) == {"port": 1}


def test_the_limit_of_its_size(tmp_path: pathlib.Path) -> None:
    assert read(tmp_path, b"#" * MAX_FILE) == {}
    assert refused(tmp_path, b"#" * (MAX_FILE + 1)).startswith(f"--config: larger than {MAX_FILE} bytes")


def test_no_descriptor_is_left_open(tmp_path: pathlib.Path) -> None:
    before = len(list(pathlib.Path("/dev/fd").iterdir()))
    read(tmp_path, "")
    refused(tmp_path, "port")
    with pytest.raises(ConfigError):
        read_toml(str(tmp_path), ROWS)
    assert len(list(pathlib.Path("/dev/fd").iterdir())) == before


# --- TOML


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 1\nhost : 2\n", "site.toml:2:6: Expected '=' after a key in a key/value pair"),
        ("port = \n", "site.toml:1:8: Invalid value"),
        ("port", "site.toml:1:5: Expected '=' after a key in a key/value pair (the end of the file)"),
        ("\n\nhost = 'größe", 'site.toml:3:14: Expected "\'" (the end of the file)'),
        ("port = 1\nport = 2\n", "site.toml:2:9: Cannot overwrite a value"),
        (b"port = 1\nhost = 'gr\xfc\xdfe'\n", "site.toml:2:11: not UTF-8"),
        (b"\xff\xfe", "site.toml:1:1: not UTF-8"),
        ("host = 'a\0b'", "site.toml:1:10: Found invalid character '\\x00'"),
    ],
)
def test_what_is_no_toml_is_named_by_line_and_column(tmp_path: pathlib.Path, text: str | bytes, message: str) -> None:
    assert refused(tmp_path, text) == message


@pytest.mark.parametrize(
    "text",
    [
        "port = " + "[" * 100_000,
        "port = " + "{a=" * 100_000,
        "port = " + "9" * 100_000,
        "x." * 2_000 + "y = 1",
        "[" + "x." * 2_000 + "y]",
        "port = 2026-02-31",
        "x" * MAX_FILE,
        "'" + "x" * 500_000 + "' = 1",
        "\n".join(f"key{number} = 1" for number in range(50_000)),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_meant_to_hurt_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    assert refused(tmp_path, text).startswith(("site.toml", "unknown setting 'site.toml:"))


# --- names and types


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "unknown setting 'site.toml:prot'; did you mean 'port'?"),
        ("PORT = 1", "unknown setting 'site.toml:PORT'; did you mean 'port'?"),
        ("limit_head = 1", "unknown setting 'site.toml:limit_head'; did you mean 'limit-head'?"),
        ("--port = 1", "unknown setting 'site.toml:--port'; did you mean 'port'?"),
        ("zzzzzz = 1", "unknown setting 'site.toml:zzzzzz'; `dimserver config` lists the known ones"),
        ("[server]\nport = 1", "site.toml: unknown table 'server'; settings are keys of the top level, without tables"),
        ("limit.head = 1", "site.toml: unknown table 'limit'; settings are keys of the top level, without tables"),
        (
            'port = "80"',
            "site.toml:port: '80' is a string; allowed: an integer (a whole number from 0 to 65535 (0: the system ",
        ),
        ("api = 1", "site.toml:api: 1 is an integer; allowed: a boolean (true or false)"),
        ("api = 'true'", "site.toml:api: 'true' is a string; allowed: a boolean (true or false)"),
        ("host = true", "site.toml:host: True is a boolean; allowed: a string (a host name or "),
        ("timeout = true", "site.toml:timeout: True is a boolean; allowed: an integer, a float or a string (10 ms to "),
        ("limit-body = 1.5", "site.toml:limit-body: 1.5 is a float; allowed: an integer or a string (0 B to "),
        ("port = [1]", "site.toml:port: [1] is an array; allowed: an integer ("),
        ("port = {a = 1}", "site.toml:port: {'a': 1} is a table; allowed: an integer ("),
        ("names = 1", "site.toml:names: 1 is an integer; allowed: a string or an array (names)"),
        ("uds-mode = 0o660", "site.toml:uds-mode: 432 is an integer; allowed: a string (permissions in octal "),
        ("drain = 2026-01-01", "site.toml:drain: datetime.date(2026, 1, 1) is a date or time; allowed: an integer"),
        ("api-token = 31337", "site.toml:api-token: the value given is an integer; allowed: a string ("),
        ("api-token = ['hunter2']", "site.toml:api-token: the value given is an array; allowed: a string ("),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(tmp_path: pathlib.Path, text: str, message: str) -> None:
    assert refused(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Integer(0, 1), "an integer"),
        (Flag(), "a boolean"),
        (Duration(0, 1), "an integer, a float or a string"),
    ],
)
def test_the_types_a_kind_takes_are_listed(tmp_path: pathlib.Path, kind: Kind, names: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text("row = []")
    with pytest.raises(ConfigError) as caught:
        read_toml(str(path), [Setting("Group", "row", kind, None, "What.", "Why.")])
    assert f"allowed: {names} ({kind.allowed()})" in str(caught.value)
