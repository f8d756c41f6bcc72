"""The names that coordinates have in answers."""

from __future__ import annotations

__all__ = ["ADMIN_POOL", "LAYERS", "METHODS", "POOLS", "STAGES", "pool_name"]

LAYERS = ("new", "handshake", "active", "idle", "closing", "closed", "archived")  # layer 1 first
STAGES = ("received", "parsed", "routed", "processed", "response ready", "sent", "logged")  # stage 1 first
POOLS = ("http", "websocket", "api", "admin")  # spiral 0 first
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "other")  # spiral 0 of the requests first
ADMIN_POOL = 3


def pool_name(spiral: int) -> str:
    """``http`` and so on; ``spiral_5`` for one that the app added."""
    return POOLS[spiral] if spiral < len(POOLS) else f"spiral_{spiral}"
