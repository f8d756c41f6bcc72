"""`[[header]]`: fields that are added to answers, given to the routes and the sites of a worker.

What a route has on all of its paths is settled here.  Only where a pattern is
narrower than a route the path of each request is looked at; a route on which no
table has anything has no filter.
"""

from __future__ import annotations

from dimcore import Router
from dimcore.filter.added_headers import AddedHeaders, AddedHeadersByPath
from dimserver.worker.path_sets import PathSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dimcore.conn.filter import Filter
    from dimcore.http.router import Route
    from dimserver.config import HeaderTable

__all__ = ["HeaderRules"]

EVERYWHERE = PathSet("/", exact=False)


class Rule:
    """The tables with one pattern.

    Attributes:
        paths: those of the pattern; None without one, which stands for requests without a path too (`OPTIONS *`).
        pairs: names and values.
    """

    __slots__ = ("pairs", "paths")

    def __init__(self, paths: PathSet | None) -> None:
        self.paths = paths
        self.pairs: list[tuple[str, str]] = []

    def router(self) -> Router | None:
        """What finds a route for its paths."""
        if self.paths is None:
            return None
        router = Router()
        router.add("*", self.paths.pattern, _nothing, exact=self.paths.exact)
        return router


class HeaderRules:
    """What the setting `header` adds, and where.

    Args:
        tables: the setting.

    Thread-safety: the thread of its maker.
    """

    def __init__(self, tables: Iterable[HeaderTable]) -> None:
        rules: dict[tuple[str, bool] | None, Rule] = {}
        for table in tables:
            paths = None if table.pattern is None else PathSet.of(table.pattern)
            rule = rules.setdefault(None if paths is None else (paths.pattern, paths.exact), Rule(paths))
            rule.pairs.append((table.name, table.value))
        narrow = (rule for rule in rules.values() if rule.paths is not None)
        # The most specific first; without a pattern is broader than any.
        self._rules = sorted(narrow, key=lambda rule: (rule.paths or EVERYWHERE).specificity, reverse=True)
        self._rules += [rule for rule in rules.values() if rule.paths is None]
        self._made: dict[tuple[object, ...], tuple[Filter, ...]] = {}

    def add_to(self, router: Router) -> None:
        """Give each route its filter, outside of those that it has."""
        for route in router.routes():
            own = self.filters(route)
            if own is not None:
                route.filters = own + (route.filters or ())

    def filters(self, route: Route | None) -> tuple[Filter, ...] | None:
        """Those of a route, or of what has none; None where nothing is added."""
        paths = None if route is None else PathSet(route.pattern, route.exact)
        fitting = [rule for rule in self._rules if rule.paths is None or paths is None or rule.paths.overlaps(paths)]
        if not fitting:
            return None
        by_path = not all(rule.paths is None or (paths is not None and rule.paths.covers(paths)) for rule in fitting)
        key = (by_path, *fitting)
        if key not in self._made:  # one for all routes that are alike
            self._made[key] = (_by_path(fitting) if by_path else _everywhere(fitting),)
        return self._made[key]


def _everywhere(rules: Iterable[Rule]) -> Filter:
    pairs: list[tuple[str, str]] = []
    for rule in rules:
        known = {name.lower() for name, _ in pairs}
        pairs += [(name, value) for name, value in rule.pairs if name.lower() not in known]
    return AddedHeaders(pairs)


def _by_path(rules: Iterable[Rule]) -> Filter:
    return AddedHeadersByPath([(rule.router(), AddedHeaders(rule.pairs)) for rule in rules])


def _nothing() -> None:
    """The handler of what is never answered."""
