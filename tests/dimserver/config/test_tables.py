"""Lists of tables and named sets: from each source, over one another, and every mistake with its place."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dimserver.config import SETTINGS, RouteTable, Setting, Settings
from dimserver.config.settings import merge, missing
from dimserver.config.sources import Loaded, Sources, check_file
from dimserver.config.table import NamedTables, Table
from dimserver.config.tables import ListOf, NamedSet
from dimserver.config.types import Flag, Integer, Path, Token
from dimserver.errors import ConfigError


class Pool(Table):
    """A table with a row of every sort."""

    rows = (
        Setting("G", "url", Path("URL"), None, "What.", "Why.", required=True),
        Setting("G", "pool-size", Integer(1, 9), 5, "What.", "Why."),
        Setting("G", "size", Integer(1, 9), 1, "What.", "Why."),
        Setting("G", "log", Flag(), False, "What.", "Why."),
        Setting("G", "password", Token(), None, "What.", "Why."),
    )
    __slots__ = tuple(row.attribute for row in rows)

    url: str
    pool_size: int


DATABASE = Setting("G", "database", NamedSet(Pool, most=3), NamedTables(), "What.", "Why.")
REPLICA = Setting("G", "replica", ListOf(Pool, first="url", most=3), (), "What.", "Why.")
ROWS = (*SETTINGS, DATABASE, REPLICA)
Read = Callable[..., dict[str, Any]]
Load = Callable[..., Loaded]


@pytest.fixture
def read(tmp_path: pathlib.Path) -> Read:
    """The values of a command line, an environment and the text of a file, with the two settings above."""

    def read(
        line: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
        file: str = "",
        mistakes: list[str] | None = None,
    ) -> dict[str, Any]:
        (tmp_path / "site.toml").write_text(file)
        return Sources({"--config": "site.toml", **(line or {})}, environ or {}, str(tmp_path)).read(ROWS, mistakes)[0]

    return read


@pytest.fixture
def load(tmp_path: pathlib.Path) -> Load:
    """The same with the settings there are."""

    def load(
        line: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, file: str = ""
    ) -> Loaded:
        (tmp_path / "site.toml").write_text(file)
        return Sources({"--config": "site.toml", **(line or {})}, environ or {}, str(tmp_path)).load()

    return load


def options(loaded: Loaded) -> list[dict[str, object]]:
    return [dict(table.given) for table in loaded.settings.route]


# --- lists


def test_a_list_in_every_source(load: Load) -> None:
    expected: list[dict[str, object]] = [
        {"pattern": "/a b", "limit_body": 1024, "stream": True},
        {"pattern": "/c/*", "method": "POST", "blocking": False},
    ]
    file = (
        '[[route]]\npattern = "/a b"\nlimit-body = "1k"\nstream = true\n'
        '[[route]]\npattern = "/c/*"\nmethod = "POST"\nblocking = false\n'
    )
    entries = ["'/a b' limit-body=1k stream", "/c/* method=POST no-blocking"]
    assert options(load(file=file)) == expected
    assert options(load({"--route": entries})) == expected
    assert options(load(environ={"DIMSERVER_ROUTE": "\n" + "\n\n".join(entries) + "\n"})) == expected
    python = Settings(route=[{"pattern": "/a b", "limit_body": "1k", "stream": True}, "/c/* method=POST blocking=off"])
    assert [dict(table.given) for table in python.route] == expected
    assert Settings(route=python.route) == python
    assert python.replace(port=1).route == python.route
    assert Settings(route=[{"pattern": "/a", "blocking": None}]).route == (RouteTable({"pattern": "/a"}),)


def test_a_list_takes_the_place_of_a_weaker_one(load: Load) -> None:
    file = '[[route]]\npattern = "/file"\n[[route]]\npattern = "/file/2"\n'
    variable = {"DIMSERVER_ROUTE": "/variable"}
    assert [each["pattern"] for each in options(load(file=file))] == ["/file", "/file/2"]
    assert [each["pattern"] for each in options(load(None, variable, file))] == ["/variable"]
    assert [each["pattern"] for each in options(load({"--route": ["/line"]}, variable, file))] == ["/line"]
    assert options(load(None, {"DIMSERVER_ROUTE": ""}, file)) == []
    above = load(file=file).above({"route": [{"pattern": "/app"}]})
    assert [table.pattern for table in above.settings.route] == ["/file", "/file/2"]
    assert load().above({"route": ["/app"]}).settings.route[0].pattern == "/app"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("", "--replica 2: an entry is empty"),
        ("/u 'x", "--replica 2: a quotation has no end"),
        ("/u size", "--replica 2: 'size' has no value; it is written size=N"),
        ("/u lgo", "--replica 2: a word is no key; did you mean 'log'?"),
        ("/u what", "--replica 2: a word is no key; allowed: URL [pool-size=N] [size=N] [log] [password=TOKEN]"),
        ("/u siez=1", "--replica 2: unknown key 'siez'; did you mean 'size'?"),
        ("/u a=1", "--replica 2: unknown key 'a'; allowed: url, pool-size, size, log, password"),
        ("/u size=10", "--replica 2: size: '10' is not allowed; allowed: a whole number from 1 to 9"),
        ("/u size=1 size=2", "--replica 2: 'size' is there twice"),
        ("/u log no-log", "--replica 2: 'log' is there twice"),
        ("/u log=maybe", "--replica 2: log: 'maybe' is not allowed; allowed: true or false"),
        ("size=1", "--replica 2: 'url' is missing; it is a path"),
    ],
)
def test_what_is_wrong_with_an_entry(read: Read, entry: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({"--replica": ["/right", entry]})
    assert str(caught.value).startswith(message)
    if entry:
        with pytest.raises(ConfigError) as caught:
            read(environ={"DIMSERVER_REPLICA": f"/right\n{entry}"})
        assert str(caught.value).startswith(message.replace("--replica 2", "DIMSERVER_REPLICA line 2"))


def test_how_many_tables_there_may_be(read: Read) -> None:
    assert len(read({"--replica": ["/u"] * 3})["replica"]) == 3
    with pytest.raises(ConfigError, match=r"^--replica: 4 tables are too many; allowed: at most 3$"):
        read({"--replica": ["/u"] * 4})
    names = {f"DIMSERVER_DATABASE_{name}_URL": "/u" for name in ("A", "B", "C", "D")}
    with pytest.raises(ConfigError, match=r"^DIMSERVER_DATABASE: 4 tables are too many; allowed: at most 3$"):
        read(environ=names)


def test_every_mistake_of_a_file_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.toml").write_text(
        'prot = 1\n[[route]]\nlimit-body = "5MB"\nstram = true\n'
        '[[route]]\npattern = "/a"\nblocking = "yes"\nmethod = "post"\nlimit-body = 1.5\n'
        '[[route]]\npattern = "/b"\n[[route]]\npattern = "/b"\n[[route]]\npattern = "x"\n'
    )
    mistakes: list[str] = []
    loaded = check_file("site.toml", str(tmp_path), mistakes)
    assert [table.pattern for table in loaded.settings.route] == ["/b"]
    expected = [
        "unknown setting 'site.toml:prot'; did you mean 'port'?",
        "site.toml:[[route]] 1: limit-body: '5MB' is not allowed; allowed: 0 B to 1024 GiB (a number of bytes, or ",
        "site.toml:[[route]] 1: unknown key 'stram'; did you mean 'stream'?",
        "site.toml:[[route]] 1: 'pattern' is missing; it is a decoded path",
        "site.toml:[[route]] 2: blocking: 'yes' is a string; allowed: a boolean (true or false)",
        "site.toml:[[route]] 2: method: 'post' is not allowed; allowed: the name of a method in capitals, like POST, ",
        "site.toml:[[route]] 2: limit-body: 1.5 is a float; allowed: an integer or a string (0 B to ",
        "site.toml:[[route]] 4: '/b' is that of site.toml:[[route]] 3 as well",
        "site.toml:[[route]] 5: pattern: 'x' is not allowed; allowed: a decoded path that starts with /",
    ]
    assert len(mistakes) == len(expected)
    for mistake, start in zip(mistakes, expected, strict=True):
        assert mistake.startswith(start)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("route = 5", "site.toml:route: 5 is an integer; allowed: tables [[route]] (at most 256 tables with "),
        ('[route]\npattern = "/"', "site.toml:route: {'pattern': '/'} is a table; allowed: tables [[route]] ("),
        ("route = [5]", "site.toml:[[route]] 1: 5 is no table; allowed: a table with pattern, method, "),
        ("database = 'x'", "site.toml:database: the value given is a string; allowed: tables [database.NAME] ("),
        ('[[database]]\nurl = "/"', "site.toml:database: the value given is an array; allowed: tables [database."),
        (
            "[database]\nmain = 5",
            "site.toml:[database.main]: the value given is no table; allowed: a table with url, pool-size, ",
        ),
        (
            "[other]\nx = 1",
            "site.toml: unknown table 'other'; settings are keys of the top level, without tables but [[",
        ),
    ],
)
def test_what_is_no_table(read: Read, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file=text)
    assert str(caught.value).startswith(message)
    assert "but [[" not in message or str(caught.value).endswith(
        "but [[route]], [[header]], [[replica]], [database.NAME]"
    )


@pytest.mark.parametrize(
    "file",
    [
        'replica = "/u password=hunter2"', 'replica = [["password=hunter2"]]', '[replica]\npassword = "hunter2"',
        'database = "x password=hunter2"', '[database]\npassword = "hunter2"', '[[database]]\npassword = "hunter2"',
        'replica = ["/u hunter2"]', "replica = [\"/u password='hunter2\"]",
        'replica = ["/u password=hunter2 password=x"]',
        '[[replica]]\nurl = "/u"\npassword = ["hunter2"]',
    ],
)  # fmt: skip
def test_no_message_repeats_a_secret(read: Read, file: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file=file)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(read(file='[[replica]]\nurl = "/u"\npassword = "hunter2"'))


# --- named sets


def test_a_named_set_in_every_source(read: Read, tmp_path: pathlib.Path) -> None:
    expected = {"main": Pool({"url": f"{tmp_path}/u", "pool_size": 2}), "my-db": Pool({"url": "/v", "log": True})}
    file = '[database.main]\nurl = "u"\npool-size = 2\n[database.my-db]\nurl = "/v"\nlog = true\n'
    variables = {
        "DIMSERVER_DATABASE_MAIN_URL": "u", "DIMSERVER_DATABASE_MAIN_POOL_SIZE": "2",
        "DIMSERVER_DATABASE_MY_DB_URL": "/v", "DIMSERVER_DATABASE_MY_DB_LOG": "yes",
    }  # fmt: skip
    for values in (
        read(file=file),
        read(environ=variables),
        read({"--database": ["main url=u pool-size=2", "my-db url=/v log"]}),
        read({"--database": ["main url=u", "my-db log url=/v", "main pool-size=2"]}),
    ):
        assert values["database"] == expected
    assert isinstance(DATABASE.kind, NamedSet)
    python = DATABASE.kind.typed_value(DATABASE, {"main": {"url": "/u"}, "my-db": "url=/v log"})
    assert python == {"main": Pool({"url": "/u"}), "my-db": Pool({"url": "/v", "log": True})}
    assert DATABASE.kind.read(python) is python


def test_named_sets_are_merged_by_name_and_key(read: Read) -> None:
    file = '[database.main]\npool-size = 2\nsize = 3\n[database.other]\nurl = "/other"\n'
    variables = {"DIMSERVER_DATABASE_MAIN_URL": "/u", "DIMSERVER_DATABASE_MAIN_SIZE": "4"}
    values = read({"--database": ["main size=5", "third url=/third"]}, variables, file)
    assert values["database"] == {
        "main": Pool({"url": "/u", "pool_size": 2, "size": 5}),
        "other": Pool({"url": "/other"}),
        "third": Pool({"url": "/third"}),
    }
    below = merge({"database": {"main": {"url": "/app", "log": True}, "app": {"url": "/app"}}}, values, ROWS)
    assert below["database"]["main"] == Pool({"url": "/u", "pool_size": 2, "size": 5, "log": True})  # type: ignore[index]
    assert below["database"]["app"] == Pool({"url": "/app"})  # type: ignore[index]


def test_what_no_source_has_given(read: Read) -> None:
    with pytest.raises(ConfigError, match=r"^\[database\.main\]: 'url' is missing; it is a path"):
        read(file="[database.main]\nsize = 1")
    mistakes: list[str] = []
    values = read({"--database": ["b size=2"]}, None, "[database.a]\nsize = 1", mistakes)
    assert [mistake.partition(":")[0] for mistake in mistakes] == ["[database.a]", "[database.b]"]
    assert "database" not in values
    assert list(missing({"database": {"main": {"url": "/u"}}}, ROWS)) == []


@pytest.mark.parametrize(
    ("line", "environ", "file", "message"),
    [
        (
            [],
            {},
            '[database.Main]\nurl = "/u"',
            "site.toml:database: 'Main' is no name of a table; allowed: a name of 1 ",
        ),
        ([], {}, '[database.my_db]\nurl = "/u"', "site.toml:database: 'my_db' is no name of a table; allowed: a name "),
        ([], {}, "[database.main]\nsize = 10", "site.toml:[database.main]: size: 10 is not allowed; allowed: a whole "),
        (
            [],
            {},
            "[database.main]\nsize = true",
            "site.toml:[database.main]: size: True is a boolean; allowed: an integer",
        ),
        ([], {}, "[database.main]\nx = 1", "site.toml:[database.main]: unknown key 'x'; allowed: url, pool-size, size"),
        (
            [],
            {"MAIN_SIZE": "x"},
            "",
            "DIMSERVER_DATABASE_MAIN_SIZE: 'x' is not allowed; allowed: a whole number from 1 ",
        ),
        ([], {"MAIN_PASSWORD": "hunter 2"}, "", "DIMSERVER_DATABASE_MAIN_PASSWORD: the value given is not allowed; "),
        ([], {"MAIN_SZE": "1"}, "", "unknown setting 'DIMSERVER_DATABASE_MAIN_SZE'"),
        ([], {"9_SIZE": "1"}, "", "DIMSERVER_DATABASE: '9' is no name of a table; allowed: a name of 1 to 40 small "),
        (["Main url=/u"], {}, "", "--database: 'Main' is no name of a table; allowed: "),
        (["main size=x"], {}, "", "--database main: size: 'x' is not allowed; allowed: "),
        (["main /u"], {}, "", "--database main: a word is no key; allowed: NAME [url=URL] [pool-size=N]"),
        (["main 'x"], {}, "", "--database 1: a quotation has no end"),
        ([""], {}, "", "--database 1: an entry is empty"),
    ],
)
def test_what_is_wrong_with_a_named_set(
    read: Read, line: list[str], environ: dict[str, str], file: str, message: str
) -> None:
    variables = {f"DIMSERVER_DATABASE_{name}": value for name, value in environ.items()}
    with pytest.raises(ConfigError) as caught:
        read({"--database": line} if line else None, variables, file)
    assert str(caught.value).startswith(message)
    assert "hunter" not in str(caught.value)


def test_a_set_in_one_variable_is_refused(read: Read) -> None:
    with pytest.raises(
        ConfigError, match=r"^DIMSERVER_DATABASE: the value given is not allowed; allowed: at most 3 named"
    ):
        read(environ={"DIMSERVER_DATABASE": "main url=/u"})


def test_no_setting_of_its_own_is_hidden_by_a_set() -> None:
    sets = [setting.variable + "_" for setting in SETTINGS if isinstance(setting.kind, NamedSet)]
    assert not [setting for setting in SETTINGS if setting.variable.startswith(tuple(sets))]
