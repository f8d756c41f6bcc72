"""WebSocket messages: the reader beside RFC 6455 and 7692 written down a second time, and beside what was encoded."""

from __future__ import annotations

import codecs
import zlib
from typing import Any

from tests.fuzz import exact
from tests.fuzz.inputs import bytewise, cut, split_choices

from dimcore import MessageReader, WebSocketError, apply_mask, encode_frame
from dimcore.text.utf8 import utf8_prefix
from dimserver.ws.deflate import Deflate, DeflateOptions

Event = tuple[int, "str | bytes"]
Outcome = tuple[list[Event], "int | None"]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
PROTOCOL, BAD_DATA, LARGE = 1002, 1007, 1009
CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
TAIL = b"\0\0\xff\xff"
STREAMS = 16  # ended within one message
WINDOW = 12
USUAL = 1 << 20
BYTEWISE = 300

TIGHT, DEFLATES, FROM_SERVER = 1, 32, 128  # of the last choice


class Limits:
    """Under which an input is read."""

    def __init__(self, choice: int) -> None:
        self.from_client = not choice & FROM_SERVER
        self.message = (choice >> 1 & 15) * 9 + 1 if choice & TIGHT else USUAL
        self.frames = 3 if choice & TIGHT else 1000
        self.deflates = bool(choice & DEFLATES)

    def codec(self) -> Deflate | None:
        return Deflate(DeflateOptions(), WINDOW, WINDOW, True, True) if self.deflates else None

    def reader(self) -> MessageReader:
        return MessageReader(
            max_message=self.message, max_frames=self.frames, from_client=self.from_client, inflater=self.codec()
        )


def outcome(pieces: list[bytes], limits: Limits) -> Outcome:
    """What the reader makes of the pieces: events, and the code of the fault that ended them."""
    reader = limits.reader()
    events: list[Event] = []
    for piece in pieces:
        try:
            events += reader.feed(piece)
        except WebSocketError as error:
            return events + error.events, error.code
        # Of a text a character may be cut, of a frame its head: nothing is held that did not come.
        assert limits.deflates or reader.pending <= sum(map(len, pieces))
    return events, None


class Fault(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class Model:
    """Reads everything at once, slowly.

    Attributes:
        loose: the fault may be another one, or be found earlier: how much of a compressed message is inflated when,
            is not prescribed.
        far: a compressed message was one that may be a fault, or not; see `refers_too_far`.
        sure: events before that message.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.events: list[Event] = []
        self.loose = False
        self.sure = 0
        self.inflater = zlib.decompressobj(-WINDOW)
        self.far = False
        self.opcode = self.count = 0
        self.compressed = False
        self.message = b""

    def read(self, data: bytes) -> int | None:
        """The code of the fault; None where everything is as it should be, or is not complete."""
        try:
            while data and not (self.events and self.events[-1][0] == CLOSE):
                size = self.frame(data)
                if size == 0:
                    break
                data = data[size:]
        except Fault as fault:
            return fault.code
        return None

    def frame(self, data: bytes) -> int:
        """Bytes of the first frame; 0 where it is not complete."""
        limits = self.limits
        first = data[0]
        final, rsv1, opcode = first >> 7, first >> 6 & 1, first & 15
        control = opcode >= CLOSE
        if first & 0x30 or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise Fault(PROTOCOL)
        if control and (not final or rsv1):
            raise Fault(PROTOCOL)
        if len(data) == 1:
            return 0
        masked, length = data[1] >> 7, data[1] & 127
        if bool(masked) != limits.from_client or (control and length > 125):
            raise Fault(PROTOCOL)
        at = 2
        if length > 125:
            wide = 2 if length == 126 else 8
            if len(data) < 2 + wide:
                return 0
            length = int.from_bytes(data[2 : 2 + wide], "big")
            at += wide
            if length < (126 if wide == 2 else 1 << 16) or length >= 1 << 63:
                raise Fault(PROTOCOL)
        if len(data) < at + 4 * masked:
            return 0
        key = data[at : at + 4] if masked else bytes(4)
        at += 4 * masked
        raw = data[at : at + length]
        payload = bytes(byte ^ key[n % 4] for n, byte in enumerate(raw))
        whole = len(raw) == length
        if control:
            if whole:
                self.control(opcode, payload)
        else:
            self.data(opcode, rsv1, length, payload, bool(final), whole)
        return at + length if whole else 0

    def control(self, opcode: int, payload: bytes) -> None:
        if opcode != CLOSE:
            self.events.append((opcode, payload))
            return
        if len(payload) == 1 or (payload and int.from_bytes(payload[:2], "big") not in CODES):
            raise Fault(PROTOCOL)
        self.events.append((CLOSE, text_of(payload[2:])))

    def data(self, opcode: int, rsv1: int, length: int, payload: bytes, final: bool, whole: bool) -> None:
        limits = self.limits
        if (opcode == CONTINUATION) != bool(self.opcode):
            raise Fault(PROTOCOL)
        if rsv1 and (opcode == CONTINUATION or not limits.deflates):
            raise Fault(PROTOCOL)
        if opcode != CONTINUATION:
            self.opcode, self.count, self.compressed, self.message = opcode, 0, bool(rsv1), b""
        self.count += 1
        if self.compressed:
            if not self.loose:
                self.sure = len(self.events)
            self.loose = True  # until it turned out well
        if self.count > limits.frames or length > limits.message - (0 if self.compressed else len(self.message)):
            raise Fault(LARGE)
        self.message += payload
        if self.compressed:
            if whole and final:
                self.message = self.inflate(self.message)
        elif self.opcode == TEXT:
            missing = missing_of(self.message)
            if missing is None or (missing and whole and final):
                raise Fault(BAD_DATA)
        if whole and final:
            self.events.append((self.opcode, text_of(self.message) if self.opcode == TEXT else self.message))
            self.opcode = 0
            self.loose = self.far

    def inflate(self, data: bytes) -> bytes:
        found = b""
        streams = 0
        data += TAIL
        try:
            while True:
                self.far = self.far or refers_too_far(self.inflater, data)
                found += self.inflater.decompress(data)
                if len(found) > self.limits.message:
                    raise Fault(LARGE)
                if not self.inflater.eof:
                    return found
                data = self.inflater.unused_data
                self.inflater = zlib.decompressobj(-WINDOW)
                streams += 1
                if streams > STREAMS:
                    raise Fault(BAD_DATA)
                if data in (b"", TAIL):
                    return found
        except zlib.error:
            raise Fault(BAD_DATA) from None


def refers_too_far(inflater: Any, data: bytes) -> bool:
    """Whether it names bytes from before the window that was agreed on.

    That is the sender's fault, and zlib's to find: it does where they are not in its output at hand, which depends on
    how much it is given at once.
    """
    strict = inflater.copy()
    try:
        for at in range(len(data)):
            strict.decompress(data[at : at + 1])
            if strict.eof:
                break
    except zlib.error:
        return True
    return False


def missing_of(data: bytes) -> int | None:
    """Bytes missing at the end of a text in UTF-8; None where it cannot become one."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return None
    held = decoder.getstate()[0]
    if held[:1] == b"\xed" and held[1:2] >= b"\xa0":  # half a surrogate, which Python's decoder notices a byte later
        return None
    return (2 if held[0] < 0xE0 else 3 if held[0] < 0xF0 else 4) - len(held) if held else 0


def text_of(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(BAD_DATA) from None


def check(data: bytes) -> None:
    """Check one input.

    Raises:
        AssertionError: the reader is wrong about it.
    """
    choices, text = split_choices(data)
    limits = Limits(choices[3])
    model = Model(limits)
    code = model.read(text)
    ways = [[text], cut(text, choices)]
    if len(text) <= BYTEWISE:
        ways.append(bytewise(text))
    for pieces in ways:
        found = outcome(pieces, limits)
        if model.loose and found[1] is not None:
            assert found[1] in (BAD_DATA, LARGE, PROTOCOL)
            assert found[0] == model.events[: len(found[0])]
            assert len(found[0]) >= model.sure
        else:
            assert found[0] == model.events, f"{found[0]!r}, should be {model.events!r}"
            assert found[1] == code, f"{found[1]}, should be {code}"
        exact.check_messages(pieces, limits, found)
    check_encoded(text, choices, limits)
    check_text(text)


def check_encoded(text: bytes, choices: bytes, limits: Limits) -> None:
    """What is encoded comes out, in however many frames, with whatever masks, and with a ping in between."""
    opcode = TEXT if utf8_prefix(text) == 0 else BINARY
    expected = text.decode() if opcode == TEXT else text
    payload = text
    if limits.deflates:
        deflater = zlib.compressobj(choices[2] % 9 + 1, zlib.DEFLATED, -WINDOW)
        payload = (deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    mask = choices if limits.from_client else None
    pieces = cut(payload, choices[::-1])
    frames = [
        encode_frame(
            CONTINUATION if n else opcode,
            piece,
            final=n == len(pieces) - 1,
            compressed=limits.deflates and n == 0,
            mask=mask,
        )
        for n, piece in enumerate(pieces)
    ]
    ping = encode_frame(PING, choices, mask=mask)
    usual = Limits(choices[3] & ~TIGHT)
    found = outcome(cut(frames[0] + ping + b"".join(frames[1:]), choices), usual)
    assert found == ([(PING, choices), (opcode, expected)], None)
    # The mask undoes itself from any place on.
    at = choices[0] % (len(text) + 1)
    once = apply_mask(text, choices)
    assert once == bytes(byte ^ choices[n % 4] for n, byte in enumerate(text))
    assert apply_mask(once[:at], choices) + apply_mask(once[at:], choices, at) == text


def check_text(text: bytes) -> None:
    """UTF-8 is judged as Python's own decoder judges it, in whatever steps."""
    expected = missing_of(text)
    assert utf8_prefix(text) == expected
    assert utf8_prefix(text, step=1) == expected
    assert utf8_prefix(text, step=3) == expected
