"""Rows of the table: options of routes, by their patterns."""

from __future__ import annotations

from dimserver.config.setting import Setting
from dimserver.config.table import Table
from dimserver.config.tables import ListOf
from dimserver.config.types import Flag, GiB, Method, RoutePattern, Size

__all__ = ["NOT_OPTIONS", "ROUTE_ROWS", "ROUTING", "RouteTable"]

ROUTES = "Routes"
NOT_OPTIONS = ("pattern", "method")  # rows that say what a table is about

ROUTE_ROWS: tuple[Setting, ...] = (
    Setting(
        ROUTES, "pattern", RoutePattern(), None,
        "Which paths: a pattern as routes have it, {name} standing for one segment; or one that ends in /*, for all "
        "paths below.",
        "None: a table without it would say nothing.",
        required=True,
    ),
    Setting(
        ROUTES, "method", Method(), "*",
        "Requests of this method alone; GET stands for HEAD as well.",
        "All methods: most paths have one that matters.",
    ),
    Setting(
        ROUTES, "blocking", Flag(), None,
        "Run the handler, or the WSGI app, on the thread pool; off: on the loop.",
        "None: as the handler was registered, and as threads says.",
    ),
    Setting(
        ROUTES, "stream", Flag(), None,
        "Run the handler, or the app, before the body of the request is there, and hand it on as it arrives; off: "
        "receive the whole body first.",
        "None: as the handler was registered; WSGI apps as stream-bodies says, ASGI apps on.",
    ),
    Setting(
        ROUTES, "limit-body", Size(0, 1024 * GiB), None,
        "Largest request body of these paths, larger or smaller than that of the server.",
        "None: limit-body of the route, else of the server.",
    ),
)  # fmt: skip


class RouteTable(Table):
    """One `[[route]]`."""

    rows = ROUTE_ROWS
    __slots__ = tuple(row.attribute for row in ROUTE_ROWS)

    pattern: str
    method: str
    blocking: bool | None
    stream: bool | None
    limit_body: int | None

    def identity(self) -> object:
        """Method and pattern; the names of parameters tell no paths apart."""
        parts = ("{}" if part.startswith("{") else part for part in self.pattern.split("/"))
        return f"'{'' if self.method == '*' else self.method + ' '}{'/'.join(parts)}'"


ROUTING: tuple[Setting, ...] = (
    Setting(
        ROUTES, "route", ListOf(RouteTable, first="pattern"), (),
        "Options for a part of the paths, whoever answers there: routes, mounts, WSGI and ASGI apps. The most specific "
        "pattern that has an option gives it, and overrides what the program says.",
        "None: routes have the options that the program gives them.",
    ),
)  # fmt: skip
