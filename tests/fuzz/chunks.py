"""Chunked bodies: the decoder beside its grammar written down a second time, and beside what was encoded."""

from __future__ import annotations

import re
from typing import Any

from tests.dimcore.h11_view import h11_reads
from tests.fuzz import exact
from tests.fuzz.inputs import bytewise, cut, split_choices

from dimcore import BadRequest, ChunkedDecoder, decode_chunked, parse_request

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, QUOTED)
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:%b)*)\r\n" % EXTENSION)
TRAILERS = re.compile(rb"(?:%b:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n" % TOKEN)

LINE_BYTES = 1024
EXTENSION_BYTES = 16 * 1024
TRAILER_BYTES = 8 * 1024
USUAL_LIMIT = 1 << 24
BYTEWISE = 300

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def outcome(pieces: list[bytes], limit: int = 1 << 24) -> Any:
    """What the decoder makes of the pieces: (status, message), or (body, bytes used, whether it ended)."""
    decoder = ChunkedDecoder(limit)
    body = b""
    total = 0
    for piece in pieces:
        try:
            found, used = decoder.feed(piece)
        except BadRequest as error:
            return error.status, str(error)
        assert used == len(piece) or (decoder.done and used < len(piece))
        body += found
        total += used
    return body, total, decoder.done


def limit_of(choices: bytes) -> int:
    """How long a body may be: tight or not."""
    return choices[3] >> 1 if choices[3] & 1 else USUAL_LIMIT


def model(text: bytes, limit: int) -> tuple[bytes, int] | None:
    """Body and bytes used when the text begins with a whole chunked body that must be taken."""
    body = b""
    at = extensions = 0
    while match := SIZE_LINE.match(text, at):
        size = int(match[1], 16)
        # The first byte behind the size is judged with the size.
        extensions += max(0, len(match[2]) - 1)
        if len(match[0]) > LINE_BYTES or extensions > EXTENSION_BYTES or len(body) + size > limit:
            return None
        at = match.end()
        if size == 0:
            trailers = TRAILERS.match(text, at)
            if trailers is None or len(trailers[0]) > TRAILER_BYTES:
                return None
            return body, trailers.end()
        if text[at + size : at + size + 2] != b"\r\n":
            return None
        body += text[at : at + size]
        at += size + 2
    return None


def encode(body: bytes, choices: bytes) -> bytes:
    """The body in chunks of the chosen sizes, with extensions and trailers as chosen."""
    extension = (b"", b";a", b' ; a = "b\\";c"', b";a=b")[choices[3] >> 2 & 3]
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in cut(body, choices) if piece]
    return b"".join([*chunks, b"0", extension, b"\r\n", (b"", b"A: b\r\n")[choices[3] >> 4 & 1], b"\r\n"])


def check(data: bytes) -> None:
    """Check one input.

    Raises:
        AssertionError: the decoder is wrong about it.
    """
    choices, text = split_choices(data)
    limit = limit_of(choices)
    whole = outcome([text], limit)
    assert outcome(cut(text, choices), limit) == whole
    if len(text) <= BYTEWISE:
        assert outcome(bytewise(text), limit) == whole
    exact.check_chunked(text, choices, limit, whole)
    exact.check_sized(text, choices)

    expected = model(text, limit)
    if len(whole) == 2:
        assert expected is None, f"refused with {whole}, should be {expected}"
        assert whole[0] in (400, 413, 431)
    elif whole[2]:
        assert whole[:2] == expected
        assert decode_chunked(text, limit) == expected
        assert outcome([text + b"\0"], limit) == whole
    else:
        assert expected is None
        assert whole[1] == len(text)
        assert len(whole[0]) <= min(limit, len(text))
        assert decode_chunked(text, limit) is None

    encoded = encode(text, choices)
    assert decode_chunked(encoded + b"5\r\n", USUAL_LIMIT) == (text, len(encoded))
    assert outcome(cut(encoded, choices[::-1]), USUAL_LIMIT) == (text, len(encoded), True)
    if text:
        assert outcome([encoded], len(text) - 1)[0] == 413

    if limit == USUAL_LIMIT:
        check_request(text, whole)


def check_request(text: bytes, whole: Any) -> None:
    """Behind a head the same body is read the same, and as h11 reads it."""
    request = HEAD + text
    refusal = None
    try:
        parsed = parse_request(request)
    except BadRequest as error:
        refusal = error.status, str(error)
    if refusal or len(whole) == 2:
        assert refusal == whole
        return
    assert parsed is not None
    point, consumed = parsed
    if not whole[2]:
        assert consumed == len(HEAD)
        try:
            body = point.body
        except BadRequest:
            return
        raise AssertionError(f"half a body is given out as a whole one: {body!r}")
    assert (point.body, consumed) == (whole[0], len(HEAD) + whole[1])
    theirs = h11_reads(request[:consumed])
    if isinstance(theirs, tuple):
        assert theirs[4] == whole[0]
