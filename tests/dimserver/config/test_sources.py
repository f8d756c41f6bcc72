"""Every setting through the command line, the environment and a file, and which of them counts."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping

import pytest

from dimserver.config import SETTINGS, Setting, Settings
from dimserver.config.sources import APP, CONFIG, Loaded, Sources, check_file
from dimserver.config.tables import TableKind
from dimserver.config.types import Flag
from dimserver.errors import ConfigError

Load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: pathlib.Path) -> Load:
    """Load values of a command line, an environment and the text of a file."""

    def load(
        line: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, file: str | None = None
    ) -> Loaded:
        words = dict(line or {})
        if file is not None:
            (tmp_path / "site.toml").write_text(file)
            words["--config"] = "site.toml"
        return Sources(words, environ or {}, str(tmp_path)).load()

    return load


def toml(setting: Setting, text: str) -> str:
    """A line of a file that gives `setting` the value written as `text` on a command line."""
    if str not in setting.kind.typed:
        value = setting.kind.read(text)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"{setting.name} = {text}\n"
    return f'{setting.name} = "{text}"\n'


def changed(loaded: Loaded) -> dict[str, object]:
    settings = loaded.settings
    return {s.name: value for s in SETTINGS if (value := getattr(settings, s.attribute)) != s.default}


# Tables have a test of their own.
@pytest.mark.parametrize(
    "setting", [each for each in SETTINGS if not isinstance(each.kind, TableKind)], ids=lambda setting: setting.name
)
def test_every_setting_in_every_source(
    setting: Setting, load: Load, other: dict[str, str], tmp_path: pathlib.Path
) -> None:
    text = other[setting.name]
    value = setting.kind.resolve(setting.kind.read(text), str(tmp_path))
    assert value != setting.default
    default = setting.kind.show(setting.default)
    back = default.partition(" (")[0] if setting.default is not None else ""
    given: object = value if isinstance(setting.kind, Flag) else text
    by_line = load({setting.option: given})
    by_variable = load({}, {setting.variable: text})
    by_file = load({}, {}, toml(setting, text))
    for loaded, origin in (
        (by_line, setting.option),
        (by_variable, setting.variable),
        (by_file, f"site.toml:{setting.name}"),
    ):
        assert changed(loaded) == {setting.name: value}
        assert loaded.values == {setting.attribute: value}
        assert loaded.origins == {setting.attribute: origin}
    # Each is weaker than the one before it.
    if setting.default is None and not setting.kind.optional:
        return
    assert changed(load({setting.option: back}, {setting.variable: text}, toml(setting, text))) == {}
    assert changed(load({}, {setting.variable: back}, toml(setting, text))) == {}
    assert changed(load({setting.option: given}, {setting.variable: back}, "")) == {setting.name: value}


@pytest.mark.parametrize(
    "setting", [each for each in SETTINGS if not isinstance(each.kind, TableKind)], ids=lambda setting: setting.name
)
def test_a_bad_value_names_its_source(setting: Setting, load: Load) -> None:
    bad = "a\0b c"
    for line, environ, origin in (
        ({setting.option: bad}, {}, setting.option),
        ({}, {setting.variable: bad}, setting.variable),
    ):
        with pytest.raises(ConfigError) as caught:
            load(line, environ)
        assert str(caught.value) == f"{origin}: {setting.quote(bad)} is not allowed; allowed: {setting.kind.allowed()}"
    with pytest.raises(ConfigError) as caught:
        load({}, {}, f'{setting.name} = "a\\u0000b c"')
    assert str(caught.value).startswith(f"site.toml:{setting.name}: {setting.quote(bad)} is ")
    assert setting.kind.allowed() in str(caught.value)


def test_each_source_adds_to_the_weaker_ones(load: Load) -> None:
    file = "port = 1\nthreads = 1\ndrain = 1\nbacklog = 1\n"
    loaded = load({"--port": "3"}, {"DIMSERVER_PORT": "2", "DIMSERVER_THREADS": "2", "PORT": "9"}, file)
    assert loaded.settings == Settings(port=3, threads=2, drain=1, backlog=1)
    assert loaded.origins == {
        "port": "--port", "threads": "DIMSERVER_THREADS", "drain": "site.toml:drain", "backlog": "site.toml:backlog",
    }  # fmt: skip
    above = loaded.above({"backlog": 7, "limit_fields": 50})
    assert above.settings == Settings(port=3, threads=2, drain=1, backlog=1, limit_fields=50)
    assert above.origins == {**loaded.origins, "limit_fields": "App(limit_fields=...)"}
    assert loaded.settings.limit_fields == 100


def test_where_to_listen_is_one_decision(load: Load, tmp_path: pathlib.Path) -> None:
    file = 'uds = "./s"\n'
    assert changed(load({}, {}, file)) == {"uds": f"{tmp_path}/s"}
    loaded = load({}, {"DIMSERVER_PORT": "1"}, file)
    assert changed(loaded) == {"port": 1}
    assert "uds" not in loaded.origins
    assert changed(load({"--fd": "3"}, {"DIMSERVER_UDS": "/s"}, file)) == {"fd": 3}
    for line, environ, text, message in (
        ({"--fd": "3", "--uds": "s"}, {}, "", "--uds and --fd exclude each other: "),
        ({}, {"DIMSERVER_FD": "3", "DIMSERVER_UDS": "s"}, "", "DIMSERVER_UDS and DIMSERVER_FD exclude each other: "),
        ({}, {}, file + "fd = 3", "site.toml:uds and site.toml:fd exclude each other: "),
    ):
        with pytest.raises(ConfigError, match=f"^{message}"):
            load(line, environ, text)


def test_what_is_served(load: Load) -> None:
    file = 'app = "file:app"\n'
    assert load().app is None
    assert load({}, {}, file).app == "file:app"
    assert load({}, {"DIMSERVER_APP": "variable"}, file).app == "variable"
    loaded = load({"APP": "line.py"}, {"DIMSERVER_APP": "variable"}, file)
    assert loaded.app == "line.py"
    assert loaded.values == loaded.origins == {}
    assert loaded.above({"port": 1}).app == "line.py"
    for line, environ, origin in (({"APP": ""}, {}, "APP"), ({}, {"DIMSERVER_APP": "x" * 5000}, "DIMSERVER_APP")):
        with pytest.raises(ConfigError, match=f"^{origin}: .* is not allowed; allowed: module"):
            load(line, environ)


# --- the file


def test_how_the_file_is_named(tmp_path: pathlib.Path) -> None:
    directory = str(tmp_path)
    for name in ("line", "variable"):
        (tmp_path / f"{name}.toml").write_text("port = 1\n")
    assert Sources({}, {}, directory).file is None
    both = Sources({"--config": "line.toml"}, {"DIMSERVER_CONFIG": "variable.toml"}, directory)
    assert both.file == f"{directory}/line.toml"
    assert both.load().origins == {"port": "line.toml:port"}
    variable = Sources({}, {"DIMSERVER_CONFIG": f"{directory}/variable.toml"}, "/")
    assert variable.load().origins == {"port": f"{directory}/variable.toml:port"}
    assert Sources({"--config": ""}, {"DIMSERVER_CONFIG": "variable.toml"}, directory).load().values == {}
    for line, environ, origin in (
        ({"--config": "no"}, {}, "--config"),
        ({}, {"DIMSERVER_CONFIG": "no"}, "DIMSERVER_CONFIG"),
    ):
        with pytest.raises(ConfigError, match=f"^{origin}: no such file: 'no'$"):
            Sources(line, environ, directory).load()
    with pytest.raises(ConfigError, match=r"^DIMSERVER_CONFIG: 'a\\x00b' is not allowed; allowed: a path$"):
        Sources({}, {"DIMSERVER_CONFIG": "a\0b"}, directory)
    (tmp_path / "line.toml").write_text('config = "variable.toml"\n')
    with pytest.raises(ConfigError, match=r"^unknown setting 'line.toml:config'"):  # a file does not name another
        both.load()


def test_it_is_loaded_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "site.toml"
    file.write_text('port = 1\nstatic = "www"\n')
    monkeypatch.chdir(tmp_path)
    environ = {"DIMSERVER_CONFIG": "site.toml", "DIMSERVER_SPOOL_DIR": "spool"}
    sources = Sources({"--threads": "3"}, environ)
    first = sources.load()
    assert changed(first) == {"port": 1, "static": f"{tmp_path}/www", "spool-dir": f"{tmp_path}/spool", "threads": 3}
    # Neither another directory nor what an app does to its environment changes what was said at the start.
    monkeypatch.chdir("/")
    environ["DIMSERVER_SPOOL_DIR"] = "elsewhere"
    assert sources.load().settings == first.settings
    file.write_text("port = 2\n")
    assert changed(sources.load()) == {"port": 2, "spool-dir": f"{tmp_path}/spool", "threads": 3}
    for text in ("port = 99999", "port", "prot = 1"):
        file.write_text(text)
        with pytest.raises(ConfigError):
            sources.load()
    file.unlink()
    with pytest.raises(ConfigError, match=r"^DIMSERVER_CONFIG: no such file: 'site.toml'"):
        sources.load()
    file.write_text("port = 3\n")
    assert sources.load().settings.port == 3
    assert first.settings.port == 1


def test_check_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text("port = 1\n")
    monkeypatch.setenv("DIMSERVER_DRAIN", "1")  # of no interest
    assert check_file("site.toml", str(tmp_path)).settings == Settings(port=1)
    with pytest.raises(ConfigError, match=r"^--check: a directory, not a file: '\.'$"):
        check_file(".", str(tmp_path))


def test_a_directory_that_is_gone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match=r"^the current directory cannot be used: "):
        Sources({}, {})
    monkeypatch.undo()


# --- the environment


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("DIMSERVER_PROT", "unknown setting 'DIMSERVER_PROT'; did you mean 'DIMSERVER_PORT'?"),
        ("DIMSERVER_port", "unknown setting 'DIMSERVER_port'; did you mean 'DIMSERVER_PORT'?"),
        ("DIMSERVER_LIMITHEAD", "unknown setting 'DIMSERVER_LIMITHEAD'; did you mean 'DIMSERVER_LIMIT_HEAD'?"),
        ("DIMSERVER_ZZZZZZ", "unknown setting 'DIMSERVER_ZZZZZZ'; `dimserver config` lists the known ones"),
        ("DIMSERVER_", "unknown setting 'DIMSERVER_'; `dimserver config` lists the known ones"),
    ],
)
def test_a_variable_that_is_none_of_ours(name: str, message: str, load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, {name: "hunter2"})
    assert str(caught.value) == message


def test_variables_of_others_are_left_alone(load: Load) -> None:
    environ = {
        "PATH": "/bin", "DIMSERVERS_PORT": "1", "dimserver_port": "1",
        # In a pod of Kubernetes beside a service named "dimserver":
        "DIMSERVER_SERVICE_HOST": "10.0.0.11", "DIMSERVER_SERVICE_PORT": "80", "DIMSERVER_SERVICE_PORT_HTTP": "80",
        "DIMSERVER_PORT": "tcp://10.0.0.11:80", "DIMSERVER_PORT_80_TCP": "tcp://10.0.0.11:80",
        "DIMSERVER_PORT_80_TCP_PROTO": "tcp", "DIMSERVER_PORT_80_TCP_PORT": "80",
        "DIMSERVER_PORT_80_TCP_ADDR": "10.0.0.11", "DIMSERVER_PORT_53_UDP": "udp://10.0.0.11:53",
    }  # fmt: skip
    assert load({}, environ).values == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DIMSERVER_PORT", "http://10.0.0.11:80"),
        ("DIMSERVER_PORT_HTTP", "80"),
        ("DIMSERVER_PORT_80_HTTP", "80"),
        ("DIMSERVER_PORT_80_TCP_NAME", "x"),
        ("DIMSERVER_PORT_80_TCP_PORT_X", "x"),
        ("DIMSERVER_SERVICE", "x"),
        ("DIMSERVER_SERVICE_HOST_X", "x"),
        ("DIMSERVER_SERVICES_PORT", "x"),
    ],
)
def test_what_only_looks_like_them_is_an_error(name: str, value: str, load: Load) -> None:
    with pytest.raises(ConfigError, match=name):
        load({}, {name: value})


def test_an_empty_variable(load: Load, tmp_path: pathlib.Path) -> None:
    assert changed(load({}, {"DIMSERVER_STATIC": ""}, 'static = "www"\n')) == {}
    with pytest.raises(ConfigError, match=r"^DIMSERVER_PORT: '' is not allowed; "):
        load({}, {"DIMSERVER_PORT": ""})


def test_bytes_that_are_no_utf8(load: Load, tmp_path: pathlib.Path) -> None:
    name = os.fsdecode(b"gr\xfc\xdfe")
    assert load({}, {"DIMSERVER_STATIC": name}).settings.static == f"{tmp_path}/{name}"


def test_the_two_rows_beside_the_table() -> None:
    assert not {APP.attribute, CONFIG.attribute} & {setting.attribute for setting in SETTINGS}
    assert APP.kind.read("shop:app") == "shop:app"
    assert all(row.what.endswith(".") and row.reason.endswith(".") for row in (APP, CONFIG))
