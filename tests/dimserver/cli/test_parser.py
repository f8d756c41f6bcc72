"""Words of a command line, and columns."""

from __future__ import annotations

import pytest

from dimserver.cli.parser import Parser, columns, terminal_width
from dimserver.errors import ConfigError


@pytest.fixture
def parser() -> Parser:
    made = Parser("reload", "reload [options]", "Reload.")
    made.add_argument("--timeout", metavar="SECONDS")
    made.add_argument("--no-wait", action="store_true")
    return made


def test_options(parser: Parser) -> None:
    given = parser.parse(["--timeout", "3", "--no-wait"])
    assert (given.timeout, given.no_wait) == ("3", True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--timeuot", "3"], "unknown option '--timeuot'; did you mean '--timeout'?"),
        (["--time", "3"], "unknown option '--time'"),  # no abbreviations: the next option would change their meaning
        (["more"], "unexpected argument 'more'; see dimserver reload --help"),
        (["--timeout"], "--timeout: expected one argument; see dimserver reload --help"),
    ],
)
def test_mistakes_are_one_line(parser: Parser, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parser.parse(words)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_columns() -> None:
    assert columns([("A", "LONG"), ("longer", "b")]) == ["A       LONG\n", "longer  b\n"]


@pytest.mark.parametrize(("value", "width"), [("132", 132), ("x", 80), (None, 80)])
def test_the_width(monkeypatch: pytest.MonkeyPatch, value: str | None, width: int) -> None:
    def no_terminal(number: int) -> None:
        raise OSError(number)

    monkeypatch.setattr("os.get_terminal_size", no_terminal)
    if value is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", value)
    assert terminal_width() == width
