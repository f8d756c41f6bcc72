"""The interface of an app, told by looking at it."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dimserver import App
from dimserver.errors import HandlerError
from dimserver.gateway.detect import Shape, check_interface, describe, detect, looks_written_for


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


def bare_wsgi(a: Any, b: Any) -> list[bytes]:
    return []


def wsgi_with_more(env: Any, start_response: Any, debug: bool = False) -> list[bytes]:
    return []


def three(environ: Any, start_response: Any, more: Any) -> None: ...


def five(a: Any, b: Any, c: Any, d: Any, e: Any) -> None: ...


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


async def bare_asgi(a: Any, b: Any, c: Any) -> None: ...


def asgi_through(scope: Any, receive: Any, send: Any) -> Any:
    return asgi(scope, receive, send)


async def asgi_of_any(*args: Any) -> None: ...


async def two_and_async(receive: Any, send: Any) -> None: ...


def asgi_2(scope: Any) -> Any: ...


def handler(request: Any) -> str:
    return ""


def make_app() -> Any: ...


def make_app_with(config: Any = None, debug: bool = False) -> Any: ...


def any_arguments(*args: Any, **kwargs: Any) -> Any: ...


def by_name_alone(environ: Any, start_response: Any, *, needed: Any) -> Any: ...


@functools.wraps(wsgi)
def decorated(*args: Any, **kwargs: Any) -> Any: ...


class WsgiIterator:  # as in PEP 3333
    def __init__(self, environ: Any, start: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


class AsgiAwaitable:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Iterator[Any]:
        return iter(())


class Asgi2Double:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...

    def method(self, environ: Any, start_response: Any) -> Any: ...


class Asgi:
    def __init__(self, name: str = "") -> None: ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Configured:
    def __init__(self, name: str) -> None: ...

    def __call__(self, environ: Any, start_response: Any) -> Any: ...


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (App(), "native"),
        (wsgi, "wsgi"),
        (bare_wsgi, "wsgi"),
        (wsgi_with_more, "wsgi"),
        (decorated, "wsgi"),
        (functools.partial(three, {}), "wsgi"),
        (functools.partial(five, 1, 2, 3), "wsgi"),
        (lambda environ, start_response=None: [], "wsgi"),
        (WsgiIterator, "wsgi"),
        (Wsgi(), "wsgi"),
        (Wsgi().method, "wsgi"),
        (asgi, "asgi"),
        (bare_asgi, "asgi"),
        (asgi_through, "asgi"),
        (asgi_of_any, "asgi"),
        (functools.partial(five, 1, 2), "asgi"),
        (AsgiAwaitable, "asgi"),
        (Asgi(), "asgi"),
        (functools.partial(Asgi()), "asgi"),
    ],
)
def test_what_it_takes_decides(app: Any, interface: str) -> None:
    assert detect(app) == interface
    check_interface(app, interface)


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (5, r"an int is not an app: it cannot be called"),
        (sys, r"a module is not an app; name an object in it, as module:attribute"),
        (Asgi2Double, r"Asgi2Double takes scope alone: it is an ASGI 2 app, which is not supported; asgiref\."),
        (asgi_2, r"asgi_2 takes scope alone: it is an ASGI 2 app"),
        (handler, r"handler takes one argument: it is neither a WSGI nor an ASGI app; .* use --interface native$"),
        (make_app, r"the function .*\.make_app takes no arguments; if it returns the app, use --factory$"),
        (make_app_with, r"takes no arguments; if it returns"),
        (two_and_async, r"two_and_async is async and takes two arguments; an ASGI app takes three, \(scope, receive"),
        (five, r"takes 5 arguments; a WSGI app takes two"),
        (any_arguments, r"takes any arguments, so its interface is unknown; set it to wsgi or asgi"),
        (by_name_alone, r"cannot determine the arguments of .*\(it cannot be called without needed=\)"),
        (dict, r"cannot determine the arguments of the class builtins\.dict \(.*\); set the interface to wsgi or asgi"),
        (Wsgi, r"the class .*\.Wsgi is not an app; name an instance of it, or use --factory if calling it returns"),
        (Asgi, r"the class .*\.Asgi is not an app; name an instance of it, or use"),
        (Configured, r"the class .*\.Configured is not an app; name an instance of it$"),
        (App, r"the class dimserver\.app\.App is not an app; name an instance of it, or"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_explained(app: Any, message: str) -> None:
    with pytest.raises(HandlerError, match=message):
        detect(app)


def test_a_coroutine_that_nobody_awaited() -> None:
    coroutine = asgi(1, 2, 3)
    with pytest.raises(HandlerError, match="a coroutine is not an app: it is a coroutine; await it"):
        detect(coroutine)
    coroutine.close()


@pytest.mark.parametrize(
    ("app", "interface", "message"),
    [
        (wsgi, "cgi", "interface: 'cgi' is not allowed; allowed: auto, native, wsgi, asgi"),
        (App(), "wsgi", "an App is native, not wsgi"),
        (5, "wsgi", "an int is not an app"),
        (wsgi, "asgi", r"cannot be called with \(scope, receive, send\), so it is not asgi; it looks like wsgi"),
        (asgi, "wsgi", r"cannot be called with \(environ, start_response\), so it is not wsgi; it looks like asgi"),
        (asgi, "native", r"cannot be called with \(request\), so it is not native; it looks like asgi"),
        (make_app, "asgi", r"cannot be called with \(scope, receive, send\), so it is not asgi$"),
        (asgi_of_any, "wsgi", "is async, so it is not wsgi"),
    ],
)
def test_an_interface_that_cannot_be(app: Any, interface: str, message: str) -> None:
    with pytest.raises(HandlerError, match=message):
        check_interface(app, interface)


@pytest.mark.parametrize(
    ("app", "interface"), [(App(), "native"), (handler, "native"), (any_arguments, "wsgi"), (dict, "asgi")]
)
def test_an_interface_that_may_be(app: Any, interface: str) -> None:
    check_interface(app, interface)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (wsgi, r"the function \S*test_detect\.wsgi"),
        (Wsgi, r"the class \S*test_detect\.Wsgi"),
        (Wsgi(), "a Wsgi"),
        (Asgi(), "an Asgi"),
        (functools.partial(wsgi), "a partial"),
    ],
)
def test_it_is_described(app: object, words: str) -> None:
    import re

    assert re.fullmatch(words, describe(app))


def test_a_function_looks_like_an_app_by_its_first_argument() -> None:
    assert [looks_written_for(each) for each in (wsgi, wsgi_with_more, asgi, bare_wsgi, handler, dict)] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_the_shape_of_a_callable() -> None:
    shape = Shape(wsgi_with_more)
    assert (shape.required, shape.most, shape.first, shape.only_star) == (2, 3, "env", False)
    shape = Shape(any_arguments)
    assert (shape.required, shape.most, shape.first, shape.only_star) == (0, 255, "", True)


def flask() -> Any:
    import flask

    return flask.Flask("x")


def flask_behind_middleware() -> Any:
    from werkzeug.middleware.proxy_fix import ProxyFix

    return ProxyFix(flask())


def django_app(name: str) -> Any:
    import django
    from django.conf import settings
    from django.core.handlers import asgi, wsgi

    if not settings.configured:
        settings.configure()
        django.setup()
    return {"wsgi": wsgi.WSGIHandler, "asgi": asgi.ASGIHandler}[name]()


def falcon_app(name: str) -> Any:
    import falcon.asgi

    return {"wsgi": falcon.App, "asgi": falcon.asgi.App}[name]()


def starlette(name: str) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware.cors import CORSMiddleware

    app = Starlette()
    return app if name == "asgi" else CORSMiddleware(app)


def fastapi() -> Any:
    import fastapi

    return fastapi.FastAPI()


def litestar() -> Any:
    import litestar

    return litestar.Litestar()


def socketio() -> Any:
    import socketio

    return socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi"))


def demo_app() -> Any:
    from wsgiref.simple_server import demo_app

    return demo_app


@pytest.mark.parametrize(
    ("make", "interface"),
    [
        (demo_app, "wsgi"),
        (flask, "wsgi"),
        (flask_behind_middleware, "wsgi"),
        (functools.partial(django_app, "wsgi"), "wsgi"),
        (functools.partial(django_app, "asgi"), "asgi"),
        (functools.partial(falcon_app, "wsgi"), "wsgi"),
        (functools.partial(falcon_app, "asgi"), "asgi"),
        (functools.partial(starlette, "asgi"), "asgi"),
        (functools.partial(starlette, "middleware"), "asgi"),
        (fastapi, "asgi"),
        (litestar, "asgi"),
        (socketio, "asgi"),
    ],
)
def test_apps_of_frameworks(make: Callable[[], Any], interface: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the frameworks' own making
        app = make()
    assert detect(app) == interface
