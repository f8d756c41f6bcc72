"""Routes and their handlers: how they get into an app, and what is refused."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dimcore import RouteConflict, RoutePatternError, UsageError
from dimserver import App
from dimserver.errors import ConfigError, HandlerError
from dimserver.routes import is_async


def handler(request: object) -> str:
    return "answer"


async def coroutine(request: object) -> str:
    return "answer"


async def generator(request: object) -> AsyncIterator[str]:
    yield "answer"


class Callable:
    def __call__(self, request: object) -> str:  # noqa: ARG002
        return "called"

    def method(self, request: object) -> str:  # noqa: ARG002
        return "method"

    async def later(self, request: object) -> str:  # noqa: ARG002
        return "method"


class AsyncCallable:
    async def __call__(self, request: object) -> str:  # noqa: ARG002
        return "called"


def test_route_directly_and_as_a_decorator() -> None:
    app = App()
    assert app.route("/a", handler) is handler
    assert app.route("/b", methods=["PUT", "POST"], exact=False, blocking=True)(handler) is handler
    assert app.route("/c", handler, methods="DELETE") is handler
    assert list(app.routes()) == [
        ("GET", "/a", True, False, handler),
        ("PUT", "/b", False, True, handler),
        ("POST", "/b", False, True, handler),
        ("DELETE", "/c", True, False, handler),
    ]


@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "patch", "options", "head"])
def test_a_decorator_for_each_method(method: str) -> None:
    app = App()
    assert getattr(app, method)("/a")(handler) is handler
    assert getattr(app, method)("/b", exact=False, blocking=True)(handler) is handler
    assert list(app.routes()) == [
        (method.upper(), "/a", True, False, handler),
        (method.upper(), "/b", False, True, handler),
    ]
    assert app.request_manifold.process_request(method.upper(), "/a") == "answer"
    assert app.request_manifold.process_request(method.upper(), "/b/c") == "answer"


def test_a_route_that_cannot_be() -> None:
    app = App()
    app.get("/a")(handler)
    with pytest.raises(RouteConflict):
        app.get("/a")(handler)
    with pytest.raises(RoutePatternError):
        app.get("no slash")(handler)
    with pytest.raises(TypeError):
        app.route("/b", "text")  # type: ignore[arg-type]
    assert len(list(app.routes())) == 1


@pytest.mark.parametrize(
    "function",
    [
        coroutine, generator, AsyncCallable(), Callable().later, functools.partial(coroutine),
        functools.partial(functools.partial(AsyncCallable())),
    ],
)  # fmt: skip
def test_an_async_handler_is_known(function: Any) -> None:
    assert is_async(function)
    app = App()
    app.get("/a")(function)
    with pytest.raises(HandlerError, match=r"^POST /a: an async handler runs on the loop") as refused:
        app.post("/a", blocking=True)(function)
    assert "\n" not in str(refused.value)
    assert [path for _, path, *_ in app.routes()] == ["/a"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="inspect.markcoroutinefunction")
def test_a_marked_handler_is_async() -> None:
    import inspect

    mark: Any = inspect.markcoroutinefunction  # type: ignore[attr-defined, unused-ignore]
    assert is_async(mark(lambda request: str(request.path)))


@pytest.mark.parametrize("name", ["get", "post", "head", "route", "websocket"])
def test_a_decorator_without_its_path(name: str) -> None:
    app = App()
    with pytest.raises(HandlerError, match=rf'^handler is not a path; write @app\.{name}\("/path"\)$'):
        getattr(app, name)(handler)
    with pytest.raises(HandlerError, match=r"^5 is not a path"):
        getattr(app, name)(5)


def test_the_limit_of_a_body() -> None:
    app = App()
    for number, limit in enumerate((0, 5, "5MiB", "12", 1 << 40)):
        app.post(f"/{number}", limit_body=limit)(handler)
    app.get("/none")(handler)
    app.route("/put", handler, methods=["PUT", "PATCH"], limit_body="1k")
    routes = app.request_manifold.router.routes()
    assert [route.max_body for route in routes] == [0, 5, 5 << 20, 12, 1 << 40, -1, 1024, 1024]
    for wrong in (-1, "5MB", 1.5, True, (1 << 40) + 1):
        with pytest.raises(ConfigError, match=r"^POST /x: limit_body: .* is not allowed; allowed: 0 B to 1024 GiB"):
            app.post("/x", limit_body=wrong)(handler)  # type: ignore[arg-type]
    assert len(app.request_manifold.router) == len(routes)


@pytest.mark.parametrize("name", ["get", "post", "head", "route"])
def test_an_option_that_is_none(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'strem'; allowed: exact, "):
        getattr(App(), name)("/", strem=True)  # before there is a handler


def test_a_handler_that_takes_nothing() -> None:
    def bare() -> str:
        return "hello"

    async def later() -> str:
        return "hello"

    app = App()
    for function in (bare, later):
        with pytest.raises(HandlerError, match=r"^GET /a: \S+ takes no argument; a handler gets the request$"):
            app.get("/a")(function)  # type: ignore[type-var]
    with pytest.raises(HandlerError, match="takes no argument"):
        app.route("/a", bare, methods=["PUT"])  # type: ignore[arg-type]
    with pytest.raises(HandlerError, match=r"^WebSocket /a: \S+ takes no argument; a handler gets the socket$"):
        app.websocket("/a")(later)
    assert list(app.routes()) == []
    app.get("/a")(lambda *request: "any")
    app.get("/b")(lambda request=None: "any")


def test_streaming_is_for_who_can_wait() -> None:
    app = App()
    with pytest.raises(HandlerError, match=r"^POST /a: stream needs a handler that can wait"):
        app.post("/a", stream=True)(handler)
    app.post("/a", stream=True)(coroutine)
    app.post("/b", stream=True, blocking=True)(handler)
    app.post("/c")(coroutine)
    routes = app.request_manifold.router.routes()
    assert [(route.streaming, route.blocking) for route in routes] == [(True, False), (True, True), (False, False)]


@pytest.mark.parametrize(
    "function",
    [handler, Callable(), Callable().method, functools.partial(handler), Callable, print, functools.lru_cache(handler)],
)  # fmt: skip
def test_any_other_callable_is_taken(function: Any) -> None:
    assert not is_async(function)
    App().get("/")(function)


def test_topics() -> None:
    app = App()
    room = app.topic("room")
    assert room == app.topic("room")
    assert room != App().topic("room")
    assert (room.name, room.topics) == ("room", app.topics)
    assert room.publish("nobody serves") is False
    with pytest.raises(UsageError, match="the name of a topic"):
        app.topic("")


# --- mounts -------------------------------------------------------------------------------------
