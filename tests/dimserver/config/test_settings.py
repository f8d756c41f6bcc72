"""The table of settings, and the object made from it."""

from __future__ import annotations

import subprocess
import sys
import typing

import pytest

from dimserver.config import BY_ATTRIBUTE, FIXED, SETTINGS, Settings, merge, read_values
from dimserver.config.tables import TableKind
from dimserver.config.types import Choice, Flag, Integer, Kind
from dimserver.errors import ConfigError

SCALARS = [setting for setting in SETTINGS if not isinstance(setting.kind, TableKind)]  # test_tables has the others


def test_names_are_unique_and_spelled_one_way() -> None:
    assert len(BY_ATTRIBUTE) == len(SETTINGS)
    for setting in SETTINGS:
        assert setting.name == setting.name.lower()
        assert setting.attribute == setting.name.replace("-", "_")
        assert setting.attribute.isidentifier()
        assert setting.option == f"--{setting.name}"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_row_is_complete(setting: typing.Any) -> None:
    assert isinstance(setting.kind, Kind)
    assert setting.what.endswith(".")
    assert setting.reason.endswith(".")
    assert (setting.what + setting.reason).isascii()
    assert setting.show_default()
    assert setting.kind.read(setting.default) == setting.default  # a default is a value that could be given


def test_the_rows_of_a_group_stand_together() -> None:
    seen: list[str] = []
    for setting in SETTINGS:
        if not seen or seen[-1] != setting.group:
            seen.append(setting.group)
    assert len(seen) == len(set(seen))


def test_what_a_reload_cannot_change() -> None:
    assert FIXED == ("host", "port", "uds", "uds_mode", "fd", "admin", "admin_mode", "pidfile", "reload")


def test_the_typed_attributes_are_those_of_the_table() -> None:
    hints = typing.get_type_hints(Settings)
    assert list(hints) == list(BY_ATTRIBUTE)
    settings = Settings()
    for name, hint in hints.items():
        value = getattr(settings, name)
        kinds = (hint,) if typing.get_origin(hint) is tuple else typing.get_args(hint) or (hint,)
        origins = tuple(typing.get_origin(kind) or kind for kind in kinds)
        assert type(value) in origins or (value is None and type(None) in origins), name


def test_defaults() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.timeout, settings.max_connections) == (300.0, 10_000)
    assert settings.limit_request_line == 8192
    assert settings.limit_head == 32768
    assert settings.limit_field == 8192
    assert settings.limit_fields == 100
    assert settings.limit_body == 16 * 1024 * 1024
    assert settings.admin_reserve == 16
    assert settings.drain == 30.0


def test_text_and_typed_values_are_read_alike() -> None:
    assert Settings(port="1", timeout="5m", api="true") == Settings(port=1, timeout=300, api=True)
    assert hash(Settings(port="1")) == hash(Settings(port=1))
    assert Settings(port=1) != Settings(port=2)
    assert Settings() != "settings"


def test_sources_are_merged_by_strength() -> None:
    file = read_values({"port": 1, "threads": 4}, lambda setting: setting.name)
    variables = read_values({"DIM_PORT": "2"}, lambda setting: "DIM_" + setting.attribute.upper())
    line = read_values({"--timeout": "3s"}, lambda setting: setting.option)
    settings = Settings(**{**file, **variables, **line})
    assert (settings.port, settings.threads, settings.timeout) == (2, 4, 3.0)


@pytest.mark.parametrize("setting", SCALARS, ids=lambda setting: setting.name)
def test_a_bad_value_names_the_setting_the_value_and_what_is_allowed(setting: typing.Any) -> None:
    bad = "a\0b c" if not isinstance(setting.kind, (Integer, Choice, Flag)) else "nonsense"
    with pytest.raises(ConfigError) as caught:
        read_values({setting.option: bad}, lambda each: each.option)
    text = str(caught.value)
    assert text.startswith(setting.option + ": ")
    assert setting.kind.allowed() in text
    assert (repr(bad) in text) == (setting.name != "api-token")  # a secret is not repeated
    assert "\n" not in text


def test_a_long_value_is_not_repeated_in_full() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(port="x" * 100_000)
    assert len(str(caught.value)) < 300


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'prt'; did you mean 'port'\?"):
        Settings(prt=1)
    with pytest.raises(ConfigError, match=r"unknown setting 'zzzzzz'; `dimserver config` lists the known ones$"):
        Settings(zzzzzz=1)


def test_workers_are_a_number_or_auto() -> None:
    assert Settings(workers="4").workers == 4
    assert Settings(workers="auto").workers == 0
    for value in ("0x2", "-1", "513", 1.5, "Auto"):
        with pytest.raises(ConfigError, match="allowed: a whole number from 1 to 512, or auto"):
            Settings(workers=value)


def test_two_listeners_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="uds and fd"):
        Settings(uds="/tmp/x", fd=3)


def test_settings_are_read_only() -> None:
    settings = Settings()
    with pytest.raises(AttributeError, match="read-only"):
        settings.port = 1
    with pytest.raises(AttributeError, match="read-only"):
        del settings.port
    with pytest.raises(AttributeError):
        settings.nonsense = 1
    changed = settings.replace(port=1)
    assert (settings.port, changed.port) == (8080, 1)
    with pytest.raises(ConfigError):
        settings.replace(port=-1)


def test_repr_shows_changes_and_no_secret() -> None:
    text = repr(Settings(port=1, api_token="hunter2"))
    assert text == "Settings(port=1, api_token=set)"


@pytest.mark.parametrize(
    ("weaker", "stronger", "merged"),
    [
        ({}, {}, {}),
        ({"threads": 2, "drain": 1}, {"threads": 3}, {"threads": 3, "drain": 1}),
        ({"uds": "/a"}, {"threads": 3}, {"uds": "/a", "threads": 3}),
        ({"uds": "/a"}, {"port": 0}, {"port": 0}),
        ({"uds": "/a", "host": "::1"}, {"port": 1}, {"host": "::1", "port": 1}),
        ({"fd": 3}, {"uds": "/a"}, {"uds": "/a"}),
        ({"fd": 3}, {"host": "::1"}, {"host": "::1"}),
        ({"host": "::1", "port": 1}, {"fd": 0}, {"host": "::1", "port": 1, "fd": 0}),
        ({"uds": "/a"}, {"fd": None}, {"uds": "/a", "fd": None}),
    ],
)
def test_merge(weaker: dict[str, object], stronger: dict[str, object], merged: dict[str, object]) -> None:
    given = dict(weaker), dict(stronger)
    assert merge(weaker, stronger) == merged
    assert (weaker, stronger) == given
    Settings(**merged)


def test_import_stays_light() -> None:
    # Start-up counts; what only mistakes need is imported when one is made.
    script = "import sys; before = set(sys.modules); import dimserver.config; print(*(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"argparse", "asyncio", "dataclasses", "difflib", "email", "importlib.metadata", "inspect", "ssl"}
    assert not heavy & set(out.stdout.split())
