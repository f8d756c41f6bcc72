"""Routes and paths: the router beside the naive model of its own tests.

A text is a program of lines: ``+METHOD /pattern`` adds an exact route, ``*METHOD /pattern`` a prefix, and
``METHOD path`` asks for one.  What cannot be added must not be there afterwards.
"""

from __future__ import annotations

from tests.dimcore.router_model import model_candidates, model_find, model_params
from tests.fuzz import exact
from tests.fuzz.inputs import split_choices

from dimcore.errors import RouteConflict, RoutePatternError
from dimcore.http.router import Router

MOST_LINES = 40  # the model is slow
EVERY_METHOD = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}  # what `Allow` says of a route for any


def handler(request: object) -> object:
    return request


def shape(pattern: str, exact_match: bool) -> tuple[bool, tuple[str, ...]]:
    """What two patterns share that fit the very same paths."""
    return exact_match, tuple("{}" if part.startswith("{") else part for part in pattern.split("/"))


def names(pattern: str) -> tuple[str, ...]:
    return tuple(part[1:-1] for part in pattern.split("/") if part.startswith("{"))


def add(router: Router, method: str, pattern: str, exact_match: bool) -> None:
    """Add a route, and see that a refusal has its reason and no effect."""
    before = router.routes()
    alike = [route for route in before if shape(route.pattern, route.exact) == shape(pattern, exact_match)]
    try:
        route = router.add(method, pattern, handler, exact_match)
    except RoutePatternError:
        assert router.routes() == before
    except RouteConflict:
        assert router.routes() == before
        assert any(known.method == method or known.names != names(pattern) for known in alike)
    else:
        assert not any(known.method == method or known.names != names(pattern) for known in alike)
        assert (route.method, route.pattern, route.exact, route.names) == (method, pattern, exact_match, names(pattern))
        assert router.routes() == [*before, route]


def ask(router: Router, method: str, path: bytes) -> None:
    """Compare every answer about a path with the model's."""
    routes = router.routes()
    expected = model_find(routes, method, path)
    params = None if expected is None else model_params(expected, path)
    known = {route.method for _, route in model_candidates(routes, path)}
    if "*" in known:
        known = known - {"*"} | EVERY_METHOD
    if "GET" in known:
        known.add("HEAD")
    allowed = ", ".join(sorted(known)) or None
    assert router.find_route(method, path) is expected
    assert router.lookup(method, path) == (None if expected is None else (expected, params))
    assert router.allowed(path) == allowed
    exact.check_route(router, method, path, expected, params, allowed)
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return
    assert router.find_route(method, text) is expected


def check(data: bytes) -> None:
    """Check one input.

    Raises:
        AssertionError: the router is wrong about it.
    """
    _, text = split_choices(data)
    router = Router()
    for line in text.split(b"\n")[:MOST_LINES]:
        verb, _, path = line.partition(b" ")
        if verb[:1] in (b"+", b"*"):
            pattern = path.decode("utf-8", "surrogateescape")
            add(router, verb[1:].decode("latin-1"), pattern, verb[:1] == b"+")
        else:
            ask(router, verb.decode("latin-1"), path)
