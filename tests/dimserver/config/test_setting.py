"""One row: how it is named, read and refused."""

from __future__ import annotations

import pytest

from dimserver.config import Setting, did_you_mean
from dimserver.config.types import Integer, Token
from dimserver.errors import ConfigError


def test_the_names_of_a_row() -> None:
    row = Setting("Group", "limit-head", Integer(1, 9), 3, "What.", "Why.")
    assert (row.option, row.attribute, row.show_default()) == ("--limit-head", "limit_head", "3")


def test_a_value_is_read_or_refused_under_the_name_its_source_uses() -> None:
    row = Setting("Group", "limit-head", Integer(1, 9), 3, "What.", "Why.")
    assert row.read("7", "--limit-head") == row.read(7, "limit-head") == 7
    with pytest.raises(ConfigError, match=r"^LIMIT_HEAD: '10' is not allowed; allowed: a whole number from 1 to 9$"):
        row.read("10", "LIMIT_HEAD")


def test_a_secret_is_never_repeated() -> None:
    row = Setting("Group", "token", Token(), None, "What.", "Why.")
    with pytest.raises(ConfigError, match=r"^token: the value given is not allowed; ") as caught:
        row.read("hunter 2", "token")
    assert "hunter" not in str(caught.value)


def test_did_you_mean() -> None:
    assert did_you_mean("tiemout", ["timeout", "port"]) == "; did you mean 'timeout'?"
    assert did_you_mean("xyz", ["timeout"]) == ""
