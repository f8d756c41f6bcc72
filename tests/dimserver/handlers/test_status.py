"""The built-in endpoints, over fakes of the index and the request."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dimserver.handlers.status import LAYERS, MAX_LISTED, POOLS, StatusAPI

LOCAL = ("127.0.0.1", 40000)
REMOTE = ("203.0.113.9", 40000)


class Connection:
    def __init__(
        self, number: int = 1, spiral: int = 0, layer: int = 4, address: tuple[str, int] | str | None = LOCAL
    ) -> None:
        self.id = f"{number:x}"
        self.spiral = spiral
        self.layer = layer
        self.address = address
        self.age_seconds = 12.34567
        self.idle_seconds = 1.5
        self.requests = 3
        self.bytes_in = 300
        self.bytes_out = 900
        self.request: Any = None


class Cell(list[Connection]):
    """Counts how many of its points were looked at."""

    walked = 0

    def __iter__(self) -> Iterator[Connection]:
        for point in super().__iter__():
            self.walked += 1
            yield point


class Index:
    def __init__(self, spirals: int = 4) -> None:
        self.spirals = spirals
        self.cells: dict[tuple[int, int], Cell] = {}

    def add(self, point: Connection) -> None:
        self.cells.setdefault((point.spiral, point.layer), Cell()).append(point)

    def count_at(self, spiral: int, layer: int) -> int:
        return len(self.cells.get((spiral, layer), ()))

    def get_at(self, spiral: int, layer: int) -> Cell:
        return self.cells.get((spiral, layer), Cell())


class Stats:
    def __init__(self, index: Index, stats: dict[str, Any]) -> None:
        self.index = index
        self.stats = stats

    def get_stats(self) -> dict[str, Any]:
        return self.stats


class Options:
    api_token: str | None = None


class Context:
    def __init__(self) -> None:
        index = Index()
        self.pools = Stats(index, {"spiral_0": {"total_connections": 2}})
        self.pipeline = Stats(index, {"total_requests": 5, "success_rate": 100.0})
        self.settings = Options()
        self.started = time.monotonic() - 60
        self.workers = 1
        self.version = "1.2.3"


class Headers:
    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.fields = fields

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.fields)


class Query:
    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs


class Request:
    def __init__(self, query: str = "", connection: Connection | None = None, **fields: str | list[str]) -> None:
        self.query_params = Query(
            [(pair.partition("=")[0], pair.partition("=")[2]) for pair in query.split("&") if pair]
        )
        self.connection = connection
        each = [(name, [value] if isinstance(value, str) else value) for name, value in fields.items()]
        self.headers = Headers([(name.replace("_", "-"), value) for name, values in each for value in values])


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def api(context: Context) -> StatusAPI:
    return StatusAPI(context)


def local(query: str = "") -> Request:
    return Request(query, Connection())


def read(answer: tuple[int, dict[str, str], bytes], status: int = 200) -> Any:
    assert answer[0] == status
    assert answer[1]["Content-Type"] == "application/json"
    assert answer[1]["Cache-Control"] == "no-store"
    return json.loads(answer[2])


def test_routes(api: StatusAPI) -> None:
    assert [(method, path) for method, path, _ in api.routes()] == [
        ("GET", "/api/status"),
        ("GET", "/api/stats"),
        ("GET", "/api/connections"),
        ("GET", "/api/manifold/evaluate"),
    ]


def test_status_is_for_anybody(api: StatusAPI) -> None:
    found = read(api.status(Request(connection=Connection(address=REMOTE))))
    assert found["status"] == "online"
    assert found["version"] == "1.2.3"
    assert found["workers"] == 1
    assert 60 <= found["uptime"] < 90


def test_stats(api: StatusAPI) -> None:
    assert read(api.stats(local())) == {
        "connections": {"spiral_0": {"total_connections": 2}},
        "requests": {"total_requests": 5, "success_rate": 100.0},
    }


def fill(context: Context) -> None:
    index = context.pools.index
    for number in range(5):
        index.add(Connection(number, 0, 4, ("2001:db8::1", number)))
    for number in range(5, 8):
        index.add(Connection(number, 0, 3, REMOTE))
    index.add(Connection(8, 3, 3, None))


def test_connections_counts(api: StatusAPI, context: Context) -> None:
    fill(context)
    found = read(api.connections(local()))
    assert found["total_connections"] == 9
    assert [pool["name"] for pool in found["pools"]] == list(POOLS)
    assert found["pools"][0] == {
        "spiral": 0,
        "name": "http",
        "total": 8,
        "layers": {"new": 0, "handshake": 0, "active": 3, "idle": 5, "closing": 0, "closed": 0, "archived": 0},
    }
    assert "points" not in found
    assert not any(cell.walked for cell in context.pools.index.cells.values())


def test_connections_lists_points(api: StatusAPI, context: Context) -> None:
    fill(context)
    busy = context.pools.index.cells[3, 3][0]
    busy.request = type("Stage", (), {"stage_name": "routed"})()
    found = read(api.connections(local("spiral=3&layer=3")))
    assert found["matching"] == 1
    assert found["points"] == [
        {
            "id": "8",
            "client": "unix",
            "spiral": 3,
            "pool": "admin",
            "layer": 3,
            "layer_name": "active",
            "age": 12.346,
            "idle": 1.5,
            "requests": 3,
            "bytes_in": 300,
            "bytes_out": 900,
            "stage": "routed",
        }
    ]
    found = read(api.connections(local("spiral=0&layer=4")))
    assert [point["client"] for point in found["points"]] == [f"[2001:db8::1]:{port}" for port in range(5)]
    assert [point["stage"] for point in found["points"]] == [None] * 5


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("spiral=0", "56701234"),  # layer by layer, in a cell the oldest first
        ("layer=3", "5678"),
        ("limit=4", "5670"),
        ("limit=10000", "567012348"),
        ("limit=0", ""),
        ("spiral=1", ""),
        ("spiral=0&layer=4&limit=2", "01"),
    ],
)
def test_connections_filters(api: StatusAPI, context: Context, query: str, ids: str) -> None:
    fill(context)
    assert "".join(point["id"] for point in read(api.connections(local(query)))["points"]) == ids


def test_a_limit_bounds_the_walk_too(api: StatusAPI, context: Context) -> None:
    for number in range(1000):
        context.pools.index.add(Connection(number, 0, 4))
        context.pools.index.add(Connection(number, 1, 4))
    found = read(api.connections(local("layer=4")))
    assert (len(found["points"]), found["limit"], found["matching"]) == (100, 100, 2000)
    assert context.pools.index.cells[0, 4].walked <= 101
    assert context.pools.index.cells[1, 4].walked == 0


def test_more_pools_than_the_four_usual_ones(api: StatusAPI, context: Context) -> None:
    context.pools.index.spirals = 6
    context.pools.index.add(Connection(1, 5, 3))
    found = read(api.connections(local("spiral=5")))
    assert found["pools"][5]["name"] == "spiral_5"
    assert found["points"][0]["pool"] == "spiral_5"


@pytest.mark.parametrize(
    ("query", "parameter", "allowed"),
    [
        ("spiral=4", "spiral", "a whole number from 0 to 3"),
        ("spiral=-1", "spiral", "a whole number from 0 to 3"),
        ("spiral=", "spiral", "a whole number from 0 to 3"),
        ("spiral=1_0", "spiral", "a whole number from 0 to 3"),
        ("spiral=١", "spiral", "a whole number from 0 to 3"),
        ("spiral=" + "9" * 5000, "spiral", "a whole number from 0 to 3"),
        ("layer=0", "layer", "a whole number from 1 to 7"),
        ("layer=8", "layer", "a whole number from 1 to 7"),
        ("layer=idle", "layer", "a whole number from 1 to 7"),
        ("spiral=0&spiral=0", "spiral", "once"),
        ("sprial=0", "sprial", "no such parameter"),
    ],
)
def test_bad_parameters_are_named(api: StatusAPI, query: str, parameter: str, allowed: str) -> None:
    for handler in (api.connections, api.evaluate):
        found = read(handler(local(query)), 400)
        assert found["error"] == "bad parameter"
        assert found["parameter"] == parameter
        assert found["value"] == query.rpartition("=")[2][:100]
        assert found["allowed"].startswith(allowed)


@pytest.mark.parametrize("limit", [f"{MAX_LISTED + 1}", "x", "-1", "1.5"])
def test_bad_limits(api: StatusAPI, limit: str) -> None:
    found = read(api.connections(local(f"limit={limit}")), 400)
    assert (found["parameter"], found["value"]) == ("limit", limit)
    assert found["allowed"] == f"a whole number from 0 to {MAX_LISTED}"


def test_evaluate(api: StatusAPI, context: Context) -> None:
    fill(context)
    remote = Connection(address=REMOTE)
    found = read(api.evaluate(Request("spiral=0&layer=3&position=0", remote)))
    assert found["coordinate"] == {"spiral": 0, "layer": 3, "position": 0}
    assert found["layer_name"] == "active"
    assert found["connections"] == 3
    assert found["point"] == pytest.approx({"x": math.cos(4 * math.pi / 7), "y": 0, "z": math.sin(4 * math.pi / 7)})
    assert read(api.evaluate(Request("", remote))) == found
    found = read(api.evaluate(Request("spiral=2&layer=1&position=-2.5e1", remote)))
    assert found["point"] == {"x": 3.0, "y": -12.5, "z": 0.0}


def test_evaluate_puts_every_layer_on_the_circle_of_its_pool(api: StatusAPI) -> None:
    for spiral in range(4):
        for layer, name in enumerate(LAYERS, 1):
            found = read(api.evaluate(local(f"spiral={spiral}&layer={layer}")))
            assert found["layer_name"] == name
            assert math.hypot(found["point"]["x"], found["point"]["z"]) == pytest.approx(spiral + 1)


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "infinity", "1e999", "", "1_0", " 1", "0x1", "e", "1" * 41, "١"]
)
def test_evaluate_refuses_what_is_no_number(api: StatusAPI, value: str) -> None:
    found = read(api.evaluate(local(f"position={value}")), 400)
    assert (found["parameter"], found["value"]) == ("position", value)


# who may read


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_may_read(api: StatusAPI, address: str) -> None:
    request = Request(connection=Connection(address=(address, 1)))
    assert api.stats(request)[0] == api.connections(request)[0] == 200


def test_unix_sockets_admins_and_the_program_itself_may_read(api: StatusAPI) -> None:
    for connection in (
        Connection(address=None),
        Connection(address="/run/peer.sock"),
        Connection(spiral=3, address=REMOTE),
        None,
    ):
        request = Request(connection=connection)
        assert api.stats(request)[0] == api.connections(request)[0] == 200


@pytest.mark.parametrize(
    "address",
    ["203.0.113.9", "10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1", "::ffff:::1", "127.0.0.1.evil.example",
     "127.evil.example.com", "127.0.0", "127.0.0.256", "", "0.0.0.0", "fe80::1%lo"],
)  # fmt: skip
def test_others_may_not(api: StatusAPI, address: str) -> None:
    request = Request(connection=Connection(address=(address, 1)))
    for handler in (api.stats, api.connections):
        assert read(handler(request), 403)["error"] == "forbidden"


@pytest.mark.parametrize("pool", [0, 1, 2])
def test_other_pools_give_no_rights(api: StatusAPI, pool: int) -> None:
    assert api.stats(Request(connection=Connection(spiral=pool, address=REMOTE)))[0] == 403


@pytest.mark.parametrize("name", ["forwarded", "via", "x_forwarded_for", "x_real_ip"])
def test_a_client_behind_a_local_proxy_is_not_local(api: StatusAPI, name: str) -> None:
    for address in (LOCAL, None):
        assert api.stats(Request("", Connection(address=address), **{name: "203.0.113.9"}))[0] == 403
    assert api.stats(Request("", Connection(spiral=3), **{name: "203.0.113.9"}))[0] == 200


def test_forbidden_says_nothing_about_parameters(api: StatusAPI) -> None:
    assert api.connections(Request("spiral=99", Connection(address=REMOTE)))[0] == 403


def remote_with(*authorization: str) -> Request:
    return Request("", Connection(address=REMOTE), authorization=list(authorization))


@pytest.mark.parametrize("value", ["Bearer s3cret-token", "bearer s3cret-token", "BEARER  s3cret-token"])
def test_the_token_opens(api: StatusAPI, context: Context, value: str) -> None:
    context.settings.api_token = "s3cret-token"
    assert api.stats(remote_with(value))[0] == 200


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["Bearer wrong"],
        ["Bearer s3cret-toke"],
        ["Bearer s3cret-token2"],
        ["Basic s3cret-token"],
        ["s3cret-token"],
        ["Bearer s3cret-tokén"],
        ["Bearer \udcff"],
        ["Bearer s3cret-token", "Bearer s3cret-token"],
    ],
)
def test_anything_else_does_not(api: StatusAPI, context: Context, values: list[str]) -> None:
    context.settings.api_token = "s3cret-token"
    assert api.stats(remote_with(*values))[0] == 403


@pytest.mark.parametrize("value", ["Bearer ", "Bearer None", "Bearer"])
def test_without_a_token_no_token_opens(api: StatusAPI, value: str) -> None:
    assert api.stats(remote_with(value))[0] == 403


def test_over_the_compiled_core() -> None:
    pools_module = pytest.importorskip("dimcore.pools")
    pipeline_module = pytest.importorskip("dimcore.pipeline")
    context: Any = Context()
    context.pools = pools_module.ConnectionPoolManifold()
    context.pipeline = pipeline = pipeline_module.RequestResponseManifold()
    for method, path, handler in StatusAPI(context).routes():
        pipeline.register_route(method, path, handler)
    context.pools.manifest_connection(None, ("203.0.113.9", 5), "http")
    context.pools.manifest_connection(None, "/run/peer.sock", "api")

    def get(target: str, status: int = 200) -> Any:
        return read(pipeline.process_request("GET", target), status)

    assert get("/api/status")["status"] == "online"
    stats = get("/api/stats")
    assert stats["connections"]["spiral_0"]["total_connections"] == 1
    assert {"total_requests", "total_processed", "total_errors", "success_rate"} <= set(stats["requests"])
    found = get("/api/connections?layer=1")
    assert found["total_connections"] == 2
    assert [(point["client"], point["pool"], point["requests"]) for point in found["points"]] == [
        ("203.0.113.9:5", "http", 0),
        ("unix:/run/peer.sock", "api", 0),
    ]
    assert get("/api/connections?layer=%31&limit=1")["points"] == get("/api/connections?layer=1&limit=1")["points"]
    assert get("/api/manifold/evaluate?spiral=2&layer=1")["connections"] == 1
    assert get("/api/manifold/evaluate?spiral=9", 400)["parameter"] == "spiral"


def test_names_are_those_of_the_core() -> None:
    states = pytest.importorskip("dimcore.states")
    assert states.LAYER_NAMES[1:] == LAYERS
