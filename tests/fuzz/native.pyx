"""The parsers of the core on memory that ends where the text ends.

A Python bytes object has a NUL behind it, so a parser that reads one byte too far goes unseen there.  Here every
call gets a fresh block of exactly the right size, which is freed right after: AddressSanitizer sees a read beyond
it, and one of an older block.  Built for the long run only (build.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from dimcore.http1.body cimport (
    BODY_DONE, BODY_FAILED, BODY_MORE, BODY_PIECE, Body, BodyResult, body_start_chunked, body_start_length, body_step,
)
from dimcore.http.body_reader cimport BodyReader
from dimcore.limits cimport OTHER
from dimcore.ws.messages cimport EVENT_NONE, MessageReader
from dimcore.http1.head cimport HEAD_PARTIAL, Head, HeadInfo, HeadLimits, fault_status, fault_text, head_parse, head_reset
from dimcore.net.proxy_protocol cimport PROXY_PARTIAL, ProxyHead, proxy_parse
from dimcore.http.router cimport Route, Router
from dimcore.http.spool cimport Spool
from dimcore.net.socket_io cimport peer_address

from os import memfd_create

from dimcore.errors import WebSocketError
from dimcore.index.states import METHOD_NAMES

cdef dict SPIRALS = {name.encode(): spiral for spiral, name in enumerate(METHOD_NAMES)}


cdef char *_copied(const char *text, size_t size) except NULL:
    """`size` bytes of memory, also when that is 0 (malloc may then return NULL, which is no block at all)."""
    cdef char *block = <char *> malloc(size)
    if block == NULL:
        raise MemoryError
    memcpy(block, text, size)
    return block


def head(bytes text, list places, dict limits):
    """Parse a head that arrives in pieces ending at `places`.

    Returns:
        None for more; (status, message); or (length, content length, flags, spans of everything).
    """
    cdef Head state
    cdef HeadLimits bounds
    cdef HeadInfo *info = &state.info
    cdef Py_ssize_t place
    cdef char *block
    cdef int result = HEAD_PARTIAL
    bounds.request_line = limits["request_line"]
    bounds.head = limits["head"]
    bounds.field = limits["field"]
    bounds.fields = limits["fields"]
    head_reset(&state)
    for place in places:
        if place > PyBytes_GET_SIZE(text):
            raise ValueError("no such place")
        block = _copied(PyBytes_AS_STRING(text), place)
        result = head_parse(&state, block, place, &bounds)
        free(block)
        if result != HEAD_PARTIAL:
            break
    if result == HEAD_PARTIAL:
        return None
    if result < 0:
        return fault_status(state.fault), fault_text(state.fault).decode()
    return (
        result, info.content_length, info.flags, info.method_at, info.method_length, info.target_at,
        info.target_length, info.path_at, info.path_length, info.query_at, info.query_length, info.host_at,
        info.host_length, info.length, info.method, info.minor,
        [(span.name_at, span.name_length, span.value_at, span.value_length) for span in state.fields[:info.n_fields]],
    )


def proxyhead(bytes text):
    """Read a PROXY header.

    Returns:
        None for more; "failed"; or (length, None or (host, port)).
    """
    cdef ProxyHead state
    cdef char *block = _copied(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    cdef int result = proxy_parse(&state, block, PyBytes_GET_SIZE(text))
    free(block)
    if result == PROXY_PARTIAL:
        return None
    if result < 0:
        return "failed"
    return result, peer_address(&state.source)


def body(list pieces, limit, length=-1):
    """Decode a body that arrives in pieces: chunked with at most `limit` bytes, or of the announced `length`.

    Returns:
        (status, message), or (body, bytes used, whether it ended).
    """
    cdef Body state
    cdef BodyResult result
    cdef bytes piece
    cdef const char *found = NULL
    cdef char *block
    cdef size_t size, at, used = 0, found_size = 0, total = 0
    decoded = []
    if length < 0:
        body_start_chunked(&state, limit)
    else:
        body_start_length(&state, length)
    for piece in pieces:
        size = PyBytes_GET_SIZE(piece)
        block = _copied(PyBytes_AS_STRING(piece), size)
        at = 0
        try:
            while True:
                result = body_step(&state, block + at, size - at, &used, &found, &found_size)
                if result == BODY_FAILED:
                    return fault_status(state.fault), fault_text(state.fault).decode()
                at += used
                if result != BODY_PIECE:
                    break
                if found < block or found + found_size > block + size:
                    raise AssertionError("a piece that lies outside what was given")
                decoded.append(found[:found_size])
        finally:
            free(block)
        total += at
        if result == BODY_DONE:
            return b"".join(decoded), total, True
    return b"".join(decoded), total, False


class Sink:
    """Who takes a body as it comes."""

    def __init__(self):
        self.pieces = []

    def feed(self, piece):
        self.pieces.append(piece)


def reader(list pieces, limit, length, size_t memory, bint to_file):
    """The same through a `BodyReader` that holds `memory` bytes, and gives what is more to a file or to a sink.

    Returns:
        As `body`.
    """
    cdef BodyReader state = BodyReader.__new__(BodyReader)
    cdef BodyResult result = BODY_MORE
    cdef bytes piece
    cdef char *block
    cdef size_t size, used = 0, total = 0
    if length < 0:
        body_start_chunked(&state.body, limit)
    else:
        body_start_length(&state.body, length)
    sink = Sink()
    for piece in pieces:
        size = PyBytes_GET_SIZE(piece)
        block = _copied(PyBytes_AS_STRING(piece), size)
        used = 0
        try:
            result = state.take(block, size, &used)
        finally:
            free(block)
        if result == BODY_FAILED:
            return fault_status(state.body.fault), fault_text(state.body.fault).decode()
        total += used
        if result == BODY_DONE:
            break
        if state.size > memory and state.sink is None and state.spool is None:
            if to_file:
                state.spill(Spool(memfd_create("fuzz")))
            else:
                state.pour(sink)
            if state.size or state.data != NULL:
                raise AssertionError("what was given away is still held")
    if state.sink is not None:
        found = b"".join(sink.pieces)
    else:
        found = state.whole()
        if isinstance(found, Spool):
            if b"".join(found) != found.read() or len(found.read()) != found.size:
                raise AssertionError("a file that reads differently each time")
            found = found.read()
    return found, total, result == BODY_DONE


def route(Router router, bytes method, bytes path):
    """What `Router.find`, `Route.params` and `Router.allow` say of a path: (route, parameters, methods)."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(path), name_size = PyBytes_GET_SIZE(method)
    cdef char *block = _copied(PyBytes_AS_STRING(path), size)
    cdef char *name = NULL
    cdef Route found
    try:
        name = _copied(PyBytes_AS_STRING(method), name_size)
        found = router.find(SPIRALS.get(method, OTHER), name, name_size, block, size)
        return found, None if found is None else found.params(block, size), router.allow(block, size)
    finally:
        free(name)
        free(block)


def messages(list pieces, MessageReader reader):
    """What `MessageReader.next` makes of messages that arrive in pieces.

    Returns:
        The events, and the code of the fault that ended them or None.
    """
    cdef bytes piece
    cdef char *block
    cdef size_t size, at, used = 0
    events = []
    for piece in pieces:
        size = PyBytes_GET_SIZE(piece)
        block = _copied(PyBytes_AS_STRING(piece), size)
        at = 0
        try:
            while reader.close_code == 0:
                message = reader.next(block + at, size - at, &used)
                if reader.event == EVENT_NONE:
                    if at + used != size:
                        raise AssertionError("bytes were left over, and nothing was said of them")
                    break
                if used > size - at:
                    raise AssertionError("more was used than given")
                events.append((reader.event, message))
                at += used
        except WebSocketError as error:
            return events, error.code
        finally:
            free(block)
    return events, None
