"""The rows of `[[route]]`."""

from __future__ import annotations

import typing

import pytest

from dimserver.config import RouteTable, Settings
from dimserver.config.routing import ROUTE_ROWS
from dimserver.errors import ConfigError


@pytest.mark.parametrize("row", ROUTE_ROWS, ids=lambda row: row.name)
def test_every_row_is_complete(row: typing.Any) -> None:
    assert row.what.endswith(".")
    assert row.reason.endswith(".")
    assert (row.what + row.reason).isascii()
    assert row.default is None or row.kind.read(row.default) == row.default


def test_the_typed_attributes_are_those_of_the_table() -> None:
    assert list(RouteTable.__annotations__) == [row.attribute for row in ROUTE_ROWS]


def test_one_table_a_pattern_and_method() -> None:
    Settings(route=["/a", "/a method=GET", "/a method=POST", "/a/*", "/a/", "/a/{x}", "/a/{x}/*"])
    for one, other in (("/a", "/a"), ("/a method=POST", "/a method=POST stream"), ("/{x}/b", "/{y}/b")):
        with pytest.raises(ConfigError, match=r"^route 3: '.*' is that of route 1 as well$"):
            Settings(route=[one, "/other", other])
