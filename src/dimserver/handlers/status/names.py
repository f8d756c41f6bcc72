"""The names that coordinates have in answers."""

from __future__ import annotations

from dimcore.index.pools import SPIRAL_NAMES

__all__ = ["ADMIN_POOL", "LAYERS", "METHODS", "POOLS", "STAGES", "is_pool", "pool_name"]

LAYERS = ("new", "handshake", "active", "idle", "closing", "closed", "archived")  # layer 1 first
STAGES = ("received", "parsed", "routed", "processed", "response ready", "sent", "logged")  # stage 1 first
POOLS = SPIRAL_NAMES[:4]  # of connections of clients, which alone count for totals; spiral 0 first
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "other")  # spiral 0 of the requests first
ADMIN_POOL = 3


def pool_name(spiral: int) -> str:
    """``http``, ``upstream`` and so on; ``spiral_9`` for one that the app added."""
    return SPIRAL_NAMES[spiral] if spiral < len(SPIRAL_NAMES) else f"spiral_{spiral}"


def is_pool(spiral: int) -> bool:
    """Whether connections of clients are there, or what the app has in a pool that it added."""
    return not len(POOLS) <= spiral < len(SPIRAL_NAMES)
