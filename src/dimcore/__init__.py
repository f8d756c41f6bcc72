"""The compiled core: connections and requests as points of one O(1) index.

Usable without a server: parse a request, route it, keep points in an index.
Nothing here imports `dimserver`.
"""

from __future__ import annotations

from dimcore.aio.task_runner import Runner
from dimcore.asgi.entry import AsgiEntry
from dimcore.conn.acceptor import Acceptor
from dimcore.conn.access_log import AccessLines
from dimcore.conn.connection import Connection
from dimcore.conn.core import Core, Site
from dimcore.conn.deadlines import tick
from dimcore.conn.host import Host
from dimcore.conn.streamed_body import Outflow, Push, stream_source
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
from dimcore.http.headers import Headers
from dimcore.http.query import QueryParams
from dimcore.http.request import RequestPoint, parse_request
from dimcore.http.router import Route, Router
from dimcore.http1.body import ChunkedDecoder, decode_chunked
from dimcore.http1.head_reader import HeadParser
from dimcore.http1.head_writer import format_head
from dimcore.index.connection_point import ConnectionPoint
from dimcore.index.geometry import affinity, compose, identity_vector, rendezvous, z_value
from dimcore.index.index import Index, Point
from dimcore.net.parent_death import tell_at_parents_end
from dimcore.net.process_title import set_process_title
from dimcore.net.proxy_protocol import read_proxy_header
from dimcore.net.socket_io import Composite, FileBody
from dimcore.pubsub.topic import Topic, Topics
from dimcore.reports import Report
from dimcore.seed import (
    ConnectionPoolManifold,
    ConnectionSubstrate,
    DimensionalConnectionIndex,
    RequestResponseManifold,
    RequestSubstrate,
    RouteSubstrate,
)
from dimcore.shared.segment import Segment, SegmentError
from dimcore.shared.segment_set import SegmentSet
from dimcore.stats.board import Board, BoardFull, Entry, Snapshot
from dimcore.stats.connection_list import Roll
from dimcore.ws.async_socket import AsyncSocket
from dimcore.ws.frames import apply_mask, encode_frame
from dimcore.ws.messages import MessageReader, close_payload
from dimcore.ws.websocket import Endpoint, WebSocket

# What a program names: the types of what its handlers get, return and catch.
__all__ = [
    "AsyncSocket",
    "BadRequest",
    "ClientLeft",
    "Composite",
    "ConnectionClosed",
    "ConnectionPoint",
    "DimcoreError",
    "DuplicatePoint",
    "FileBody",
    "Headers",
    "IllegalTransition",
    "IncompleteBody",
    "InvalidCoordinate",
    "Outflow",
    "PeerError",
    "Point",
    "Push",
    "QueryParams",
    "RequestPoint",
    "ResponseError",
    "Route",
    "RouteConflict",
    "RoutePatternError",
    "Topic",
    "TopicLimit",
    "UnknownPoint",
    "UsageError",
    "WebSocket",
    "WebSocketError",
]

# What a server is made of, or a program that parses, routes and indexes by itself.
__all__ += [
    "Acceptor",
    "AccessLines",
    "AsgiEntry",
    "Board",
    "BoardFull",
    "ChunkedDecoder",
    "Connection",
    "Core",
    "Endpoint",
    "Entry",
    "HeadParser",
    "Host",
    "Index",
    "MessageReader",
    "Report",
    "Roll",
    "Router",
    "Runner",
    "Segment",
    "SegmentError",
    "SegmentSet",
    "Site",
    "Snapshot",
    "Topics",
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

# The names of the document that the project started from.
__all__ += [
    "ConnectionPoolManifold",
    "ConnectionSubstrate",
    "DimensionalConnectionIndex",
    "RequestResponseManifold",
    "RequestSubstrate",
    "RouteSubstrate",
]
