"""What a table about routes names: a pattern, and a method."""

from __future__ import annotations

from dimserver.config.types.base import Kind

__all__ = ["Method", "RoutePattern"]


class RoutePattern(Kind):
    """A pattern as the router reads it, or one that ends in `/*`: all paths below."""

    type = "pattern"
    metavar = "PATTERN"

    def parse(self, text: str) -> object:
        from dimcore.http.route_patterns import read_pattern  # needed by those who have such tables alone

        prefix = text.endswith("/*")
        bare = text[:-1] if prefix else text
        if "*" in bare:
            raise ValueError
        read_pattern(bare, not prefix)
        return text

    def allowed(self) -> str:
        return "a decoded path that starts with /, with {name} for one segment; /* at its end stands for all below"


class Method(Kind):
    """The name of a method, as in a request; `*` for all."""

    type = "method"
    metavar = "METHOD"

    def parse(self, text: str) -> object:
        from dimcore.http.route_patterns import read_method

        read_method(text)
        # Methods are case-sensitive, and `get` is none that a client would send.
        if len(text) > 32 or text.upper() != text:
            raise ValueError
        return text

    def hint(self, value: object) -> str:
        return f"; did you mean '{value.upper()}'?" if isinstance(value, str) and value.isalpha() else ""

    def allowed(self) -> str:
        return "the name of a method in capitals, like POST, or * for all"
