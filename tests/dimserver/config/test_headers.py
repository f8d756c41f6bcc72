"""`[[header]]` in every source, and what is said of mistakes."""

from __future__ import annotations

import pathlib
import typing
from typing import Any

import pytest

from dimserver.config import HeaderTable, Settings
from dimserver.config.headers import HEADER_ROWS
from dimserver.config.sources import Sources, check_file
from dimserver.errors import ConfigError


@pytest.mark.parametrize("row", HEADER_ROWS, ids=lambda row: row.name)
def test_every_row_is_complete(row: typing.Any) -> None:
    assert row.what.endswith(".")
    assert row.reason.endswith(".")
    assert (row.what + row.reason).isascii()


def test_the_typed_attributes_are_those_of_the_table() -> None:
    assert list(HeaderTable.__annotations__) == [row.attribute for row in HEADER_ROWS]


def load(directory: pathlib.Path, line: list[str] | None = None, variable: str | None = None, file: str = "") -> Any:
    (directory / "site.toml").write_text(file)
    words: dict[str, object] = {"--config": "site.toml"}
    if line is not None:
        words["--header"] = line
    variables = {"A": "from A"} if variable is None else {"A": "from A", "DIMSERVER_HEADER": variable}
    return [dict(table.given) for table in Sources(words, variables, str(directory)).load().settings.header]


def test_the_same_in_every_source(tmp_path: pathlib.Path) -> None:
    entries = ["X-Frame-Options: DENY", 'X-Quoted:\t"it\'s" a=b: c # \\d ', "X-Empty:", "X-From: env:A"]
    expected = [
        {"name": "X-Frame-Options", "value": "DENY"},
        {"name": "X-Quoted", "value": '"it\'s" a=b: c # \\d'},
        {"name": "X-Empty", "value": ""},
        {"name": "X-From", "value": "from A"},
    ]
    assert load(tmp_path, entries) == expected
    assert load(tmp_path, None, "\n".join(["", *entries, ""])) == expected
    tables = "".join(f"[[header]]\nname = '{each['name']}'\nvalue = '''{each['value']}'''\n" for each in expected)
    assert load(tmp_path, file=tables) == expected
    assert load(tmp_path, file='header = ["X-Frame-Options: DENY"]') == expected[:1]
    python: list[Any] = [*entries[:3], {"name": "X-From", "value": "from A"}]
    assert [dict(table.given) for table in Settings(header=python).header] == expected


def test_a_pattern_takes_a_table(tmp_path: pathlib.Path) -> None:
    table = {"name": "Cache-Control", "value": "no-cache", "pattern": "/a/*"}
    assert load(tmp_path, file="[[header]]\n" + "".join(f"{key} = '{value}'\n" for key, value in table.items())) == [
        table
    ]
    assert dict(Settings(header=[table]).header[0].given) == table


NAME_ALLOWED = "allowed: the name of a header, up to 64 letters, digits and !#$%&'*+-.^_`|~; none that the server sets "


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("X-A", "'X-A' has no colon; allowed: NAME: VALUE"),
        ("", "'' has no colon; allowed: NAME: VALUE"),
        (": x", f"name: '' is not allowed; {NAME_ALLOWED}"),
        ("X-A : x", f"name: 'X-A ' is not allowed; {NAME_ALLOWED}"),
        ("X A: x", f"name: 'X A' is not allowed; {NAME_ALLOWED}"),
        ("Content-Length: 5", f"name: 'Content-Length' is not allowed; {NAME_ALLOWED}"),
        (
            "X-A: b\r\nX-B: c",
            "value: 'b\\r\\nX-B: c' is not allowed; allowed: up to 4096 printable characters of ASCII",
        ),
        ("X-A: é", "value: 'é' is not allowed; allowed: up to 4096 printable"),
    ],
)
def test_what_is_wrong_with_an_entry(tmp_path: pathlib.Path, entry: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, ["X-Right: x", entry])
    assert str(caught.value).startswith(f"--header 2: {message}")
    with pytest.raises(ConfigError) as caught:
        Settings(header=["X-Right: x", entry])
    assert str(caught.value).startswith(f"header 2: {message}")
    if entry and "\n" not in entry:
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, None, f"X-Right: x\n{entry}")
        assert str(caught.value).startswith(f"DIMSERVER_HEADER line 2: {message}")


def test_every_mistake_of_a_file_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.toml").write_text(
        '[[header]]\nname = "X-A"\n[[header]]\nname = "Connection"\nvalue = "close"\n'
        '[[header]]\nname = "X-A"\nvalue = 0\n[[header]]\nname = "X-A"\nvalue = "1"\npattern = "a"\n'
        '[[header]]\nname = "X-A"\nvalue = "1"\n[[header]]\nname = "X-A"\nvalue = "2"\n'
        '[[header]]\nname = "X-A"\nvalue = "1"\n'
    )
    mistakes: list[str] = []
    check_file("site.toml", str(tmp_path), mistakes)
    expected = [
        "site.toml:[[header]] 1: 'value' is missing; it is up to 4096 printable",
        "site.toml:[[header]] 2: name: 'Connection' is not allowed; allowed: the name of a header",
        "site.toml:[[header]] 3: value: 0 is an integer; allowed: a string (up to 4096",
        "site.toml:[[header]] 4: pattern: 'a' is not allowed; allowed: a decoded path that starts with /",
        "site.toml:[[header]] 7: 'X-A: 1' is that of site.toml:[[header]] 5 as well",
    ]
    assert len(mistakes) == len(expected)
    for mistake, start in zip(mistakes, expected, strict=True):
        assert mistake.startswith(start)


def test_what_is_no_table(tmp_path: pathlib.Path) -> None:
    for text in ('header = "X-A: b"', '[header]\nname = "X-A"'):
        with pytest.raises(ConfigError, match=r"^site\.toml:header: .*; allowed: tables \[\[header\]\] \(at most 64 "):
            load(tmp_path, file=text)


def test_how_many_there_may_be() -> None:
    assert len(Settings(header=[f"X-{number}: x" for number in range(64)]).header) == 64
    with pytest.raises(ConfigError, match=r"^header: 65 tables are too many; allowed: at most 64$"):
        Settings(header=[f"X-{number}: x" for number in range(65)])


def test_a_long_value_does_not_fill_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(header=["X-A: " + "x" * 4096] * 2)
    assert len(str(caught.value)) < 300
