"""A request as h11 reads it: the differential test's and the fuzzer's other opinion."""

from __future__ import annotations

from importlib import import_module
from typing import Any

h11: Any
try:
    h11 = import_module("h11")
except ImportError:  # an optional peer: nothing is compared then
    h11 = None


def h11_reads(data: bytes) -> Any:
    """Method, target, version, fields and body; None for more (or for want of h11); "refused"."""
    if h11 is None:
        return None
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=65536)
    body = b""
    request = None
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                fields = [(bytes(name), bytes(value)) for name, value in request.headers]
                version = min(bytes(request.http_version), b"1.1")  # a later one is read as the latest known
                return bytes(request.method), bytes(request.target), version, fields, body
            else:
                return None
    except h11.RemoteProtocolError:
        return "refused"
