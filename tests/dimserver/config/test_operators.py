"""The operator's token, and the listeners that must not be without one."""

from __future__ import annotations

import pathlib

import pytest

from dimserver.config import Settings, api_warning, check_admin, merge, operator_token
from dimserver.errors import ConfigError


def test_the_token_is_given_or_in_a_file(tmp_path: pathlib.Path) -> None:
    assert operator_token(Settings()) is None
    assert operator_token(Settings(api_token="abc")) == "abc"
    file = tmp_path / "token"
    for text in ("s3cret", "s3cret\n", "  s3cret \r\n\n"):
        file.write_text(text)
        assert operator_token(Settings(api_token_file=file)) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", b"a\nb", "tokén".encode(), b"\xff\xfe", b"x" * 5000, b"a\0b"])
def test_a_file_without_a_token(tmp_path: pathlib.Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold a token; allowed: one line of letters") as caught:
        operator_token(Settings(api_token_file=file))
    assert "\n" not in str(caught.value)
    if len(content) > 1:
        assert content[:5].decode("latin-1") not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    for path, trouble in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=f"^--api-token-file: {trouble}.*: '{path}'$"):
            operator_token(Settings(api_token_file=path))
    with pytest.raises(ConfigError, match=r"^site\.toml:api-token-file: "):
        operator_token(Settings(api_token_file="/none/none"), {"api_token_file": "site.toml:api-token-file"})


def test_one_source_gives_one_of_them_and_the_stronger_source_counts() -> None:
    with pytest.raises(ConfigError, match="api_token and api_token_file exclude each other"):
        Settings(api_token="a", api_token_file="b")
    assert merge({"api_token": "a"}, {"api_token_file": "b"}) == {"api_token_file": "b"}
    assert merge({"api_token_file": "b"}, {"api_token": "a"}) == {"api_token": "a"}
    assert merge({"api_token_file": "b"}, {"port": 1}) == {"api_token_file": "b", "port": 1}


@pytest.mark.parametrize("admin", ["0.0.0.0:9000", "[::]:9000", "10.0.0.1:0", "ops.example:9000", "*:9000"])
def test_an_admin_listener_for_the_network_needs_a_token(admin: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"^--admin: anybody who reaches .* could stop the server; set api-token"):
        check_admin(Settings(admin=admin))
    check_admin(Settings(admin=admin, api_token="x"))
    (tmp_path / "token").write_text("x")
    check_admin(Settings(admin=admin, api_token_file=tmp_path / "token"))


@pytest.mark.parametrize("admin", [None, "127.0.0.1:9000", "127.3.2.1:0", "[::1]:9000", "localhost:9000", "./admin"])
def test_others_do_not(admin: str | None) -> None:
    check_admin(Settings(admin=admin))


def test_the_api_beside_an_app_without_a_token() -> None:
    text = api_warning(True, Settings(api=True))
    assert text is not None
    assert "--admin" in text
    assert "--api-token" in text
    assert api_warning(False, Settings(api=True)) is None
    assert api_warning(True, Settings()) is None
    assert api_warning(True, Settings(api=True, api_token="x")) is None
    assert api_warning(True, Settings(api=True, api_token_file="x")) is None
