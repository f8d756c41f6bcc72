"""The parts of a worker as the settings describe them."""

from __future__ import annotations

import pytest

from dimcore.index.pools import PoolFull
from dimserver import App
from dimserver.config import Settings
from dimserver.log import Log
from dimserver.net.async_loop import AsyncLoop
from dimserver.worker.factory import make_core, make_loop


@pytest.fixture
def app() -> App:
    return App()


def kind_of_loop(app: App, **settings: object) -> type:
    log = Log("info", 2)
    loop = make_loop(app, Settings(**settings), lambda error: None, log)
    loop.close()
    log.close()
    return type(loop)


def test_the_loop_is_of_asyncio_for_an_app_with_coroutines(app: App) -> None:
    app.get("/plain")(lambda request: "")
    assert kind_of_loop(app) is not AsyncLoop
    assert kind_of_loop(app, loop="asyncio") is AsyncLoop

    @app.get("/async")
    async def handler(request: object) -> str:
        return ""

    assert kind_of_loop(app) is AsyncLoop


def test_the_pools_have_their_caps(app: App) -> None:
    log = Log("info", 2)
    make_core(app, Settings(max_http=3, max_api=4), log)
    log.close()
    pools = app.connection_manifold
    for name, cap in (("http", 3), ("api", 4)):
        for _ in range(cap):
            pools.manifest_connection(pool_type=name)
        with pytest.raises(PoolFull):
            pools.manifest_connection(pool_type=name)


def test_the_descriptor_limit(app: App, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 200))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    log = Log("info", 2)
    make_core(app, Settings(max_connections=1000), log)
    log.close()
    assert asked == [(200, 200)]
    assert (
        "max-connections 1000 and admin-reserve 16 do not fit: "
        "the descriptor limit (ulimit -n) allows 36 connections in each worker"
    ) in capfd.readouterr().err
