"""The reference of settings: complete, and the one in the documentation is of this table."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from dimserver.config import SETTINGS
from dimserver.config.reference import EXAMPLE, markdown
from dimserver.config.sources import check_file

DOCUMENT = pathlib.Path(__file__).parents[3] / "docs" / "settings.md"
COMMAND = "python -m dimserver.config.reference > docs/settings.md"


def test_every_setting_is_in_it() -> None:
    text = markdown()
    for setting in SETTINGS:
        assert text.count(f"### `{setting.name}`\n\n{setting.what}\n") == 1
        assert f"`{setting.variable}`, key `{setting.name}` with a" in text
        assert f"- Default: {setting.show_default()}\n- Why: {setting.reason}\n- Type: {setting.kind.type}" in text
        assert f"; allowed: {setting.kind.allowed()}\n" in text
        at_reload = "stays as it is; a change needs a restart" if setting.fixed else "takes effect"
        written = text.partition(f"### `{setting.name}`\n")[2].partition("\n### ")[0]
        assert f"- At a reload: {at_reload}\n" in written
    assert "`--api` or `--no-api`, `DIMSERVER_API`, key `api` with a boolean" in text
    assert "`--limit-body BYTES`, `DIMSERVER_LIMIT_BODY`, key `limit-body` with an integer or a string" in text
    assert f"`{COMMAND}`" in text


@pytest.mark.skipif(sys.platform != "linux", reason="the path of a socket has another length elsewhere")
def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(), f"write it anew: {COMMAND}"


def test_the_command_writes_it() -> None:
    words = [sys.executable, "-m", "dimserver.config.reference"]
    done = subprocess.run(words, capture_output=True, timeout=30, check=True)
    assert done.stdout.decode() == markdown()


def test_its_example_is_right(tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.toml").write_text(EXAMPLE)
    loaded = check_file("site.toml", str(tmp_path))
    assert loaded.app == "shop:app"
    assert len(loaded.values) == EXAMPLE.count("\n") - 1
    assert EXAMPLE in markdown()
