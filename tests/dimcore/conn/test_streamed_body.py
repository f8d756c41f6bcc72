"""Bodies that are made while they are sent: their framing, their errors, and who closes them."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.dimcore.sources import Source

from dimcore import Composite, FileBody, Outflow, Push, ResponseError, stream_source
from dimcore.conn.streamed_body import as_bytes

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"

Serve = Callable[..., Any]


def generator(*pieces: Any) -> Iterator[Any]:
    yield from pieces


# --- on its own ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("piece", "expected"),
    [(b"a", b"a"), ("é", "é".encode()), (bytearray(b"b"), b"b"), (memoryview(b"abc")[1:], b"bc"), (b"", b"")],
)
def test_pieces(piece: Any, expected: bytes) -> None:
    assert as_bytes(piece) == expected


@pytest.mark.parametrize("piece", [None, 5, [1], (b"a",), {"a": 1}, 1.5, object()])
def test_what_is_no_piece(piece: Any) -> None:
    with pytest.raises(ResponseError, match="must be bytes or str, not"):
        as_bytes(piece)


@pytest.mark.parametrize(
    "result",
    [None, b"a", "a", {}, [], bytearray(), 5, (200, None, b"a"), (200, None, [1]), (1, 2), Composite([b"a"]), Push()],
)
def test_results_without_a_source(result: Any) -> None:
    assert stream_source(result) is None


def test_the_source_of_a_result() -> None:
    class Result:
        body: Any = generator()

    made = generator()
    assert stream_source(made) is made
    assert stream_source((200, None, made)) is made
    assert stream_source(Result()) is Result.body
    pieces = ("a", "b")
    assert stream_source((200, None, pieces)) is pieces


def test_closing() -> None:
    source = Source(b"a")
    flow = Outflow(source)
    flow.close()
    flow.close()
    assert source.closed == 1
    assert flow.sent == 0
    with pytest.raises(TypeError):
        Outflow(5)  # type: ignore[arg-type]


def test_a_source_that_fails_while_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", told.append)

    def stubborn() -> Iterator[bytes]:
        try:
            yield b"a"
        finally:
            raise RuntimeError("no")

    source = stubborn()
    next(source)
    Outflow(source).close()
    assert [type(entry.exc_value) for entry in told] == [RuntimeError]


def test_a_push_that_is_not_sent_drops_what_is_written() -> None:
    push = Push()
    assert push.write(b"a")
    push.end()
    push.close()


# --- good for one answer ------------------------------------------------------------------------


def test_a_push_given_to_two_answers_is_refused_and_the_first_goes_on(serve: Serve) -> None:
    push = Push()
    rig = serve(lambda request: (200, None, push))
    first, second = rig.connect().send(GET), rig.connect()
    push.write("begun, ")
    assert second.ask(GET).status == 500
    ((message, _, error),) = rig.reports
    assert (message, type(error)) == ("a handler failed", ResponseError)
    assert str(error) == "this Push is the body of another answer already: make one for each"
    push.write("ended")
    push.end()
    rig.turn()
    assert first.answer()["transfer-encoding"] == "chunked"
    first.wait(lambda: first.left.endswith(b"0\r\n\r\n"))
    assert first.left == b"7\r\nbegun, \r\n5\r\nended\r\n0\r\n\r\n"


@pytest.mark.parametrize("request_bytes", [GET, HEAD])
def test_an_outflow_is_used_up_by_its_answer(serve: Serve, request_bytes: bytes) -> None:
    source = Source(b"once")
    flow = Outflow(source)
    rig = serve(lambda request: (200, None, flow))
    client = rig.connect()
    assert client.ask(request_bytes).status == 200
    client.left = b""
    assert client.ask(GET).status == 500
    assert "this Outflow is the body of another answer already" in str(rig.reports[0][2])
    assert source.closed == 1


def test_an_outflow_somebody_else_sends_is_not_closed_by_whoever_cannot_have_it(serve: Serve) -> None:
    """Pulled a piece at a time by a peer that lags, while a second answer, and a third whose client left, want it."""
    source = Source(*[b"x" * 100_000] * 80)
    flow = Outflow(source)
    rig = serve({"GET /": lambda request: (200, None, flow), "GET !/late": lambda request: (200, None, flow)})
    slow = rig.connect(receive_buffer=100_000).send(GET)
    gone = rig.connect().send(GET.replace(b" / ", b" /late "))
    gone.reset()
    assert rig.connect().ask(GET).status == 500
    rig.run_job()
    assert source.closed == 0
    slow.answer()
    slow.wait(lambda: slow.left.endswith(b"\r\n0\r\n\r\n"))
    assert slow.left.count(b"x") == 8_000_000
    assert source.closed == 1


def test_a_file_somebody_else_sends_is_not_closed_either(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 8_000_000)
    body = FileBody(os.open(tmp_path / "large", os.O_RDONLY), 0, 8_000_000)
    answers = [body, body, Composite([b"a", body])]
    rig = serve({"GET /": lambda request: (200, None, answers.pop(0)), "GET !/late": lambda request: (200, None, body)})
    slow = rig.connect(receive_buffer=100_000).send(GET)
    gone = rig.connect().send(GET.replace(b" / ", b" /late "))
    gone.reset()
    assert [rig.connect().ask(GET).status for _ in range(2)] == [500, 500]
    rig.run_job()
    assert len(slow.answer().body) == 8_000_000


# --- pulled -------------------------------------------------------------------------------------


def test_chunks_byte_for_byte(serve: Serve) -> None:
    rig = serve(lambda request: generator(b"a", "é", b"", bytearray(b"x" * 17), b"y" * 20000))
    client = rig.connect().send(GET + GET)

    for _ in range(2):
        answer = client.answer()
        assert answer["transfer-encoding"] == "chunked"
        assert "content-length" not in answer
        expected = b"1\r\na\r\n2\r\n\xc3\xa9\r\n11\r\n" + b"x" * 17 + b"\r\n4e20\r\n" + b"y" * 20000 + b"\r\n0\r\n\r\n"
        client.wait(lambda expected=expected: len(client.left) >= len(expected))
        assert client.left.startswith(expected)
        client.left = client.left[len(expected) :]
    assert client.is_open()


def test_a_length_that_is_known(serve: Serve) -> None:
    rig = serve(lambda request: (200, {"Content-Length": "5"}, generator(b"he", "llo")))
    client = rig.connect()
    for _ in range(3):
        answer = client.ask(GET)
        assert answer.body == b"hello"
        assert "transfer-encoding" not in answer
    assert rig.reports == []


@pytest.mark.parametrize(
    ("pieces", "most"),
    [
        ((b"he",), 2),  # too few
        ((b"he", b"lloo"), 4),  # too many: nothing that makes the answer look whole
        ((b"hello", b"x"), 4),
        ((b"he", b"llo", b"", b"x"), 4),
    ],
)
def test_a_length_that_is_wrong(serve: Serve, pieces: Any, most: int) -> None:
    rig = serve(lambda request: (200, {"Content-Length": "5"}, generator(*pieces)))
    client = rig.connect().send(GET + GET)
    rest = client.rest()
    assert rest.count(b"HTTP/1.1 ") == 1
    assert len(rest.partition(b"\r\n\r\n")[2]) <= most
    assert [report[0] for report in rig.reports] == ["a streamed body failed"]
    assert "Content-Length" in str(rig.reports[0][2])


def test_no_pieces(serve: Serve) -> None:
    promised = {"Content-Length": "5"}
    rig = serve(
        {
            "GET /": lambda request: generator(b"", ""),
            "GET /len": lambda request: (200, promised, generator()),
        }
    )
    client = rig.connect()
    answer = client.ask(GET)
    assert (answer.status, answer["content-length"]) == (200, "0")
    assert "transfer-encoding" not in answer
    assert client.ask(GET.replace(b" / ", b" /len ")).status == 500
    assert client.ask(GET).status == 200


def test_an_old_client_reads_to_the_end(serve: Serve) -> None:
    rig = serve({"GET /": lambda request: generator(b"a", b"b" * 30000), "GET /none": lambda request: generator()})
    head, _, body = rig.connect().send(OLD).rest().partition(b"\r\n\r\n")
    assert body == b"a" + b"b" * 30000
    assert b"Transfer-Encoding" not in head
    assert b"Content-Length" not in head
    assert b"Connection: close" in head
    assert b"Content-Length: 0" in rig.connect().send(OLD.replace(b"/ ", b"/none ")).rest()


def test_an_old_client_is_reset_on_failure(serve: Serve) -> None:
    rig = serve(lambda request: generator(b"a", ValueError))  # a class is no piece either
    with pytest.raises(ConnectionResetError):
        rig.connect().send(OLD).rest()


def test_an_old_client_is_reset_when_the_server_gives_up(serve: Serve) -> None:
    rig = serve(lambda request: generator(b"a", b"b" * (16 << 20)))
    client = rig.connect(receive_buffer=4096).send(OLD)
    (connection,) = rig.connections()
    connection.close()
    with pytest.raises(ConnectionResetError):
        client.rest()


def test_head_runs_no_source(serve: Serve) -> None:
    source = Source(b"a")
    rig = serve({"HEAD /": lambda request: (200, {"Content-Length": "5"}, source)})
    client = rig.connect()
    assert client.ask(HEAD, head_only=True)["content-length"] == "5"
    assert client.is_open()
    assert (source.pulled, source.closed) == (0, 1)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_without_a_body_runs_no_source(serve: Serve, status: int) -> None:
    source = Source(b"a")
    rig = serve(lambda request: (status, None, source))
    client = rig.connect()
    assert client.ask(GET).status == status
    assert client.is_open()
    assert (source.pulled, source.closed) == (0, 1)


def test_an_error_before_the_first_piece_is_an_answer(serve: Serve) -> None:
    source = Source(b"", ValueError("first"), b"never")
    rig = serve(lambda request: source)
    client = rig.connect()
    assert client.ask(GET).status == 500
    assert source.closed == 1
    assert str(rig.reports[0][2]) == "first"
    assert client.is_open()


def test_a_wrong_first_piece_is_an_error_answer(serve: Serve) -> None:
    rig = serve(lambda request: generator(5))
    assert rig.connect().ask(GET).status == 500


@pytest.mark.parametrize("wrong", [ValueError("later"), None, 5, [b"a"], SystemExit()])
def test_an_error_in_the_middle_cuts_the_answer(serve: Serve, wrong: Any) -> None:
    source = Source(b"first", wrong, b"never")
    rig = serve(lambda request: source)
    rest = rig.connect().send(GET + GET).rest()
    assert rest.count(b"HTTP/1.1 200 OK") == 1
    assert b"5\r\nfirst\r\n" in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert source.closed == 1
    assert len(rig.reports) == 1


def test_a_source_is_closed_when_it_ends(serve: Serve) -> None:
    source = Source(b"a", b"b")
    rig = serve(lambda request: source)
    client = rig.connect().send(GET)
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    assert source.closed == 1


# --- pushed -------------------------------------------------------------------------------------


def test_pushed_chunks(serve: Serve) -> None:
    push = Push()
    rig = serve(lambda request: (200, None, push))
    client = rig.connect().send(GET)
    assert push.write(b"abc")
    assert push.write("é")
    assert push.write(b"")
    with pytest.raises(ResponseError):
        push.write(5)  # type: ignore[arg-type]
    assert push.sent == 5
    push.end()
    push.end()
    assert push.write(b"after")
    assert client.answer()["transfer-encoding"] == "chunked"
    client.wait(lambda: client.left == b"3\r\nabc\r\n2\r\n\xc3\xa9\r\n0\r\n\r\n")
    assert client.is_open()


def test_pushed_with_a_length(serve: Serve) -> None:
    pushes: list[Push] = []

    def handler(request: Any) -> Any:
        pushes.append(Push())
        return 200, {"Content-Length": "3"}, pushes[-1]

    rig = serve(handler)
    client = rig.connect().send(GET)
    pushes[0].write(b"abc")
    pushes[0].end()
    assert client.answer().body == b"abc"
    client.send(GET)
    pushes[1].write(b"ab")
    pushes[1].end()  # too few
    assert client.rest().endswith(b"\r\n\r\nab")
    client = rig.connect().send(GET)
    pushes[2].write(b"abcd")  # too many
    assert client.rest().endswith(b"\r\n\r\n")
    assert len(rig.reports) == 2


def test_who_pushes_is_told_to_wait_and_to_go_on(serve: Serve) -> None:
    drained: list[int] = []
    push = Push(lambda: drained.append(1))
    rig = serve(lambda request: (200, None, push))
    client = rig.connect(receive_buffer=4096).send(GET)
    pushed = 0
    while push.write(b"x" * 65536):
        pushed += 1
        assert pushed < 1000
    rig.turn_for(0.05)
    assert drained == []
    client.wait(lambda: bool(drained))
    push.end()
    client.wait(lambda: client.left.endswith(b"\r\n0\r\n\r\n"))
    assert client.left.count(b"x" * 65536) == pushed + 1


@pytest.mark.parametrize("size", [100, 20_000])
@pytest.mark.parametrize("behind", [False, True], ids=["alone", "pipelined"])
def test_on_drain_may_write_and_end(serve: Serve, size: int, behind: bool) -> None:
    left = [20]

    def more() -> None:
        while left[0]:
            left[0] -= 1
            if not push.write(b"%c" % (97 + left[0] % 26) * size):
                return
        push.end()
        assert push.write(b"nothing")  # it is over

    push = Push(more)
    rig = serve({"GET /": lambda request: (200, None, push), "GET /next": lambda request: "next"})
    rig.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # which those that are accepted inherit
    client = rig.connect(receive_buffer=4096).send(GET + (GET.replace(b"/", b"/next", 1) if behind else b""))
    total = 0
    while push.write(b"_" * 65536):
        total += 65536
    total += 65536
    client.wait(lambda: b"\r\n0\r\n\r\n" in client.left)
    answer, _, rest = client.left.partition(b"\r\n0\r\n\r\n")
    body = b"".join(line for line in answer.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2])
    assert body == b"_" * total + b"".join(b"%c" % (97 + number % 26) * size for number in range(19, -1, -1))
    if behind:
        client.wait(lambda: client.left.endswith(b"next"))
    assert rig.reports == []
    client.left = b""
    assert client.ask(GET.replace(b"/", b"/next", 1)).body == b"next"
    assert rest == b"" or behind


def test_what_on_drain_does_wrong_cuts_its_answer_alone(serve: Serve) -> None:
    pushes: list[Push] = []

    def handler(request: Any) -> Any:
        pushes.append(Push(lambda: pushes[0].write(b"more than was said")))
        return 200, {"Content-Length": "20"} if len(pushes) > 1 else {"Content-Length": "200000"}, pushes[-1]

    rig = serve({"GET /": handler, "GET /next": lambda request: "next"})
    rig.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # which those that are accepted inherit
    client = rig.connect(receive_buffer=4096).send(GET)
    assert not pushes[0].write(b"x" * 199_990)
    client.wait_for_end()
    assert len(client.left.partition(b"\r\n\r\n")[2]) == 199_990
    (report,) = rig.reports
    assert "more bytes than the 200000" in str(report[2])
    assert rig.connect().ask(GET.replace(b"/", b"/next", 1)).body == b"next"


def test_who_pushes_is_told_that_the_client_left(serve: Serve) -> None:
    left: list[int] = []
    push = Push(on_close=lambda: left.append(1))
    rig = serve(lambda request: (200, None, push))
    client = rig.connect().send(GET)
    push.write(b"a")
    client.reset()
    rig.turn_for(0.05)
    assert left == [1]
    assert push.write(b"b")
    push.end()
    assert left == [1]
    assert rig.cells() == {}


def test_a_push_ended_with_an_error_is_cut(serve: Serve) -> None:
    push = Push()
    rig = serve(lambda request: (200, None, push))
    client = rig.connect().send(GET)
    push.write(b"a")
    push.end(ValueError("broken"))
    assert client.rest().endswith(b"1\r\na\r\n")
    assert str(rig.reports[0][2]) == "broken"


def test_a_request_behind_a_push_is_answered_by_its_end(serve: Serve) -> None:
    pushes: list[Push] = []

    def handler(request: Any) -> Any:
        if pushes:
            raise KeyError("the one behind")
        pushes.append(Push())
        return 200, None, pushes[0]

    rig = serve(handler)
    client = rig.connect().send(GET + GET)
    assert pushes[0].write(b"a")
    pushes[0].end()
    assert client.answer().status == 200
    client.wait(lambda: client.left.startswith(b"1\r\na\r\n0\r\n\r\n") and client.left.endswith(b"Error\n"))


def test_a_push_from_within_a_handler_is_refused(serve: Serve) -> None:
    push = Push()
    rig = serve({"GET /": lambda request: (200, None, push), "GET /other": lambda request: str(push.write(b"x"))})
    rig.connect().send(GET)
    assert rig.connect().ask(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n").status == 500
    assert "not from a handler" in str(rig.reports[0][2])


def test_nothing_of_a_source_stays(serve: Serve) -> None:
    class Watched(Source):
        pass

    rig = serve(lambda request: Watched(b"a"))
    client = rig.connect().send(GET)
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    rig.turn()
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Watched]
