"""The compiled core: connections and requests as points of one O(1) index.

Usable without a server: parse a request, route it, keep points in an index.
Nothing here imports `dimserver`.
"""

from __future__ import annotations

from dimcore.acceptor import Acceptor
from dimcore.asgi import AsgiEntry
from dimcore.asyncsocket import AsyncSocket
from dimcore.board import Board, BoardFull, Entry, Snapshot
from dimcore.body import ChunkedDecoder, decode_chunked
from dimcore.compose import affinity, compose, identity_vector, rendezvous, z_value
from dimcore.connection import Connection
from dimcore.core import Core, Site
from dimcore.deadlines import tick
from dimcore.errand import Runner
from dimcore.errors import (
    BadRequest,
    ClientLeft,
    ConnectionClosed,
    DimcoreError,
    DuplicatePoint,
    IllegalTransition,
    IncompleteBody,
    InvalidCoordinate,
    PeerError,
    ResponseError,
    RouteConflict,
    RoutePatternError,
    TopicLimit,
    UnknownPoint,
    UsageError,
    WebSocketError,
)
from dimcore.frames import apply_mask, encode_frame
from dimcore.headers import Headers
from dimcore.headparser import HeadParser
from dimcore.index import DimensionalConnectionIndex, Index, Point
from dimcore.logline import AccessLines
from dimcore.messages import MessageReader, close_payload
from dimcore.outflow import Outflow, Push, stream_source
from dimcore.parent import tell_at_parents_end
from dimcore.pipeline import RequestResponseManifold, RequestSubstrate
from dimcore.points import ConnectionPoint
from dimcore.pools import ConnectionPoolManifold, ConnectionSubstrate
from dimcore.proxyhead import read_proxy_header
from dimcore.query import QueryParams
from dimcore.request import RequestPoint, parse_request
from dimcore.roll import Roll
from dimcore.router import Route, Router, RouteSubstrate
from dimcore.shared.segment import Segment, SegmentError
from dimcore.shared.segment_set import SegmentSet
from dimcore.stream import Composite, FileBody
from dimcore.title import set_process_title
from dimcore.topic import Topic, Topics
from dimcore.websocket import Endpoint, WebSocket
from dimcore.writer import format_head

__all__ = [
    "Acceptor",
    "AccessLines",
    "AsgiEntry",
    "AsyncSocket",
    "BadRequest",
    "Board",
    "BoardFull",
    "ChunkedDecoder",
    "ClientLeft",
    "Composite",
    "Connection",
    "ConnectionClosed",
    "ConnectionPoint",
    "ConnectionPoolManifold",
    "ConnectionSubstrate",
    "Core",
    "DimcoreError",
    "DimensionalConnectionIndex",
    "DuplicatePoint",
    "Endpoint",
    "Entry",
    "FileBody",
    "HeadParser",
    "Headers",
    "IllegalTransition",
    "IncompleteBody",
    "Index",
    "InvalidCoordinate",
    "MessageReader",
    "Outflow",
    "PeerError",
    "Point",
    "Push",
    "QueryParams",
    "RequestPoint",
    "RequestResponseManifold",
    "RequestSubstrate",
    "ResponseError",
    "Roll",
    "Route",
    "RouteConflict",
    "RoutePatternError",
    "RouteSubstrate",
    "Router",
    "Runner",
    "Segment",
    "SegmentError",
    "SegmentSet",
    "Site",
    "Snapshot",
    "Topic",
    "TopicLimit",
    "Topics",
    "UnknownPoint",
    "UsageError",
    "WebSocket",
    "WebSocketError",
    "affinity",
    "apply_mask",
    "close_payload",
    "compose",
    "decode_chunked",
    "encode_frame",
    "format_head",
    "identity_vector",
    "parse_request",
    "read_proxy_header",
    "rendezvous",
    "set_process_title",
    "stream_source",
    "tell_at_parents_end",
    "tick",
    "z_value",
]
