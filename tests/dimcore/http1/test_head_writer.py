"""Heads of answers: what goes out is what was meant, and what must not go out never does."""

from __future__ import annotations

import re
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimcore import ResponseError, format_head
from dimcore.http1.head_writer import REASONS, Writer

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def fields(head: bytes) -> list[tuple[str, str]]:
    assert head.endswith(b"\r\n\r\n")
    pairs = (line.split(b": ", 1) for line in head[:-4].split(b"\r\n")[1:])
    return [(name.decode(), value.decode("latin-1")) for name, value in pairs]


def names(head: bytes) -> list[str]:
    return [name.lower() for name, _ in fields(head)]


@pytest.mark.parametrize("status", range(200, 600))
def test_the_status_line(status: int) -> None:
    line = format_head(status).partition(b"\r\n")[0]
    assert line == f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}".encode()


def test_phrases_agree_with_the_library() -> None:
    renamed = {413, 414, 416, 418, 422}  # RFC 9110 gave some other phrases; 418 it does not have
    for known in HTTPStatus:
        if known >= 200 and known not in renamed:
            assert REASONS.get(known, known.phrase) == known.phrase


def test_what_the_server_adds() -> None:
    head = format_head(200, {"X-A": "b"}, 5)
    assert names(head) == ["x-a", "server", "date", "content-length"]
    assert dict(fields(head))["Content-Length"] == "5"


def test_the_date() -> None:
    sent = dict(fields(format_head(200)))["Date"]
    assert formatdate(parsedate_to_datetime(sent).timestamp(), usegmt=True) == sent


def test_a_handler_may_give_date_and_server() -> None:
    assert names(format_head(200, {"date": "x"})) == ["date", "server", "content-length"]
    assert names(format_head(200, {"SERVER": "x"})) == ["server", "date", "content-length"]
    assert names(format_head(200, {"server": "x", "date": "y"})) == ["server", "date", "content-length"]


@pytest.mark.parametrize(
    ("length", "text"), [(0, "0"), (9, "9"), (10, "10"), (1234567890123456789, "1234567890123456789")]
)
def test_lengths(length: int, text: str) -> None:
    assert dict(fields(format_head(200, None, length)))["Content-Length"] == text


def test_unknown_length() -> None:
    assert "transfer-encoding" in names(format_head(200, None, None))
    old = names(format_head(200, None, None, http_1_0=True))
    assert "transfer-encoding" not in old
    assert "content-length" not in old
    assert names(format_head(200, {"Content-Length": "7"}, None)).count("content-length") == 1


@pytest.mark.parametrize("status", [204, 304, 205])
def test_no_body_no_length_of_it(status: int) -> None:
    head = format_head(status, {"Content-Length": "5"}, 5, content_type="text/plain")
    assert dict(fields(head)).get("Content-Length") == ("0" if status == 205 else None)
    assert "content-type" not in names(head)


def test_content_type_unless_given() -> None:
    assert dict(fields(format_head(200, content_type="a/b")))["Content-Type"] == "a/b"
    head = format_head(200, {"content-TYPE": "c/d"}, content_type="a/b")
    assert [value for name, value in fields(head) if name.lower() == "content-type"] == ["c/d"]


@pytest.mark.parametrize(
    ("given", "options", "sent"),
    [
        ({}, {}, []),
        ({}, {"close": True}, ["close"]),
        ({}, {"http_1_0": True}, ["keep-alive"]),
        ({}, {"http_1_0": True, "close": True}, ["close"]),
        ({"Connection": "keep-alive"}, {}, []),
        ({"Connection": "Close"}, {}, ["close"]),
        ({"Connection": "a, CLOSE"}, {"http_1_0": True}, ["close"]),
        ({"connection": "Upgrade", "Upgrade": "x"}, {}, ["upgrade"]),
        ({"Keep-Alive": "timeout=5"}, {}, []),
    ],
)
def test_connection_is_the_servers_to_say(given: dict[str, str], options: dict[str, bool], sent: list[str]) -> None:
    head = format_head(200, given, **options)  # type: ignore[arg-type]
    assert [value for name, value in fields(head) if name.lower() == "connection"] == sent
    assert "keep-alive" not in names(head)


@pytest.mark.parametrize("shape", [dict, list, tuple, iter, type("M", (dict,), {})])
def test_every_form_of_headers(shape: Any) -> None:
    head = format_head(200, shape([("A", "b"), (b"C", b"d"), ("E", 5), ("F", "caf\u00e9"), ("G", "")]))
    assert head.split(b"\r\n")[1:6] == [b"A: b", b"C: d", b"E: 5", b"F: caf\xe9", b"G: "]


def test_repeated_fields_of_pairs() -> None:
    head = format_head(200, [("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")])
    assert head.count(b"Set-Cookie: ") == 2


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 199, 600, 999, 10**6])
def test_bad_status(status: int) -> None:
    with pytest.raises(ResponseError, match="200"):
        format_head(status)


@pytest.mark.parametrize("c", [chr(i) for i in range(256)])
def test_every_byte_of_name_and_value(c: str) -> None:
    if TOKEN.fullmatch(c.encode("latin-1")):
        assert f"a{c}: b".encode() in format_head(200, {f"a{c}": "b"})
    else:
        for name in (c, f"a{c}", f"{c}a", f"a{c}a" * 20):
            with pytest.raises(ResponseError):
                format_head(200, {name: "b"})
    for value in (f"x{c}x", f"{c}", "x" * 40 + c + "x" * 40):
        if CONTROL.search(c):
            with pytest.raises(ResponseError, match="control"):
                format_head(200, {"A": value})
        else:
            assert b"A: " + value.encode("latin-1") + b"\r\n" in format_head(200, {"A": value})


@pytest.mark.parametrize(
    "headers",
    [
        {"": "a"},
        {"A": "\u20ac"},
        {"\u20ac": "a"},
        {"A": None},
        {"A": True},
        {"A": 1.5},
        {"A": ["b"]},
        {None: "a"},
        {"A": "\ud800"},
        {"Transfer-Encoding": "chunked"},
        {"transfer-encoding": "identity"},
        {"Content-Length": "4"},
        {"Content-Length": "5 "},
        {"Content-Length": "+5"},
        {"Content-Length": ""},
        {"Content-Length": "5, 5"},
        {"Content-Length": "9" * 30},
        {"Content-Length": "\u0665"},
        {"Content-Length": "-5"},
        [("A",)],
        [("A", "b", "c")],
        "ab",
        b"ab",
        5,
        [5],
        object(),
    ],
    ids=repr,
)
def test_what_must_not_be_sent(headers: Any) -> None:
    with pytest.raises(ResponseError):
        format_head(200, headers, 5)


def test_a_given_length_that_agrees() -> None:
    for value in ("5", 5, b"5", "005"):
        assert names(format_head(200, {"Content-Length": value}, 5)).count("content-length") == 1


def test_a_length_is_given_once() -> None:
    for second in ("5", "6"):
        with pytest.raises(ResponseError):
            format_head(200, [("Content-Length", "5"), ("content-length", second)], None)


def test_errors_name_the_field() -> None:
    with pytest.raises(ResponseError, match="'X-Name'"):
        format_head(200, {"X-Name": "a\r\nb"})


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=5))
def test_nothing_gets_through_that_was_not_asked_for(pairs: list[tuple[str, str]]) -> None:
    """Whatever the text, the head has one line for each field, or there is none."""
    try:
        head = format_head(200, pairs, 0)
    except ResponseError:
        return
    ours = {"content-length", "connection", "server", "date", "keep-alive", "transfer-encoding"}
    lines = head[:-4].split(b"\r\n")
    given_lines = [f"{name}: {value}".encode("latin-1") for name, value in pairs if name.lower() not in ours]
    assert [line for line in lines[1:] if line.partition(b":")[0].decode("latin-1").lower() not in ours] == given_lines
    assert head.count(b"\n") == head.count(b"\r") == len(lines) + 1


def test_a_huge_head() -> None:
    head = format_head(200, {f"X-{number}": "v" * 5000 for number in range(100)}, 0)
    assert head.count(b"v" * 5000) == 100


@pytest.mark.parametrize("name", ["x" * 31, "a\r\nb", "a\0", "\u20ac"])
def test_bad_server_names(name: str) -> None:
    with pytest.raises((ResponseError, UnicodeEncodeError)):
        Writer(name)
