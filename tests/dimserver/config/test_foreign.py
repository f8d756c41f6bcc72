"""The options of other servers, and slips of the fingers."""

from __future__ import annotations

import importlib
import re

import pytest

from dimserver.config import SETTINGS, read_values
from dimserver.config.foreign import FOREIGN, advice, near
from dimserver.config.sources import CONFIG
from dimserver.errors import ConfigError

OURS = {setting.option for setting in (*SETTINGS, CONFIG)} | {"--app", "--version", "--help", "--check"}
NAMES = [setting.name for setting in SETTINGS]

# Of servers that are not installed with the tests.
HYPERCORN = """access-log access-logfile access-logformat backlog bind ca-certs certfile cert-reqs ciphers config debug
    error-log error-logfile graceful-timeout read-timeout max-requests max-requests-jitter group worker-class keep-alive
    keyfile keyfile-password insecure-bind log-config log-level pid quic-bind reload root-path server-name statsd-host
    statsd-prefix umask user verify-mode websocket-ping-interval workers"""
DAPHNE = """port host unix-socket fd endpoint verbosity http-timeout access-log ping-interval ping-timeout
    websocket_timeout websocket_connect_timeout application-close-timeout ws-protocol root-path proxy-headers"""


@pytest.mark.parametrize("word", FOREIGN)
def test_an_answer_names_options_that_exist(word: str) -> None:
    assert f"--{word}" not in OURS, "it is an option of ours by now"
    answer = FOREIGN[word]
    assert set(re.findall(r"(?<!\w)--[a-z][a-z-]*", answer)) <= OURS
    assert len(answer) < 130
    assert not answer.endswith(".")


def known(option: str) -> bool:
    return option.replace("_", "-") in OURS or advice(option) != ""


def test_every_option_of_gunicorn() -> None:
    config = importlib.import_module("gunicorn.config")
    options = [option for setting in config.KNOWN_SETTINGS for option in setting.cli or ()]
    assert len(options) > 80
    assert [option for option in options if not known(option)] == []


@pytest.mark.parametrize(("module", "command"), [("uvicorn.main", "main"), ("granian.cli", "cli")])
def test_every_option_of_uvicorn_and_granian(module: str, command: str) -> None:
    found = getattr(pytest.importorskip(module) and importlib.import_module(module), command)
    options = [option for each in found.params for option in each.opts + each.secondary_opts if option[0] == "-"]
    assert len(options) > 40
    # What begins with --no- is the other half of an option of ours.
    assert [each for each in options if not known(each) and not known(each.replace("--no-", "--"))] == []


@pytest.mark.parametrize("option", (HYPERCORN + " " + DAPHNE).split())
def test_every_option_of_hypercorn_and_daphne(option: str) -> None:
    assert known(f"--{option}")


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("--ssl-keyfile", "TLS"), ("ssl_keyfile", "TLS"), ("SSL_KEYFILE", "TLS"), ("-w", "--workers"),
        ("--bind", "--uds"), ("--timeout-keep-alive", "--timeout"), ("--limit-max-requests", "--recycle-requests"),
    ],
)  # fmt: skip
def test_advice(word: str, answer: str) -> None:
    assert answer in advice(word)


def test_advice_is_for_whole_words() -> None:
    assert advice("--ssl") == advice("--port") == advice("") == advice("----") == ""


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("prot", "port"), ("PORT", "port"), ("thread", "threads"), ("limit_head", "limit-head"),
        ("limithead", "limit-head"), ("max-conn", "max-connections"), ("hots", "host"), ("acces-log", "access-log"),
        ("--port", "port"),
    ],
)  # fmt: skip
def test_a_slip(word: str, meant: str) -> None:
    assert near(word, NAMES) == meant


@pytest.mark.parametrize(
    "word",
    ["ssl-keyfile", "key-file", "log-dir", "max-body", "rate", "cert", "admin-port", "log", "http2", "limit", "x", ""],
)
def test_no_slip(word: str) -> None:
    assert near(word, NAMES) is None


def test_every_source_gives_the_answer() -> None:
    for spelled, where in (("ssl-keyfile", "site.toml:"), ("SSL_KEYFILE", "DIMSERVER_"), ("ssl_keyfile", "")):
        with pytest.raises(ConfigError, match=r"unknown setting .*; dimserver speaks plain HTTP"):
            read_values({spelled: "x"}, lambda setting: setting.name, where)
