"""The segments of one generation of workers."""

from __future__ import annotations

from dimcore.errors import UsageError
from dimcore.shared.segment import Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SegmentSet"]


class SegmentSet:
    """All segments that workers with the same settings have, by name.

    The supervisor makes one before it forks the first of them.  At a reload the new generation has a set of its own: a
    segment of the old one that has the same name, version and size is kept, with all that is in it; every other one is
    made anew, and the old one lasts as long as the workers that have it.

    Args:
        wanted: name, version and size of each; see `Segment`.
        before: the set to keep segments of.

    Raises:
        UsageError: a bad name, version or size, or two of one name.
        SegmentError: the system refuses the memory; nothing was made, and `before` is as it was.

    Thread-safety: never changes after it was made.
    """

    __slots__ = ("_segments",)

    def __init__(self, wanted: Iterable[tuple[str, int, int]], before: SegmentSet | None = None) -> None:
        self._segments: dict[str, Segment] = {}
        for name, version, size in wanted:
            if name in self._segments:
                raise UsageError(f"two segments are called {name}")
            old = None if before is None else before._segments.get(name)
            kept = old is not None and old.fits(name, version, size)
            self._segments[name] = old if old is not None and kept else Segment(name, version, size)

    def __getitem__(self, name: str) -> Segment:
        """The segment of that name.

        Raises:
            KeyError: the set has none.
        """
        return self._segments[name]

    def __contains__(self, name: object) -> bool:
        """Whether the set has a segment of that name."""
        return name in self._segments

    def figures(self) -> list[dict[str, str | int]]:
        """For operators: `name`, `version` and `bytes` of each segment, the largest first."""
        segments = sorted(self._segments.values(), key=lambda segment: (-segment.bytes, segment.name))
        return [{"name": each.name, "version": each.version, "bytes": each.bytes} for each in segments]
