"""Servers that are stopped at the end of a test, and another value of each setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.servers import Child, Local

from dimserver import App
from dimserver.config import SETTINGS, Setting
from dimserver.config.tables import TableKind
from dimserver.config.types import (
    Charset,
    Choice,
    Duration,
    Endpoint,
    FieldName,
    Flag,
    Hosts,
    Integer,
    Kind,
    Mode,
    Name,
    Networks,
    Size,
    SocketPath,
    Token,
)

# A value of each setting that is not its default, as text: by name where its kind does not tell one.
OTHER = {
    "static": ".",
    "api-token-file": "./token",
    "spool-dir": ".",
    "port": "1",
    "fd": "7",
    "pubsub": "valkey://localhost:6379/1",
    "pubsub-prefix": "other:",
    "pidfile": "./pid",
    "access-log-file": "./log",
    "log-file": "./log",
    "root-path": "/below",
    "threads": "7",
}
OF_A_KIND: dict[type[Kind], str] = {
    Duration: "700ms",
    Size: "4KiB",
    Mode: "0640",
    Name: "::1",
    Endpoint: "[::1]:9",
    SocketPath: "./x",
    Token: "secret",
    Networks: "10.0.0.0/8,unix",
    Hosts: "my.host,10.0.0.1",
    FieldName: "X-Request-Id",
    Charset: "utf-8",
}
# Settings with one value only, and those that are tables: dimserver/config/test_tables looks at them.
FIXED: set[str] = {setting.name for setting in SETTINGS if isinstance(setting.kind, TableKind)}


def other_value(setting: Setting) -> str:
    """As text, a value of `setting` that is not its default."""
    kind, default = setting.kind, setting.default
    if setting.name in OTHER:
        return OTHER[setting.name]
    if isinstance(kind, Choice):
        return next(word for word in kind.words if word != default)
    if isinstance(kind, Flag):
        return "false" if default else "true"
    if isinstance(kind, Integer):
        return str(next(number for number in (7, 8, kind.high, kind.low) if kind.low <= number <= kind.high))
    for of, text in OF_A_KIND.items():
        if isinstance(kind, of) and kind.read(text) != default:
            return text
    raise AssertionError(f"say in OTHER what {setting.name} may be besides its default")


@pytest.fixture(scope="session")
def other() -> dict[str, str]:
    """Of each setting that has more than one value: its name, and a value as text that is not its default."""
    return {setting.name: other_value(setting) for setting in SETTINGS if setting.name not in FIXED}


@pytest.fixture
def serve() -> Iterator[Callable[..., Local]]:
    """``serve(app, **settings)`` starts a `Local`, stopped at the end."""
    running: list[Local] = []

    def start(app: App | None = None, **settings: object) -> Local:
        running.append(Local(app, **settings))
        return running[-1]

    yield start
    for server in running:
        for wire in server.wires:  # first: a stop waits for who still sends
            wire.close()
        server.stop()


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """``child("run", …)`` starts a `Child`, killed at the end if it still runs."""
    running: list[Child] = []

    def start(*words: str, **options: Any) -> Child:
        running.append(Child(*words, **options))
        return running[-1]

    yield start
    for process in running:
        if process.process.poll() is None:
            process.process.kill()
        for stream in (process.process.stdout, process.process.stderr):
            stream.close()
        process.process.wait()
        for wire in process.wires:
            wire.close()
