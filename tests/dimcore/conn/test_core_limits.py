"""Limits of a core: what is allowed, and that a mistake changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dimcore import ConnectionPoolManifold, Core, RequestSubstrate, UsageError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 0),
        ("max_connections", 1 << 25),
        ("admin_reserve", -1),
        ("max_per_address", -1),
        ("max_body", -1),
        ("body_memory", -1),
        ("request_line", 15),
        ("head", 63),
        ("field", 65_536),
        ("fields", 101),
        ("body_rate", -1),
        ("send_rate", 1 << 63),
    ],
)
def test_ranges(name: str, value: int) -> None:
    core = Core(ConnectionPoolManifold(), RequestSubstrate())
    limits: dict[str, Any] = {name: value}
    with pytest.raises((UsageError, OverflowError)) as refused:
        core.configure(**limits)
    if refused.type is UsageError:
        assert str(refused.value).startswith(f"{name} is {value}; ")


@pytest.mark.parametrize("value", [-0.1, 1_000_000_001])
def test_times(value: float) -> None:
    core = Core(ConnectionPoolManifold(), RequestSubstrate())
    with pytest.raises(UsageError, match="limit idle is"):
        core.configure(seconds={"idle": value})


def test_a_name_that_is_none() -> None:
    core = Core(ConnectionPoolManifold(), RequestSubstrate())
    with pytest.raises(UsageError, match="no time limit is called 'idel'; there are connect, handshake, "):
        core.configure(seconds={"idel": 1})
