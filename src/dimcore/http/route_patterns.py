"""What a route pattern may look like.

A pattern is a *decoded* path: text, not percent-encoded bytes, and no query.  A
whole segment may be a parameter, ``{name}``.  Everything else that could be read
in two ways is refused when the route is registered, not guessed at when a
request comes.
"""

from __future__ import annotations

from dimcore.errors import RoutePatternError

__all__ = ["MAX_DEPTH", "MAX_PATTERN_BYTES", "read_method", "read_pattern"]

# Segments of a pattern with a parameter, or of a prefix.  It bounds the stack of the router's walk and lets the
# place of a parameter be one byte; real trees are not a tenth as deep.
MAX_DEPTH = 255

MAX_PATTERN_BYTES = 65535  # the longest head there can be (limits.pxd, MAX_HEAD_BYTES)

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789" + _LETTERS + _LETTERS.upper())  # RFC 9110 5.6.2
_NOT_IN_PATHS = frozenset(map(chr, [*range(32), 127])) | {"?", "#", "%"}


def read_method(method: str) -> bytes:
    """The bytes of a method's name.

    Raises:
        RoutePatternError: it is not a token.
    """
    if not method or not _TOKEN.issuperset(method):
        raise RoutePatternError(f"{method!r}: a method is a token (letters, digits, !#$%&'*+-.^_`|~)")
    return method.encode()


def read_pattern(pattern: str, exact: bool) -> tuple[bytes, tuple[str, ...], bytes]:
    """Take a pattern apart.

    Args:
        pattern: for example ``/users/{id}``.
        exact: False for a prefix.

    Returns:
        The pattern in UTF-8, the names of its parameters, and a byte for each
        name: which segment it is, from 0.

    Raises:
        RoutePatternError: naming the pattern and what is wrong with it.
    """
    if not pattern.startswith("/"):
        raise RoutePatternError(f"{pattern!r}: a pattern starts with '/'")
    for character in pattern:
        if character in _NOT_IN_PATHS:
            raise RoutePatternError(
                f"{pattern!r}: {character!r} cannot be in a pattern, which is a decoded path without a query"
            )
    try:
        key = pattern.encode()
    except UnicodeEncodeError:
        raise RoutePatternError(f"{pattern!r}: a lone surrogate is no character") from None
    if len(key) > MAX_PATTERN_BYTES:
        raise RoutePatternError(f"{pattern[:40]!r}...: longer than any request can be")

    names: list[str] = []
    places: list[int] = []
    segments = pattern[1:].split("/")
    for place, segment in enumerate(segments):
        if "{" not in segment and "}" not in segment:
            continue
        name = segment[1:-1]
        if segment != f"{{{name}}}" or not name.isidentifier():
            raise RoutePatternError(f"{pattern!r}: {segment!r} is neither fixed text nor a parameter like '{{name}}'")
        if name in names:
            raise RoutePatternError(f"{pattern!r}: the parameter {name!r} is there twice")
        names.append(name)
        places.append(place)
    if len(segments) > MAX_DEPTH and (names or not exact):
        raise RoutePatternError(f"{pattern[:40]!r}...: more than {MAX_DEPTH} segments")
    return key, tuple(names), bytes(places)
