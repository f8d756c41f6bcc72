"""The types of what a program gives: those of the table, and true to what is taken."""

from __future__ import annotations

import inspect
import pathlib
import subprocess
import sys
import types
import typing

import pytest

from dimserver import App
from dimserver.config import BY_ATTRIBUTE, SETTINGS, Settings, keywords
from dimserver.config.routing import ROUTE_ROWS
from dimserver.config.write_keywords import module
from dimserver.routes import OPTIONS, Routes

COMMAND = "python -m dimserver.config.write_keywords > src/dimserver/config/keywords.py"


def test_the_module_is_up_to_date() -> None:
    assert pathlib.Path(keywords.__file__).read_text(encoding="utf-8") == module(), f"write it anew: {COMMAND}"


def test_the_command_writes_it() -> None:
    words = [sys.executable, "-m", "dimserver.config.write_keywords"]
    done = subprocess.run(words, capture_output=True, timeout=30, check=True)
    assert done.stdout.decode() == module()


def test_every_setting_and_option_is_in_it() -> None:
    assert list(typing.get_type_hints(keywords.SettingsKeywords)) == list(BY_ATTRIBUTE)
    assert list(typing.get_type_hints(keywords.RouteKeywords)) == [row.attribute for row in ROUTE_ROWS]
    assert keywords.RouteKeywords.__required_keys__ == {"pattern"}
    assert tuple(typing.get_type_hints(keywords.RouteOptions)) == OPTIONS
    taken = list(inspect.signature(Routes.register).parameters)
    assert taken == ["self", "method", "pattern", "handler", *OPTIONS]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_what_it_says_is_taken(setting: typing.Any, other: dict[str, str]) -> None:
    text = other.get(setting.name, "X: y" if setting.name == "header" else "/x")
    value = getattr(Settings(**{setting.attribute: text}), setting.attribute)
    hint = typing.get_type_hints(keywords.SettingsKeywords)[setting.attribute]
    union = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = [typing.get_origin(each) or each for each in union]
    for given in (value, text, None if type(None) in kinds else text):
        assert any((kind is float and type(given) is int) or isinstance(given, kind) for kind in kinds), (given, kinds)
        assert App(**{setting.attribute: given}).defaults == {setting.attribute: given}
    if any(getattr(kind, "__name__", "") == "PathLike" for kind in kinds):
        App(**{setting.attribute: pathlib.Path("/x")})
    if list in kinds:
        App(**{setting.attribute: list(value)})
