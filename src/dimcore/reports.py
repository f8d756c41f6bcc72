"""What the core reports to its host: one name for each, whose value is the text of the log."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Report"]


class Report(StrEnum):
    """The kind of a report; see `Host.report`."""

    # handlers
    HANDLER_FAILED = "a handler failed"
    HANDLER_FAILED_LATE = "a handler failed after its answer"
    HANDLER_RUNS_LONG = "handler still running"
    BODY_FAILED = "a streamed body failed"
    BODY_SINK_FAILED = "the stream of a request body failed"
    BODY_NOT_KEPT = "a request body could not be kept"
    HOOK_FAILED = "a hook for the peer's end failed"
    FILTER_FAILED = "a filter failed"
    ACCESS_LOG_FAILED = "the access log failed"
    WEBSOCKET_FAILED = "a WebSocket's handler failed"
    # gateways
    WSGI_FAILED_LATE = "a WSGI app failed after its answer"
    WSGI_FAILED_ON_SOCKET = "a WSGI app failed after it had taken its socket"
    WSGI_TOO_LONG = "a WSGI app gave more bytes than its Content-Length says: the rest is dropped"
    WSGI_FAILED_IN_CLOSE = "a WSGI app failed in close"
    ASGI_FAILED_LATE = "an ASGI app failed after its answer"
    ASGI_WEBSOCKET_FAILED = "an ASGI app's WebSocket failed"
    ASGI_NOT_WOKEN = "an ASGI app could not be woken"
    # clients
    CLIENTS_REFUSED = "clients are refused"
    NOT_INTRODUCED = "closed a connection that no trusted proxy introduced"
    PROXY_UNDECIDED = "could not decide whether the peer is a trusted proxy"
    # the server itself
    CONNECTION_FAILED = "internal error: a connection failed (the server continues)"
    LOOP_FAILED = "internal error: the loop lost a connection (the server continues)"
    BAD_PHASE = "internal error: a connection took a step that its table does not have (the server continues)"
