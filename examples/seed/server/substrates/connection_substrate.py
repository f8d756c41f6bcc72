"""Connections as points: the seed's names, from the compiled core."""

from __future__ import annotations

from dimserver import ConnectionPoint, ConnectionPoolManifold, ConnectionSubstrate, DimensionalConnectionIndex

__all__ = ["ConnectionPoint", "ConnectionPoolManifold", "ConnectionSubstrate", "DimensionalConnectionIndex"]
