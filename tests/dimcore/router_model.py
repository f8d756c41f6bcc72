"""What the router means, in its plainest form: every pattern tried, the best one taken.

It shares no code with the router, and is only as fast as a table of a few routes needs.
"""

from __future__ import annotations

import itertools
import re

from dimcore.http.router import Route


def model_segment(raw: bytes) -> bytes:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), raw)


def model_candidates(routes: list[Route], path: bytes) -> list[tuple[tuple[object, ...], Route]]:
    """Every route whose pattern fits, best first."""
    if not path.startswith(b"/") or b"\x00" in path:
        return []
    segments = [model_segment(segment) for segment in path[1:].split(b"/")]
    fitting: list[tuple[tuple[object, ...], Route]] = []
    for route in routes:
        parts = route.pattern[1:].split("/")
        slash = not route.exact and parts[-1] == ""
        if slash:
            del parts[-1]
        if route.exact and len(parts) != len(segments):
            continue
        if not route.exact and len(segments) < len(parts) + slash:
            continue
        kinds = tuple(part.startswith("{") for part in parts)
        if all(
            segment != b"" if variable else segment == part.encode()
            for variable, part, segment in zip(kinds, parts, segments, strict=False)
        ):
            step = 2 if not route.exact else 1 if any(kinds) else 0
            covered = 0 if route.exact else -(2 * len(parts) + slash)
            fitting.append(((step, covered, kinds), route))
    fitting.sort(key=lambda pair: pair[0])
    return fitting


def model_find(routes: list[Route], method: str, path: bytes) -> Route | None:
    accepted = ("HEAD", "GET", "*") if method == "HEAD" else (method, "*") if method != "CONNECT" else (method,)
    for _, group in itertools.groupby(model_candidates(routes, path), key=lambda pair: pair[0]):
        there = {route.method: route for _, route in group}
        for name in accepted:
            if name in there:
                return there[name]
    return None


def model_params(route: Route, path: bytes) -> dict[str, str]:
    segments = path[1:].split(b"/")
    parts = route.pattern[1:].split("/")
    return {
        part[1:-1]: model_segment(segment).decode(errors="replace")
        for part, segment in zip(parts, segments, strict=False)
        if part.startswith("{")
    }
