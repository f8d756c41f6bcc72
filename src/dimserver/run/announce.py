"""What whoever started the server is told when it begins and when it ends."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dimserver.config import Settings

__all__ = ["say", "served", "summary"]


def say(line: str, out: Any) -> None:
    """Print a line for whoever started the server."""
    try:
        print(line, file=out, flush=True)
    except (OSError, ValueError):
        pass  # whoever read it has left; that is no reason to stop serving


def served(target: str, settings: Settings) -> str:
    """What is served, in a few words."""
    return target or "the built-in API" + (f" and {settings.static}" if settings.static else "")


def summary(counts: Mapping[str, int], seconds: float) -> str:
    """What was served, in a few words.

    Args:
        counts: as from `Worker.counts`.
        seconds: since the start.
    """
    cut = f", {counts['cut_off']} cut off at the end" if counts["cut_off"] else ""
    return (
        f"{counts['requests']} requests ({counts['errors']} failed) "
        f"on {counts['connections']} connections{cut} in {seconds:.1f} s"
    )
