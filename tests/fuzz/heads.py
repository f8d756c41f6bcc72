"""Heads: the parser beside a grammar written down a second time, as regular expressions.

The model says of every input whether it is a head that must be taken, and what it means; it is as slow and plain as
the parser is fast.  Faults are not compared, since the order of two faults in one head is nobody's business.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Any
from urllib.parse import unquote

from tests.dimcore.h11_view import h11_reads
from tests.fuzz import exact
from tests.fuzz.inputs import bytewise, cut, split_choices

from dimcore import BadRequest, parse_request
from dimcore.http1.head_reader import HeadParser

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
VALUE = rb"[\t\x20-\x7e\x80-\xff]"
LINE = rb"(?P<method>%b{1,32}) (?P<target>[\x21\x22\x24-\x7e]+) HTTP/1\.(?P<minor>[0-9])\r\n" % TOKEN
FIELD = rb"(%b+):(%b*)\r\n" % (TOKEN, VALUE)
HEAD = re.compile(rb"(?:\r\n){0,4}%b(?P<fields>(?:%b+:%b*\r\n)*)\r\n" % (LINE, TOKEN, VALUE))
LINES = re.compile(rb"(?:\r\n){0,4}(?:%b(?:%b)*)?" % (LINE, FIELD))
FIELDS = re.compile(FIELD)
HOST = re.compile(
    rb"(?:\[(?P<six>[^\]]*)\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::(?P<port>[0-9]{0,5}))?", re.DOTALL
)
TARGET = re.compile(rb"(?:[Hh][Tt][Tt][Pp][Ss]?://(?P<host>[^/?]*))?(?P<path>(?:/[^?]*)?)(?:\?(?P<query>.*))?")

SINGLETONS = {b"host", b"content-length", b"transfer-encoding", b"expect", b"content-type", b"authorization"}
STATUSES = {400, 413, 414, 417, 431, 501, 505}

USUAL = {"request_line": 8192, "head": 32768, "field": 8192, "fields": 100}
BYTEWISE = 300  # bytes: longer texts are cut at a few places only


def outcome(pieces: list[bytes], limits: dict[str, int] = USUAL) -> Any:
    """What the parser makes of the pieces: a fault, None for more, or all that it found."""
    parser = HeadParser(**limits)
    used = 0
    for piece in pieces:
        try:
            result = parser.feed(piece)
        except BadRequest as error:
            return error.status, str(error)
        assert result is None or 0 <= result <= len(piece)
        used += len(piece) if result is None else result
        if parser.complete:
            return (
                used, parser.method, parser.target, parser.path, parser.query, parser.host, parser.minor, parser.fields,
                parser.content_length, parser.chunked, parser.keep_alive, parser.upgrade, parser.expects_continue,
                parser.expects_other,
            )  # fmt: skip
    return None


def limits_of(choices: bytes) -> dict[str, int]:
    """The usual limits (none are given), or tight ones, so that a short text meets them."""
    if not choices[3] & 1:
        return {}
    return {
        "request_line": 16 + choices[0],
        "head": 16 + 4 * choices[1],
        "field": 4 + choices[2],
        "fields": 1 + choices[3] // 32,
    }


def is_host(text: bytes, port_needed: bool = False) -> bool:
    """Whether a text is an authority without user information."""
    match = HOST.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535 or (port_needed and not match["port"]):
        return False
    if match["six"] is not None:
        try:
            IPv6Address(match["six"].decode("latin-1"))
        except AddressValueError:
            return False
        return b"%" not in match["six"]  # a zone means something on one machine only
    return True


def model(text: bytes, limits: dict[str, int]) -> Any:
    """What the parser must find, or None when the text does not begin with a head it may take."""
    match = HEAD.match(text)
    if match is None or match.end() > limits["head"]:
        return None
    method, target, minor = match["method"], match["target"], min(1, int(match["minor"]))
    rows = FIELDS.findall(match["fields"])
    if (
        match.start("fields") - 2 - match.start("method") > limits["request_line"]
        or len(rows) > limits["fields"]
        or any(len(name) + 1 + len(value) > limits["field"] for name, value in rows)
    ):
        return None
    fields = [(name, value.strip(b" \t")) for name, value in rows]
    known: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        known.setdefault(name.lower(), []).append(value)
    if any(len(known.get(name, ())) > 1 for name in SINGLETONS):
        return None

    host = known.get(b"host", [b""])[0]
    if (b"host" in known and not is_host(host)) or (minor == 1 and b"host" not in known):
        return None
    place = model_target(method, target, host)
    if place is None:
        return None

    length = None
    if b"content-length" in known:
        digits = known[b"content-length"][0]
        if not re.fullmatch(rb"[0-9]+", digits) or int(digits) > 2**63 - 9:
            return None
        length = int(digits)
    chunked = b"transfer-encoding" in known
    if chunked and (known[b"transfer-encoding"][0].lower() != b"chunked" or length is not None or minor == 0):
        return None

    options = {option.strip(b" \t").lower() for value in known.get(b"connection", ()) for option in value.split(b",")}
    stays = b"close" not in options and method != b"CONNECT" and (minor == 1 or b"keep-alive" in options)
    upgrade = minor == 1 and b"upgrade" in options and any(known.get(b"upgrade", ()))
    expected = known.get(b"expect", [None])[0] if minor == 1 else None
    continues = expected is not None and expected.lower() == b"100-continue"
    return (
        match.end(), method, target, *place, minor, fields, length, chunked, stays, upgrade, continues,
        expected is not None and not continues,
    )  # fmt: skip


def model_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Path, query and host that count."""
    if method == b"CONNECT":
        return (b"/", b"", target) if is_host(target, port_needed=True) else None
    if target == b"*":
        return (b"*", b"", host) if method == b"OPTIONS" else None
    match = TARGET.fullmatch(target)
    if match is None:
        return None
    if match["host"] is None:
        return (match["path"], match["query"] or b"", host) if match["path"] else None
    empty = b"*" if method == b"OPTIONS" and match["query"] is None else b"/"
    return (match["path"] or empty, match["query"] or b"", match["host"]) if is_host(match["host"]) else None


def check_request(text: bytes, found: Any) -> None:
    """The request object says the same of the text as the parser did; what is decoded, is decoded as it should be."""
    status = 0
    try:
        parsed = parse_request(text)
    except BadRequest as error:
        status = error.status
    if status:
        assert status in STATUSES
        # Not for its head: an expectation, the chunks, the length.
        assert len(found) == 2 or found[13] or found[9] or found[8]
        return
    if parsed is None:
        assert found is None
        return
    request, consumed = parsed
    used, method, target, path, query, host, minor, fields = found[:8]
    assert used <= consumed <= len(text)
    if found[8] is None and not found[9]:
        assert consumed == used
        assert request.body == b""
    assert request.method.encode() == method
    assert request.raw_target.encode() == target
    assert request.raw_path.encode() == path
    assert request.query_string.encode() == query
    assert request.http_version == f"1.{minor}"
    assert (request.host or "").encode("latin-1") == host
    assert request.path == unquote(path.decode())
    texts = [(name.decode().lower(), value.decode("latin-1")) for name, value in fields]
    assert request.headers.items() == texts
    assert len(request.headers) == len(fields)
    for name, value in texts:
        assert value in request.headers.getall(name)
        assert request.headers[name.upper()] == request.headers.getall(name)[0]
    pairs = [pair.partition("=") for pair in query.decode().split("&") if pair]
    assert request.query_params.pairs == [
        (unquote(name.replace("+", " ")), unquote(value.replace("+", " "))) for name, _, value in pairs
    ]
    jar: dict[str, str] = {}
    for line in request.headers.getall("cookie"):
        for part in line.split(";"):
            name, equals, value = part.partition("=")
            name, value = name.strip(" \t"), value.strip(" \t")
            if equals and name:
                jar.setdefault(name, value[1:-1] if re.fullmatch('".*"', value) else value)
    assert request.cookies == jar


def check(data: bytes) -> None:
    """Check one input.

    Raises:
        AssertionError: the parser is wrong about it.
    """
    choices, text = split_choices(data)
    given = limits_of(choices)
    limits = USUAL | given

    whole = outcome([text], given)
    assert outcome(cut(text, choices), given) == whole
    if len(text) <= BYTEWISE:
        assert outcome(bytewise(text), given) == whole
    exact.check_head(text, choices, limits, whole)

    expected = model(text, limits)
    if whole is None:
        assert expected is None
        assert len(text) < limits["head"]
        # A fault is told by the end of its line.
        assert LINES.fullmatch(text[: text.rfind(b"\r\n") + 2] if b"\r\n" in text else b"")
        assert b"\0" not in text
    elif len(whole) == 2:
        assert expected is None, f"refused with {whole}, should be {expected}"
        assert whole[0] in STATUSES
    else:
        assert whole == expected
        method, target, minor, fields = whole[1], whole[2], whole[6], whole[7]
        lines = [b"%b %b HTTP/1.%d\r\n" % (method, target, minor), *(b"%b: %b\r\n" % pair for pair in fields), b"\r\n"]
        again = b"".join(lines)
        assert outcome([again], {"head": 65535, "field": 65535, "request_line": 65535}) == (len(again), *whole[1:])
    if whole is not None:
        for more in (b"\0", b"GET / HTTP/1.1\r\n\r\n"):
            assert outcome([text + more], given) == whole
    if not given:
        check_request(text, whole)
        if whole is not None and len(whole) > 2 and whole[8] is None and not whole[9]:
            theirs = h11_reads(text)
            if isinstance(theirs, tuple):
                lower = [(name.lower(), value) for name, value in whole[7]]
                assert theirs == (whole[1], whole[2], b"1.%d" % whole[6], lower, b"")
