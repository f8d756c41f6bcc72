"""What a client must be answered, read out of the bytes it sends; and the answers, read out of those that come back.

It reads with the same parsers, which have harnesses of their own, and knows nothing of a connection: one request after
the other, each with its body, says what answers must come, and where they end.
"""

from __future__ import annotations

import re
from typing import Any

from tests.fuzz.connection_server import (
    ARCHIVES,
    BODIES,
    CLOSES,
    CUT,
    ECHOES,
    FAULTS,
    MAX_BODY,
    ON_THREADS,
    SOCKET,
    STATIC,
)

from dimcore import BadRequest, HeadParser, MessageReader, decode_chunked

# --- what comes back ----------------------------------------------------------------------------


class Answer:
    """One answer as it was read: status, fields by name in lower case, body, whether it is whole."""

    def __init__(self, head: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        self.status = int(status)
        self.fields: dict[str, str] = {}
        for field in lines:
            name, colon, value = field.partition(": ")
            assert colon, field
            assert name.lower() not in self.fields, field
            self.fields[name.lower()] = value
        self.body = b""
        self.whole = True

    @property
    def closes(self) -> bool:
        return self.fields.get("connection", "").lower() == "close"

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:40]!r}{'' if self.whole else ' ...'}{' and close' if self.closes else ''}"


def read_answers(data: bytes, ended: bool, methods: list[str]) -> tuple[list[Answer], bytes]:
    """The answers in `data`, without 100 Continue, and what follows a 101.

    Args:
        data: all that came.
        ended: whether the server closed.
        methods: of the requests, in order; an answer to HEAD has no body.
    """
    found: list[Answer] = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, f"half a head came: {data!r:.200}"
        answer = Answer(head)
        data = rest
        if answer.status == 100:
            assert set(answer.fields) == set()
            continue
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        found.append(answer)
        if answer.status == 101:
            return found, data
        assert "date" in answer.fields
        if method == "HEAD" or answer.status == 204:
            continue
        length = answer.fields.get("content-length")
        if answer.fields.get("transfer-encoding") == "chunked":
            assert length is None
            decoded = decode_chunked(data, 1 << 30)
            if decoded is None:
                answer.body, answer.whole = data, False
                data = b""
            else:
                answer.body = decoded[0]
                data = data[decoded[1] :]
        elif length is not None:
            answer.body, data = data[: int(length)], data[int(length) :]
            answer.whole = len(answer.body) == int(length)
        else:
            assert answer.closes, "nothing frames this body"
            answer.body, data = data, b""
            answer.whole = ended
        if answer.closes:
            assert data == b"", "something follows the last answer"
    return found, b""


# --- what should come back ----------------------------------------------------------------------


Asked = tuple[str, str, str | None]  # method, target, user agent


class Expected:
    """What an answer may be.

    Attributes:
        statuses: any of these; none where the connection ends without an answer.
        body: exactly, or None for whatever it is.
        closes: it is the last one; None: it may be.
        whole: whether all of it comes.
        optional: it need not come at all.
    """

    def __init__(
        self,
        method: str,
        *statuses: int,
        body: bytes | None = None,
        closes: bool | None = False,
        whole: bool = True,
        optional: bool = False,
    ) -> None:
        self.method = method
        self.statuses = statuses
        self.body = body
        self.closes = closes
        self.whole = whole
        self.optional = optional

    def __repr__(self) -> str:
        return f"{self.method}: {self.statuses} {self.body!r:.40} closes={self.closes} whole={self.whole}"


def keeps_alive(head: HeadParser) -> bool:
    """RFC 9112 9.3."""
    values = b",".join(value for name, value in head.fields if name.lower() == b"connection").lower()
    options = {option.strip(b" \t") for option in values.split(b",")}
    return b"close" not in options and (head.minor >= 1 or b"keep-alive" in options)


def agent_in(head: HeadParser) -> str | None:
    for name, value in head.fields:
        if name.lower() == b"user-agent":
            return value.decode("latin-1")
    return None


def model(text: bytes, half_closed: bool, asked: list[Asked]) -> list[Expected]:
    """The answers to a stream of requests; `asked` gets those whose lines are whole."""
    expected: list[Expected] = []
    while text:
        head = HeadParser()
        try:
            length = head.feed(text)
        except BadRequest as error:
            asked += line_in(text)
            return [*expected, Expected(method_in(text), error.status, closes=True)]
        if length is None:
            asked += line_in(text)
            if half_closed:
                # Empty lines may be taken for the beginning of a request or not.
                optional = not text.strip(b"\r\n")
                expected.append(Expected(method_in(text), 400, closes=True, optional=optional))
            return expected
        text = text[length:]
        asked.append((head.method.decode(), head.target.decode("latin-1"), agent_in(head)))
        one, used = exchange(head, text, half_closed)
        if one is not None:
            expected.append(one)
        if one is None or one.closes or one.statuses == (101,):
            return expected
        text = text[used:]
    return expected


def line_in(text: bytes) -> list[Asked]:
    """Of a head that is not whole, or refused: what its request line says, once it has been read."""
    match = re.match(rb"(?:\r\n){0,4}([!-~]{1,32}) ([\x21\x22\x24-\x7e]+) ", text)
    return [(match[1].decode(), match[2].decode(), None)] if match else []


def method_in(text: bytes) -> str:
    """Of a head that is not whole: an answer to HEAD has no body, a refusal neither."""
    return "HEAD" if re.match(rb"(?:\r\n){0,4}HEAD ", text) else "GET"


def exchange(head: HeadParser, text: bytes, half_closed: bool) -> tuple[Expected | None, int]:
    """The answer to one request, whose head is read, and how much of `text` is its body; None while that is missing."""
    method = head.method.decode()
    path = head.path.decode("latin-1")
    body, used, refusal = body_of(head, text)
    if head.expects_other:
        return Expected(method, 417, closes=True), 0
    if (head.content_length or 0) > MAX_BODY:
        return Expected(method, 413, closes=True), 0
    goes_on = keeps_alive(head) and method != "CONNECT"  # what follows one may be of another protocol
    handled = is_handled(method, path)
    if not handled:
        # With a body that did not come along it is answered at once, and ends the connection.
        has_body = head.chunked or bool(head.content_length)
        if has_body and (body is None or head.chunked):
            return Expected(method, 200, 204, 404, 405, 501, closes=True), 0
        return Expected(method, 200, 204, 404, 405, 501, closes=None if has_body and goes_on else not goes_on), used
    if refusal:
        statuses = {refusal, 400} if path in ECHOES[1:] else {refusal}
        return Expected(method, *statuses, closes=True), 0
    if body is None:
        return (Expected(method, 400, closes=True) if half_closed else None), 0
    closes = not goes_on
    if path == SOCKET:
        upgrades = any(name.lower() == b"upgrade" and value == b"websocket" for name, value in head.fields)
        only = sum(name.lower() == b"upgrade" for name, _ in head.fields)
        if upgrades and only >= 1 and first_upgrade(head) == b"websocket":
            return Expected(method, 101), used
        return Expected(method, 426, closes=closes), used
    if path == CUT and method == "HEAD":
        return Expected(method, 200, closes=closes or head.minor == 0), used
    if path == CUT:
        # Where the end of the connection is that of the body, a reset tells that it was cut; a Unix socket has none.
        return Expected(method, 200, closes=True, whole=head.minor == 0), used
    if path == ARCHIVES:
        return Expected(method, closes=True), used
    if path.startswith(BENEATH) and path != STATIC:  # no such file, or a spelling of one
        return Expected(method, 200, 206, 301, 304, 308, 400, 403, 404, 412, 416, closes=closes), used
    if path == STATIC:
        return Expected(method, 200, 206, 304, 400, 412, 416, closes=closes), used
    if path == CLOSES:
        return Expected(method, 200, body=b"goodbye", closes=True), used
    if path in FAULTS:
        return Expected(method, 500, closes=closes), used
    content = body if method == "POST" else ON_THREADS[path] if path in ON_THREADS else BODIES[path]
    if path in ("/pieces", "/push", "/rows", "/job-push") and head.minor == 0:
        closes = True  # only the end of the connection ends such a body
    return Expected(method, 200, body=content, closes=closes), used


def first_upgrade(head: HeadParser) -> bytes:
    return next(value for name, value in head.fields if name.lower() == b"upgrade")


BENEATH = STATIC[: STATIC.rindex("/") + 1]  # a route for all that is there


def is_handled(method: str, path: str) -> bool:
    if method == "POST":
        return path in ECHOES
    known = (*BODIES, *ON_THREADS, *FAULTS, CUT, CLOSES, ARCHIVES, SOCKET, STATIC)
    return method in ("GET", "HEAD") and (path in known or path.startswith(BENEATH))


def body_of(head: HeadParser, text: bytes) -> tuple[bytes | None, int, int]:
    """The body, its length on the wire, and the status it is refused with; None: it is not whole."""
    if head.chunked:
        try:
            decoded = decode_chunked(text, MAX_BODY)
        except BadRequest as error:
            return None, 0, error.status
        return (None, 0, 0) if decoded is None else (decoded[0], decoded[1], 0)
    size = head.content_length or 0
    return (text[:size], size, 0) if len(text) >= size else (None, 0, 0)


def compare(expected: list[Expected], found: list[Answer], ended: bool, half_closed: bool) -> None:
    """The answers are the expected ones, up to one that may be the last and is."""
    for number, answer in enumerate(found):
        assert number < len(expected), f"nobody asked for {answer}"
        want = expected[number]
        assert answer.status in want.statuses, (answer, want)
        assert answer.whole == want.whole, (answer, want)
        if want.body is not None:
            assert answer.body == (b"" if want.method == "HEAD" else want.body), (answer, want)
        if want.method == "HEAD" and want.body is not None and "content-length" in answer.fields:
            assert int(answer.fields["content-length"]) == len(want.body)
        last = answer.closes or not answer.whole
        if want.closes is not None and want.statuses != (101,):
            assert last == want.closes, (answer, want)
        if last:
            assert ended, f"{answer} was the last one, and the connection is open"
            assert number == len(found) - 1
            return
    if expected and not expected[-1].statuses:
        # Answers that were written for the requests before it went with the connection.
        assert ended, "the connection was archived, and is open"
        return
    missing = [one for one in expected[len(found) :] if not one.optional]
    assert not missing, f"missing: {missing}"
    if not (found and found[-1].status == 101):
        assert ended == half_closed, "closed" if ended else "still open"


def read_frames(data: bytes) -> list[tuple[int, Any]]:
    """What a WebSocket's client gets, each frame right; of a goodbye its code, since what a fault is called depends
    on how much of it was seen."""
    reader = MessageReader(from_client=False)
    return [(opcode, reader.close_code if opcode == 8 else payload) for opcode, payload in reader.feed(data)]
