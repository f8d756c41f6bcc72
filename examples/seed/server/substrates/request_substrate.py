"""Requests as points: the seed's names, from the compiled core."""

from __future__ import annotations

from dimserver import RequestPoint, RequestResponseManifold, RequestSubstrate, RouteSubstrate

__all__ = ["RequestPoint", "RequestResponseManifold", "RequestSubstrate", "RouteSubstrate"]
