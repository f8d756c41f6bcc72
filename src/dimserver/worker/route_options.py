"""`[[route]]`: options for parts of the paths, given to whatever answers there.

What a request may have is settled here, before the first one: for each route, and
each pattern that has a path in common with it, a variant of the route.  The
router then has to find out which pattern fits, and nothing else.
"""

from __future__ import annotations

from dimcore import Router
from dimserver.config.routing import NOT_OPTIONS
from dimserver.errors import ConfigError
from dimserver.gateway.contract import is_gateway
from dimserver.routes import is_async
from dimserver.worker.monkeypatch import GREEN, refuse
from dimserver.worker.path_sets import PathSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from dimcore.http.router import Route
    from dimserver.config import RouteTable

__all__ = ["apply_options"]

ANY = "*"  # the method that stands for all
STREAM = 1  # `Route.streaming`: run before the body is there, also for a small one: whoever says so has asked for it


class Rule:
    """One table with what it has of broader ones.

    Attributes:
        table: as given.
        paths: those of its pattern.
        values: its options, and those of broader tables for what it leaves out.
    """

    __slots__ = ("paths", "table", "values")

    def __init__(self, table: RouteTable) -> None:
        self.table = table
        self.paths = PathSet.of(table.pattern)
        self.values: dict[str, Any] = {}

    def inherit(self, rules: Iterable[Rule]) -> None:
        """Put `values` together from all that cover it, itself among them."""
        broader = [rule for rule in rules if rule._covers(self)]
        for rule in sorted(broader, key=lambda rule: (rule.paths.specificity, rule.table.method != ANY)):
            given = {name: value for name, value in rule.table.given.items() if name not in NOT_OPTIONS}
            self.values.update(given)

    def _covers(self, other: Rule) -> bool:
        one, another = self.table.method, other.table.method
        same = one in (ANY, another) or (one == "GET" and another == "HEAD")
        return same and self.paths.covers(other.paths)

    def fits(self, route: Route) -> bool:
        """Whether any request for this route is one of the table's."""
        methods = {self.table.method, route.method}
        same = ANY in methods or len(methods) == 1 or methods == {"GET", "HEAD"}
        return same and self.paths.overlaps(PathSet(route.pattern, route.exact))

    def __str__(self) -> str:
        method = "" if self.table.method == ANY else f"{self.table.method} "
        return f"[[route]] {method}{self.table.pattern}"


def apply_options(router: Router, tables: Iterable[RouteTable], warn: Callable[[str], object]) -> None:
    """Give the routes of an app the options that the settings have for their paths.

    Args:
        router: with all routes, each as it is without these options.
        tables: the setting `route`.
        warn: told of a pattern that fits nothing.

    Raises:
        ConfigError: an option that what answers cannot have.
        StartError: the app needs the loop, and is to run on threads.
    """
    router.use_options(None)
    rules = [Rule(table) for table in tables]
    if not rules:
        return
    options = Router()
    places = {}
    for rule in rules:
        rule.inherit(rules)
        places[rule] = options.add(rule.table.method, rule.paths.pattern, _nothing, exact=rule.paths.exact)
    variants: dict[Route, dict[Route, Route]] = {}
    fitting: set[Rule] = set()
    for route in router.routes():
        for rule in rules:
            if rule.fits(route):
                fitting.add(rule)
                variants.setdefault(route, {})[places[rule]] = _variant(route, rule)
    router.use_options(options, variants)
    for rule in rules:
        if rule not in fitting:
            warn(f"{rule} fits no route of the app: its options change nothing")


def _nothing() -> None:
    """The handler of what is never answered."""


def _variant(route: Route, rule: Rule) -> Route:
    handler: Any = route.handler
    blocking, stream = rule.values.get("blocking"), rule.values.get("stream")
    run: dict[str, Any]
    if is_gateway(handler):
        run = (
            _wsgi(route, rule, blocking, stream)
            if handler.interface == "wsgi"
            else _asgi(route, rule, blocking, stream)
        )
    elif hasattr(handler, "configure_websocket"):  # it has no body, and is opened on the loop
        run = {}
    else:
        run = _native(route, rule, blocking, stream)
    return route.variant(max_body=rule.values.get("limit_body"), **run)


def _native(route: Route, rule: Rule, blocking: bool | None, stream: bool | None) -> dict[str, Any]:
    waits = is_async(route.handler)
    if waits and blocking:
        raise ConfigError(f"{rule}: {_name(route)} is async and runs on the loop; it cannot be blocking")
    on_thread = route.blocking if blocking is None else blocking
    streams = bool(route.streaming) if stream is None else stream
    if streams and not waits and not on_thread:
        raise ConfigError(
            f"{rule}: {_name(route)} runs on the loop and cannot wait for a stream; allowed: with blocking"
        )
    return {"blocking": on_thread, "streaming": STREAM if streams else 0}


def _wsgi(route: Route, rule: Rule, blocking: bool | None, stream: bool | None) -> dict[str, Any]:
    on_thread = route.blocking if blocking is None else blocking
    if stream and not on_thread:
        raise ConfigError(f"{rule}: the WSGI app runs on the loop and cannot wait for a stream; allowed: with blocking")
    if on_thread and not route.blocking:
        refuse("an app on threads", f"leave blocking out of {rule}, or serve it without {GREEN}")
        handler: Any = route.handler
        handler.also_on_threads()
    streaming = route.streaming if stream is None else STREAM if stream else 0
    return {"blocking": on_thread, "streaming": streaming if on_thread else 0}


def _asgi(route: Route, rule: Rule, blocking: bool | None, stream: bool | None) -> dict[str, Any]:
    if blocking:
        raise ConfigError(f"{rule}: an ASGI app runs on the loop; it cannot be blocking")
    return {"streaming": route.streaming if stream is None else STREAM if stream else 0}


def _name(route: Route) -> str:
    return f"{route.method} {route.pattern}"
