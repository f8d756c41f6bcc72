"""How the sources write tables, and what belongs to a named set in the environment."""

from __future__ import annotations

from dimserver.config import Setting
from dimserver.config.spelling import FileSpelling, LineSpelling, Spelling, VariableSpelling, split_variables
from dimserver.config.table import Table
from dimserver.config.tables import ListOf, NamedSet
from dimserver.config.types import Integer

ROWS = tuple(Setting("G", name, Integer(0, 9), 0, "What.", "Why.") for name in ("size", "pool-size", "url"))


class Pool(Table):
    rows = ROWS
    __slots__ = tuple(row.attribute for row in ROWS)


LIST = Setting("G", "rate-limit", ListOf(Pool), (), "What.", "Why.")
KEYS = {"DATABASE": ["SIZE", "POOL_SIZE", "URL"]}
SET = Setting("G", "database", NamedSet(Pool), (), "What.", "Why.")


def test_places() -> None:
    size = ROWS[1]
    written = {
        spelling: (
            spelling.row(LIST, 2, size), spelling.table(LIST, 2), spelling.row(SET, "my-db", size), spelling(LIST),
        )
        for spelling in (Spelling(), FileSpelling(lambda *_: None), VariableSpelling(), LineSpelling())
    }  # fmt: skip
    assert list(written.values()) == [
        ("rate_limit 2: pool_size", "rate_limit 2", "database['my-db']: pool_size", "rate_limit"),
        ("[[rate-limit]] 2: pool-size", "[[rate-limit]] 2", "[database.my-db]: pool-size", "rate-limit"),
        ("RATE_LIMIT line 2: pool-size", "RATE_LIMIT line 2", "DATABASE_MY_DB_POOL_SIZE", "RATE_LIMIT"),
        ("--rate-limit 2: pool-size", "--rate-limit 2", "--database my-db: pool-size", "--rate-limit"),
    ]


def test_variables_of_a_named_set() -> None:
    variables = {
        "PORT": "1", "DATABASE_MAIN_URL": "u", "DATABASE_MAIN_SIZE": "2", "DATABASE_MY_DB_POOL_SIZE": "3",
        "DATABASE_SIZE": "4", "DATABASE_MAIN_OTHER": "5", "DATABASE_URL": "6", "DATABASE__URL": "7",
        "DATABASES_X_URL": "8",
    }  # fmt: skip
    assert split_variables(variables, KEYS, {"PORT", "DATABASE_SIZE"}) == {
        "PORT": "1",
        "DATABASE": {"main": {"URL": "u", "SIZE": "2"}, "my-db": {"POOL_SIZE": "3"}},
        "DATABASE_SIZE": "4",
        "DATABASE_MAIN_OTHER": "5", "DATABASE_URL": "6", "DATABASE__URL": "7", "DATABASES_X_URL": "8",
    }  # fmt: skip


def test_the_whole_set_in_one_variable_is_left_to_be_refused() -> None:
    found = split_variables({"DATABASE": "x", "DATABASE_MAIN_URL": "u"}, KEYS, set())
    assert found == {"DATABASE": "x"}
