"""Rows of connections: which, in which order, what they say, and what happens between slices."""

from __future__ import annotations

import gc
import json
import pathlib
import socket
import time
import weakref
from typing import Any

import pytest

from dimcore import ConnectionPoint, Index, InvalidCoordinate, Point, Roll, Site, UsageError

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
NAMES = ("http", "websocket", "api", "admin")


def fill(cells: dict[tuple[int, int], int]) -> Index:
    """An index with so many connections at each cell; ids number them in the order they came."""
    index = Index()
    number = 0
    for (spiral, layer), count in cells.items():
        for _ in range(count):
            index.add(ConnectionPoint(f"c{number}", None, ("203.0.113.9", number)), spiral, layer)
            number += 1
    return index


def rows(index: Index, spirals: Any = range(64), layers: Any = range(1, 8), limit: int = 99, worker: int = 0) -> Any:
    return [json.loads(text) for part in Roll(index, worker, NAMES, spirals, layers, limit) for _, _, text in part]


def test_a_row_of_a_point_of_a_programs_own() -> None:
    index = Index()
    index.add(ConnectionPoint('a"\\\n\u00e9', None, "/run/\u00e9.sock"), 3, 3)
    (row,) = rows(index, worker=2)
    assert 0 <= row.pop("age") < 1
    assert 0 <= row.pop("idle") < 1
    assert row == {
        "id": '2-a"\\\n\u00e9',
        "worker": 2,
        "client": "unix:/run/\u00e9.sock",
        "proxy": None,
        "spiral": 3,
        "pool": "admin",
        "layer": 3,
        "layer_name": "active",
        "requests": 0,
        "bytes_in": 0,
        "bytes_out": 0,
        "stage": None,
    }


@pytest.mark.parametrize(
    ("address", "client"),
    [
        (("203.0.113.9", 40000), "203.0.113.9:40000"),
        (("2001:db8::1", 1), "[2001:db8::1]:1"),
        (("2001:db8::1", 1, 0, 0), "[2001:db8::1]:1"),
        (None, "unix"),
        ("", "unix"),
    ],
)
def test_clients(address: Any, client: str) -> None:
    index = Index()
    index.add(ConnectionPoint(None, None, address), 0, 4)
    (row,) = rows(index)
    assert row["client"] == client
    assert row["id"] == f"0-{next(iter(index.get_at(0, 4))).id}"


def test_pools_without_a_name() -> None:
    index = fill({(3, 1): 1, (4, 1): 1, (63, 1): 1})
    assert [row["pool"] for row in rows(index)] == ["admin", "spiral_4", "spiral_63"]


def test_age_and_idle() -> None:
    index = fill({(0, 3): 1})
    time.sleep(0.03)
    index.move("c0", 0, 4)
    time.sleep(0.01)
    (row,) = rows(index)
    assert row["layer_name"] == "idle"
    assert 0.01 <= row["idle"] <= row["age"] - 0.025


@pytest.mark.parametrize(
    ("spirals", "layers", "limit", "ids"),
    [
        ([0], range(1, 8), 99, "56701234"),  # layer by layer, in a cell the oldest first
        (range(4), [3], 99, "5678"),
        (range(4), range(1, 8), 4, "5670"),
        (range(4), range(1, 8), 99, "567012348"),
        (range(4), range(1, 8), 0, ""),
        ([1], range(1, 8), 99, ""),
        ([0], [4], 2, "01"),
        ([0, 7], [4], 2, "01"),  # a pool that another worker has
    ],
)
def test_which(spirals: Any, layers: Any, limit: int, ids: str) -> None:
    index = fill({(0, 4): 5, (0, 3): 3, (3, 3): 1})
    assert "".join(row["id"].removeprefix("0-c") for row in rows(index, spirals, layers, limit)) == ids


def test_rows_compare_as_they_are_to_stand() -> None:
    index = fill({(1, 2): 2, (0, 4): 5, (0, 3): 3})
    found = [row for part in Roll(index, 0, NAMES, range(4), range(1, 8), 99) for row in part]
    assert found == sorted(found)
    assert len({cell for cell, _, _ in found}) == 3


def test_points_that_are_no_connections_are_passed_over() -> None:
    index = fill({(0, 3): 1})
    index.add(Point(), 0, 3)
    index.add(ConnectionPoint("last"), 0, 3)
    assert [row["id"] for row in rows(index, limit=2)] == ["0-c0", "0-last"]


def test_slices_are_short() -> None:
    index = fill({(0, 4): 2000})
    parts = list(Roll(index, 0, NAMES, [0], [4], 2000, slice_us=50))
    assert sum(map(len, parts)) == 2000
    assert len(parts) > 5
    assert [len(part) for part in Roll(index, 0, NAMES, [0], [4], 3, slice_us=0)] == [1, 1, 1]


def test_what_happens_between_slices() -> None:
    """Who is listed, and where, is settled at first; who has left is left out; nobody comes twice."""
    index = fill({(0, 3): 3, (0, 4): 3})
    roll = Roll(index, 0, NAMES, range(4), range(1, 8), 99, slice_us=0)
    found = next(roll)
    index.move("c0", 0, 4)  # listed already
    index.move("c5", 0, 3)
    index.remove("c1")
    index.add(ConnectionPoint("new"), 0, 3)
    parts = list(roll)
    assert [] in parts
    listed = [json.loads(text) for part in [found, *parts] for _, _, text in part]
    assert [(row["id"], row["layer"]) for row in listed] == [
        ("0-c0", 3), ("0-c2", 3), ("0-c3", 4), ("0-c4", 4), ("0-c5", 4),
    ]  # fmt: skip


def test_it_lets_go_of_its_points() -> None:
    class Mine(ConnectionPoint):
        pass

    for finish in (True, False):
        index = Index()
        point = Mine("mine")
        index.add(point, 0, 3)
        roll: Roll | None = Roll(index, 0, NAMES, [0], [3], 9)
        gone = weakref.ref(point)
        del index, point
        assert roll is not None
        assert gone() is not None
        if finish:
            assert list(roll) == [[]]  # its index is gone, and so it has left
            assert list(roll) == []
        else:
            roll = None
        gc.collect()
        assert gone() is None


def test_bad_arguments() -> None:
    for spirals, layers in (([64], [1]), ([-1], [1]), ([0], [0]), ([0], [8])):
        with pytest.raises(InvalidCoordinate):
            Roll(Index(), 0, NAMES, spirals, layers, 9)
    with pytest.raises(UsageError, match="0 or more, got -1"):
        Roll(Index(), 0, NAMES, [0], [1], -1)


# --- live connections -----------------------------------------------------------------------------------


def test_a_live_connection(serve: Any) -> None:
    rig = serve({"GET /": lambda request: "hello", "GET !/slow": lambda request: "done"})
    idle, busy = rig.connect(), rig.connect()
    idle.ask()
    busy.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
    first, second = rows(rig.core.pools.index, worker=3)
    assert (first["layer_name"], first["stage"], first["requests"]) == ("active", "routed", 1)
    assert (second["layer_name"], second["stage"], second["requests"]) == ("idle", None, 1)
    for row, client in ((first, busy), (second, idle)):
        host, port = client.sock.getsockname()
        connection = rig.core.pools.index.get_by_id(row["id"].removeprefix("3-"))
        assert row["client"] == f"{host}:{port}"
        assert (row["bytes_in"], row["bytes_out"]) == (connection.bytes_in, connection.bytes_out) != (0, 0)
        assert row["proxy"] is None
    rig.run_job()


def test_a_client_of_a_unix_socket(serve: Any, tmp_path: pathlib.Path) -> None:
    rig = serve()
    rig.connect(rig.listen(Site(rig.core, rig.router), socket.AF_UNIX, str(tmp_path / "s"))).ask()
    (row,) = rows(rig.core.pools.index)
    assert row["client"] == "unix"


def test_a_client_that_its_proxy_named(serve: Any) -> None:
    rig = serve()
    rig.listen(Site(rig.core, rig.router, trusts=lambda peer: True))
    for source, shown in (("203.0.113.9", "203.0.113.9:7"), ("2001:db8::9", "[2001:db8::9]:7")):
        family = "TCP6" if ":" in source else "TCP4"
        client = rig.connect(rig.listeners[-1])
        client.ask(f"PROXY {family} {source} {source} 7 80\r\n".encode() + GET)
        host, port = client.sock.getsockname()
        row = rows(rig.core.pools.index, layers=[4])[-1]
        assert (row["client"], row["proxy"]) == (shown, f"{host}:{port}")


def test_a_connection_that_closes_between_slices(serve: Any) -> None:
    rig = serve()
    clients = [rig.connect() for _ in range(3)]
    for client in clients:
        client.ask()
    roll = Roll(rig.core.pools.index, 0, NAMES, [0], [4], 9, slice_us=0)
    parts = [next(roll)]
    clients[1].reset()
    rig.connections()[-1].close()
    parts += roll
    assert [len(part) for part in parts] == [1, 0, 0]
