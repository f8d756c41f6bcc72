"""The values of tables."""

from __future__ import annotations

import pytest

from dimserver.config import Setting
from dimserver.config.table import NamedTables, Table
from dimserver.config.types import Integer, Path, Token


class Pool(Table):
    """A table with a secret."""

    rows = (
        Setting("G", "url", Path("URL"), None, "What.", "Why.", required=True),
        Setting("G", "pool-size", Integer(1, 9), 5, "What.", "Why."),
        Setting("G", "password", Token(), None, "What.", "Why."),
    )
    __slots__ = tuple(row.attribute for row in rows)

    url: str
    pool_size: int


def test_a_table_is_read_only_and_comparable() -> None:
    table = Pool({"url": "/u", "password": "hunter2"})
    assert (table.url, table.pool_size) == ("/u", 5)
    assert table == Pool({"url": "/u", "password": "hunter2"}) != Pool({"url": "/u"})
    assert hash(table) == hash(Pool({"url": "/u", "password": "hunter2"}))
    assert table != {"url": "/u"}
    assert repr(table) == "Pool(url='/u', password=set)"
    with pytest.raises(AttributeError):
        table.url = "/v"
    with pytest.raises(AttributeError):
        del table.url


def test_named_tables() -> None:
    tables = NamedTables({"main": Pool({"url": "/u", "password": "hunter2"})})
    assert tables == NamedTables({"main": Pool({"url": "/u", "password": "hunter2"})}) != NamedTables()
    assert hash(tables) == hash(NamedTables(dict(tables)))
    assert (list(tables), len(tables), tables["main"].given["url"]) == (["main"], 1, "/u")
    assert repr(tables) == "{'main': Pool(url='/u', password=set)}"
    with pytest.raises(TypeError):
        tables["other"] = Pool({})  # type: ignore[index]
