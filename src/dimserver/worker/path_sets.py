"""Which paths a pattern stands for, and how those of two patterns lie to each other."""

from __future__ import annotations

from typing import Final

__all__ = ["PathSet"]

ENDLESS: Final = 1 << 30  # segments; more than any path has


class PathSet:
    """The paths that a pattern fits.

    Args:
        pattern: as a route has it.
        exact: False for a prefix.

    Attributes:
        segments: the fixed ones as text, a parameter as None.
        exact: as given.
        least, most: how many segments a path may have.

    Thread-safety: never changes.
    """

    __slots__ = ("exact", "least", "most", "segments")

    def __init__(self, pattern: str, exact: bool = True) -> None:
        bare = pattern.removesuffix("/") if not exact else pattern
        parts = bare.removeprefix("/").split("/") if bare else []
        self.segments = tuple(None if part.startswith("{") else part for part in parts)
        self.exact = exact
        self.least = len(parts) + (bare != pattern)  # with its slash a prefix does not fit the path without
        self.most = len(parts) if exact else ENDLESS

    @classmethod
    def of(cls, pattern: str) -> PathSet:
        """Of a pattern as in `[[route]]`, where `/*` at the end makes a prefix."""
        prefix = pattern.endswith("/*")
        return cls(pattern[:-1] if prefix else pattern, not prefix)

    @property
    def pattern(self) -> str:
        """A pattern for these paths, the same for all that differ in the names of their parameters alone."""
        parts = (f"{{p{place}}}" if part is None else part for place, part in enumerate(self.segments))
        return "/" + "/".join(parts) + ("/" if self.segments and self.least > len(self.segments) else "")

    @property
    def specificity(self) -> tuple[object, ...]:
        """Of two sets that have a path in common, the router prefers the one for which this is greater."""
        fixed = tuple(part is not None for part in self.segments)
        if self.exact:
            return True, all(fixed), fixed
        return False, 2 * len(fixed) + (self.least > len(fixed)), fixed

    def overlaps(self, other: PathSet) -> bool:
        """Whether any path is in both."""
        if max(self.least, other.least) > min(self.most, other.most):
            return False
        return all(
            one == another or (one is None and another != "") or (another is None and one != "")
            for one, another in zip(self.segments, other.segments, strict=False)
        )

    def covers(self, other: PathSet) -> bool:
        """Whether all paths of `other` are in this one."""
        if other.least < self.least or other.most > self.most or len(other.segments) < len(self.segments):
            return False
        return all(
            one == another or (one is None and another != "")
            for one, another in zip(self.segments, other.segments, strict=False)
        )
