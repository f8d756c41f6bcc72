"""Every case of the corpus: through the parser and over sockets, whole, in pieces, and with a request behind it."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from tests.wire.answers import Answer, split_answers
from tests.wire.cases import Case, load
from tests.wire.echo import app, facts
from tests.wire.stepping import SteppedClient, SteppedServer

from dimcore import BadRequest, ChunkedDecoder, parse_request
from dimcore.http1.head_reader import HeadParser

CASES = load()
PROBE = b"GET /probe HTTP/1.1\r\nHost: probe.test\r\nConnection: close\r\n\r\n"
BYTES_APART = 700  # requests up to this length go byte by byte, and in two parts at every place
PARTS = 40  # how many places to split a longer one at
MAX_BODY = 16 * 1024 * 1024
TIMEOUT = 10  # seconds; a test that waits so long has failed


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """Each case."""
    found: Case = request.param
    return found


def check_facts(case: Case, seen: dict[str, Any]) -> None:
    """What the corpus says about a request against what is there."""
    fields = [tuple(pair) for pair in seen["fields"]]
    wanted: dict[str, list[str]] = {}
    for name, text in case.facts:
        if name == "field":
            field, _, value = text.partition(": ")
            wanted.setdefault(field, []).append(value)
        elif name == "fields":
            assert len(fields) == int(text)
        elif name == "length":
            assert len(seen["body"]) == int(text)
        elif name != "continue":
            assert seen[name] == text, name
    for field, values in wanted.items():
        assert [value for known, value in fields if known == field] == values


def check_answers(case: Case, answers: list[Answer], probed: bool) -> None:
    """The final answers of one connection, all of them."""
    statuses = case.answers + [200] * (probed and not (case.closes and case.answers))
    assert [answer.status for answer in answers] == statuses
    last = len(answers) - 1
    for number, answer in enumerate(answers):
        assert "date" in answer.fields
        closing = number == last and (probed or case.closes)
        assert (answer.fields.get("connection") == "close") == closing
        if answer.status == 200 and answer.body:
            seen = json.loads(answer.body)
            if probed and number == last and number == len(case.answers):
                assert (seen["path"], seen["host"], seen["body"]) == ("/probe", "probe.test", "")
            else:
                check_facts(case, seen)


def final(data: bytes, case: Case) -> list[Answer]:
    """All answers of a connection that has ended, without the interim ones."""
    answers, rest = split_answers(data, heads=int(case.head_only))
    assert rest == b""
    return [answer for answer in answers if answer.status >= 200]


# --- the parser -------------------------------------------------------------------------------------


def test_parsed_whole(case: Case) -> None:
    if not case.taken and not case.cut:
        with pytest.raises(BadRequest) as refusal:
            parse_request(case.request)
        assert refusal.value.status == case.answers[0]
        return
    parsed = parse_request(case.request)
    if case.cut:
        if parsed is not None:
            with pytest.raises(BadRequest):
                _ = parsed[0].body
        return
    assert parsed is not None
    request, consumed = parsed
    assert consumed == len(case.request) or len(case.answers) > 1
    check_facts(case, facts(request))
    # What stands behind a request changes nothing about it.
    behind = parse_request(case.request + PROBE)
    assert behind is not None
    assert behind[1] == consumed
    assert facts(behind[0]) == facts(request)


def parse_in_pieces(pieces: list[bytes]) -> HeadParser | int | None:
    """A request through the resumable parsers: the head, the status of a refusal, or None when it is incomplete."""
    head = HeadParser()
    chunks: ChunkedDecoder | None = None
    missing = 0
    try:
        for piece in pieces:
            if not head.complete:
                used = head.feed(piece)
                if used is None:
                    continue
                if head.expects_other:
                    return 417
                missing = head.content_length or 0
                if missing > MAX_BODY:
                    return 413
                if head.chunked:
                    chunks = ChunkedDecoder(MAX_BODY)
                piece = piece[used:]
            if chunks is not None and not chunks.done:
                chunks.feed(piece)
            missing -= len(piece)
    except BadRequest as error:
        return error.status
    if not head.complete or missing > 0 or (chunks is not None and not chunks.done):
        return None
    return head


def split_places(size: int) -> range:
    """Where to split a request of this size in two."""
    return range(1, size) if size <= BYTES_APART else range(1, size, max(1, size // PARTS))


def test_parsed_in_pieces(case: Case) -> None:
    data = case.request
    expected = None if case.cut else 0 if case.taken else case.answers[0]
    ways = [[data[:place], data[place:]] for place in split_places(len(data))]
    if len(data) < 50_000:
        ways.append([data[i : i + 1] for i in range(len(data))])
    for pieces in ways:
        result = parse_in_pieces(pieces)
        if expected == 0:
            assert isinstance(result, HeadParser)
            parsed = parse_request(data)
            assert parsed is not None
            assert result.method.decode() == parsed[0].method
            assert result.target.decode() == parsed[0].raw_target
            assert [(n.decode().lower(), v.decode("latin-1")) for n, v in result.fields] == parsed[0].headers.items()
        else:
            assert result == expected


# --- a server in a process of its own ---------------------------------------------------------------


def open_socket(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address, timeout=TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_to_end(sock: socket.socket) -> bytes:
    data = bytearray()
    while piece := sock.recv(65536):
        data += piece
    return bytes(data)


def read_answers(sock: socket.socket, case: Case) -> bytes:
    """What a connection that stays open sends, up to its last answer."""
    data = b""
    while len(final(data, case) if complete(data, case) else []) < len(case.answers):
        piece = sock.recv(65536)
        assert piece, "closed"
        data += piece
    return data


def complete(data: bytes, case: Case) -> bool:
    return split_answers(data, heads=int(case.head_only))[1] == b""


def converse(address: tuple[str, int], case: Case, pieces: list[bytes]) -> tuple[bytes, bool]:
    """Send the pieces, take what comes; where the connection stays open, ask once more.

    Returns:
        All that was received, and whether the further request was sent.
    """
    probed = False
    with open_socket(address) as sock:
        for piece in pieces:
            try:
                sock.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break  # refused and closed before all of it was sent
        if case.cut:
            sock.shutdown(socket.SHUT_WR)
            return read_to_end(sock), False
        data = b""
        if not case.closes:
            data = read_answers(sock, case)
            sock.sendall(PROBE)
            probed = True
        return data + read_to_end(sock), probed


def test_served_whole(case: Case, address: tuple[str, int]) -> None:
    data, probed = converse(address, case, [case.request])
    check_answers(case, final(data, case), probed)


# A request behind half a request would be its other half.
@pytest.mark.parametrize("case", [case for case in CASES if not (case.cut and case.answers)], ids=lambda c: c.name)
def test_served_with_a_request_behind(case: Case, address: tuple[str, int]) -> None:
    with open_socket(address) as sock:
        sock.sendall(case.request + PROBE)
        data = read_to_end(sock)
    check_answers(case, final(data, case), probed=True)


def test_served_byte_by_byte(case: Case, address: tuple[str, int]) -> None:
    size = 1 if len(case.request) <= BYTES_APART else len(case.request) // PARTS
    data, probed = converse(address, case, [case.request[i : i + size] for i in range(0, len(case.request), size)])
    check_answers(case, final(data, case), probed)


# --- the same over sockets, with every piece read apart ---------------------------------------------


def step_through(server: SteppedServer, case: Case, pieces: list[bytes]) -> None:
    """Send the pieces one by one; nothing is answered too soon, and all of it in the end."""
    probed = False
    with server.connect() as client:
        for number, piece in enumerate(pieces, 1):
            if client.ended:
                assert not case.taken or len(case.answers) > 1
                break
            client.send(piece)
            if case.taken and number < len(pieces) and len(case.answers) == 1:
                assert final(client.received, case) == []
        if case.cut:
            assert client.received == b""
            client.finish()
        elif not case.closes:
            client.send(PROBE)
            probed = True
        assert client.ended
        check_answers(case, final(client.received, case), probed)
    assert server.reports == []


def test_stepped_byte_by_byte(case: Case, stepped: SteppedServer) -> None:
    size = 1 if len(case.request) <= BYTES_APART else 997
    step_through(stepped, case, [case.request[i : i + size] for i in range(0, len(case.request), size)])
    # Nothing is left behind in any cell, and none counts below zero.
    index = app.request_manifold.index
    assert not any(index.count_at(spiral, layer) for spiral in range(8) for layer in range(1, 8))


def test_stepped_in_two(case: Case, stepped: SteppedServer) -> None:
    for place in split_places(len(case.request)):
        step_through(stepped, case, [case.request[:place], case.request[place:]])


@pytest.mark.parametrize("case", [case for case in CASES if case.fact("continue") is not None], ids=lambda c: c.name)
def test_continue_comes_before_the_body(case: Case, stepped: SteppedServer) -> None:
    end = case.request.index(b"\r\n\r\n") + 4
    with stepped.connect() as client:
        client.send(case.request[:end])
        assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(case.request[end:])
        assert [answer.status for answer in split_answers(client.received)[0]] == [100, *case.answers]


@pytest.mark.parametrize("case", [case for case in CASES if case.fact("continue") is None], ids=lambda c: c.name)
def test_continue_is_not_sent_unasked(case: Case, stepped: SteppedServer) -> None:
    with stepped.connect() as client:
        received(client, case.request)
        answers, _ = split_answers(client.received, heads=int(case.head_only))
        assert 100 not in [answer.status for answer in answers]


def received(client: SteppedClient, data: bytes) -> None:
    """Send the head by itself, then the rest."""
    head, end, body = data.partition(b"\r\n\r\n")
    client.send(head + end)
    if not client.ended:
        client.send(body)


def test_a_body_nobody_takes_is_never_a_request(stepped: SteppedServer) -> None:
    head = b"BREW / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(PROBE)
    with stepped.connect() as client:  # all of it at once: passed over
        client.send(head + PROBE + PROBE)
        assert [answer.status for answer in split_answers(client.received)[0]] == [405, 200]
    with stepped.connect() as client:  # answered before it came: dropped, and the connection ends
        client.send(head)
        client.send(PROBE)
        assert [answer.status for answer in split_answers(client.received)[0]] == [405]
        assert client.ended


# --- the corpus itself ------------------------------------------------------------------------------


def test_corpus_is_large() -> None:
    assert len(CASES) >= 400
    assert all(case.why for case in CASES)
    assert all(case.answers or case.cut for case in CASES)
