"""Values that stand in a variable or a file."""

from __future__ import annotations

import os
import pathlib

import pytest
from tests.rights import ordinary

from dimserver import App
from dimserver.config import Settings, looked_up
from dimserver.config.references import MAX_VALUE, References, is_reference
from dimserver.config.sources import Sources, check_file
from dimserver.errors import ConfigError


def test_what_is_a_reference() -> None:
    for text in ("env:PORT", "env:_x9", "file:/run/x", "file:x"):
        assert is_reference(text), text
    for value in ("env:", "env:80", "env:a-b", "env: PORT", "ENV:PORT", "file:", "File:x", "", 5, None, ["env:PORT"]):
        assert not is_reference(value), value


def test_looking_up(tmp_path: pathlib.Path) -> None:
    references = References({"PORT": "80\n", "EMPTY": ""}, str(tmp_path))
    assert references.look_up("env:PORT", "port") == "80\n"  # a variable is taken as it is
    assert references.look_up("env:EMPTY", "port") == ""
    for data, value in ((b"a", "a"), (b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), (b"", "")):
        (tmp_path / "value").write_bytes(data)
        assert references.look_up("file:value", "port") == value
        assert references.look_up(f"file:{tmp_path}/value", "port") == value
    (tmp_path / "value").write_bytes(b"x" * MAX_VALUE)
    assert len(references.look_up("file:value", "port")) == MAX_VALUE


def test_what_is_not_there(tmp_path: pathlib.Path) -> None:
    references = References({}, str(tmp_path))
    (tmp_path / "large").write_bytes(b"x" * (MAX_VALUE + 1))
    (tmp_path / "latin").write_bytes(b"\xe9")
    os.mkfifo(tmp_path / "pipe")  # nobody writes: to wait for that would be for ever
    for name, reason in {
        "none": "no such file",
        ".": "a directory, not a file",
        "pipe": "not a regular file",
        "large": f"larger than {MAX_VALUE} bytes, the most a value may have",
        "latin": "not UTF-8",
        "latin/below": os.strerror(20),
        "x\0y": "a path has no NUL character",
    }.items():
        with pytest.raises(ConfigError) as caught:
            references.look_up(f"file:{name}", "site.toml:port")
        assert str(caught.value) == f"site.toml:port: 'file:{name}': {reason}: '{tmp_path / name}'" or name == "."
        assert reason in str(caught.value)
    with pytest.raises(ConfigError, match=r"^site\.toml:port: 'env:PORT': the variable PORT is not set$"):
        references.look_up("env:PORT", "site.toml:port")
    (tmp_path / "closed").touch(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        ordinary(lambda: references.look_up("file:closed", "port"))


def test_in_every_source(tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.toml").write_text(
        'port = "env:P"\napi = "env:YES"\napi-token = "file:token"\ntrusted-proxies = "env:NETS"\n'
        '[[route]]\npattern = "/a"\nlimit-body = "env:P"\nstream = "env:YES"\n'
    )
    (tmp_path / "token").write_text("secret\n")
    environ = {"P": "81", "YES": "yes", "DIMSERVER_DRAIN": "env:P", "NETS": "10.0.0.0/8", "UNIT": "2k"}
    line = {"--config": "site.toml", "--limit-head": "env:UNIT", "--host": "env:80"}
    sources = Sources(line, environ, str(tmp_path))
    with pytest.raises(ConfigError, match="--host: 'env:80' is not allowed"):
        sources.load()
    sources = Sources({**line, "--host": "localhost"}, environ, str(tmp_path))
    settings = sources.load().settings
    assert (settings.port, settings.api, settings.api_token) == (81, True, "secret")
    assert (settings.drain, settings.limit_head, settings.trusted_proxies) == (81.0, 2048, ("10.0.0.0/8",))
    assert (settings.route[0].limit_body, settings.route[0].stream) == (81, True)
    (tmp_path / "token").write_text("another\n")
    assert sources.load().settings.api_token == "another"  # at a reload
    assert sources.load().values["api_token"] == "another"


def test_a_value_that_is_wrong_is_not_repeated(tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "site.toml").write_text('port = "file:secret"\n[[route]]\npattern = "/"\nlimit-body = "file:secret"\n')
    mistakes: list[str] = []
    check_file("site.toml", str(tmp_path), mistakes)
    assert len(mistakes) == 2
    assert mistakes[0].startswith("site.toml:port: the value of 'file:secret' is not allowed; allowed: a whole number")
    assert mistakes[1].startswith("site.toml:[[route]] 1: limit-body: the value of 'file:secret' is not allowed; ")
    assert not any("hunter2" in mistake for mistake in mistakes)


def test_what_is_served_is_taken_as_it_is_written(tmp_path: pathlib.Path) -> None:
    assert Sources({"APP": "env:app"}, {}, str(tmp_path)).load().app == "env:app"  # a module that is called env


def test_a_list_may_stand_somewhere_else(tmp_path: pathlib.Path) -> None:
    (tmp_path / "routes").write_text("/a limit-body=1k\n\n/b stream\n")
    (tmp_path / "site.toml").write_text('route = "file:routes"\n')
    expected = Settings(route=["/a limit-body=1k", "/b stream"]).route
    for sources in (
        Sources({}, {"DIMSERVER_ROUTE": "file:routes"}, str(tmp_path)),
        Sources({"--config": "site.toml"}, {}, str(tmp_path)),
    ):
        assert sources.load().settings.route == expected
    with pytest.raises(ConfigError, match=r"^DIMSERVER_ROUTE: 'file:none': no such file"):
        Sources({}, {"DIMSERVER_ROUTE": "file:none"}, str(tmp_path)).load()


def test_the_file_of_settings_is_taken_as_it_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "env:FILE").write_text("port = 5\n")
    assert Sources({"--config": "env:FILE"}, {}, str(tmp_path)).load().settings.port == 5
    assert Sources({}, {"DIMSERVER_CONFIG": "env:FILE"}, str(tmp_path)).load().settings.port == 5


def test_a_file_that_is_checked_refers_to_the_environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.toml").write_text('port = "env:P"\n')
    monkeypatch.setenv("DIMSERVER_DRAIN", "1")
    with pytest.raises(ConfigError, match="the variable P is not set"):
        check_file("site.toml", str(tmp_path))
    monkeypatch.setenv("P", "5")
    assert check_file("site.toml", str(tmp_path)).values == {"port": 5}


def test_what_a_program_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("P", "81")
    (tmp_path / "value").write_text("env:P\n")
    given = {"port": "env:P", "threads": "8", "route": ["/a limit-body=env:P", {"pattern": "/b", "stream": True}]}
    app = App(**given)  # type: ignore[arg-type]
    assert app.defaults["port"] == 81
    assert app.defaults["threads"] == "8"  # as it was given
    routes = Settings(**app.defaults).route
    assert [(table.pattern, table.limit_body, table.stream) for table in routes] == [
        ("/a", 81, None),
        ("/b", None, True),
    ]
    assert (
        Settings(**looked_up({"spool_dir": "file:value"})).spool_dir == "env:P"
    )  # what is found is not looked up again
    with pytest.raises(ConfigError, match="port: 'env:Q': the variable Q is not set"):
        App(port="env:Q")
    with pytest.raises(ConfigError, match="route 1: limit_body: 'env:Q': the variable Q is not set"):
        App(route=[{"pattern": "/a", "limit_body": "env:Q"}])
