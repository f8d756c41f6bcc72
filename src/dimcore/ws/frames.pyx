"""WebSocket frames (RFC 6455 5.2): heads in, heads out, and the mask.

     0               1               2 ...
    |F R R R opcode |M length 7     |length 16 or 64 |key 32, if M| payload
     ^ final  ^RSV1 says that the message is compressed (RFC 7692)

Nothing is allocated and nothing is kept: what half a frame means is the affair
of `messages.pyx`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from dimcore.errors import UsageError

cdef enum:
    FINAL_BIT = 0x80
    RSV1_BIT = 0x40
    RSV23_BITS = 0x30
    OPCODE_BITS = 0x0F
    CONTROL_BIT = 0x08
    MASK_BIT = 0x80
    LENGTH_BITS = 0x7F

cdef const char *FAULTS[8]
FAULTS[0] = b""
FAULTS[<int> FRAME_RESERVED_BIT] = b"a reserved bit is set"
FAULTS[<int> FRAME_OPCODE] = b"an opcode that means nothing"
FAULTS[<int> FRAME_CONTROL_FRAGMENTED] = b"a control frame in pieces"
FAULTS[<int> FRAME_CONTROL_LONG] = b"a control frame of more than 125 bytes"
FAULTS[<int> FRAME_LENGTH_FORM] = b"a length in a longer form than it needs"
FAULTS[<int> FRAME_UNMASKED] = b"a frame of a client without a mask"
FAULTS[<int> FRAME_MASKED] = b"a frame of a server with a mask"


cdef const char *frame_fault(int fault) noexcept nogil:
    """What is wrong, as text of at most 123 bytes: it fits into a close frame."""
    return FAULTS[fault]


cdef inline int _fault(FrameHead *head, FrameFault fault) noexcept nogil:
    head.fault = fault
    return FRAME_FAULT


cdef int frame_head(FrameHead *head, const char *data, size_t size, bint from_client) noexcept nogil:
    """Read the head of a frame.

    Returns:
        Its size in bytes, FRAME_MORE, or FRAME_FAULT.  What the first two bytes show to be wrong is a fault
        before the rest is there.
    """
    cdef const uint8_t *raw = <const uint8_t *> data
    cdef int at = 2, i, length_size = 0
    cdef uint64_t length
    if size < 1:
        return FRAME_MORE
    if raw[0] & RSV23_BITS:
        return _fault(head, FRAME_RESERVED_BIT)
    head.opcode = raw[0] & OPCODE_BITS
    head.final = raw[0] >> 7
    head.compressed = (raw[0] & RSV1_BIT) != 0
    if head.opcode & ~CONTROL_BIT > (2 if head.opcode < CONTROL_BIT else OP_PONG - CONTROL_BIT):
        return _fault(head, FRAME_OPCODE)
    if head.opcode & CONTROL_BIT:
        if not head.final:
            return _fault(head, FRAME_CONTROL_FRAGMENTED)
        if head.compressed:
            return _fault(head, FRAME_RESERVED_BIT)
    if size < 2:
        return FRAME_MORE
    head.masked = raw[1] >> 7
    if head.masked != from_client:
        return _fault(head, FRAME_UNMASKED if from_client else FRAME_MASKED)
    length = raw[1] & LENGTH_BITS
    if length > CONTROL_MOST:
        if head.opcode & CONTROL_BIT:
            return _fault(head, FRAME_CONTROL_LONG)
        length_size = 2 if length == 126 else 8
        if size < <size_t> (2 + length_size):
            return FRAME_MORE
        length = 0
        for i in range(length_size):
            length = length << 8 | raw[2 + i]
        at += length_size
        # The shortest form is the only one allowed, and the 64th bit must be 0.
        if length <= (CONTROL_MOST if length_size == 2 else 0xFFFF) or length >> 63:
            return _fault(head, FRAME_LENGTH_FORM)
    head.length = length
    if head.masked:
        if size < <size_t> (at + 4):
            return FRAME_MORE
        memcpy(head.key, raw + at, 4)
        at += 4
    else:
        head.key[0] = head.key[1] = head.key[2] = head.key[3] = 0
    return at


cdef int frame_write_head(
    char *out, int opcode, bint final, bint compressed, uint64_t length, const uint8_t *key
) noexcept nogil:
    """Write a head to `out`, which has room for HEAD_MOST bytes; returns its size.  `key` is NULL from a server."""
    cdef uint8_t *raw = <uint8_t *> out
    cdef int at = 2, i, length_size = 0
    cdef uint8_t mask = 0 if key == NULL else MASK_BIT
    raw[0] = <uint8_t> (opcode | (FINAL_BIT if final else 0) | (RSV1_BIT if compressed else 0))
    if length <= CONTROL_MOST:
        raw[1] = mask | <uint8_t> length
    else:
        length_size = 2 if length <= 0xFFFF else 8
        raw[1] = mask | (126 if length_size == 2 else 127)
        for i in range(length_size):
            raw[at + i] = <uint8_t> (length >> 8 * (length_size - 1 - i))
        at += length_size
    if key != NULL:
        memcpy(raw + at, key, 4)
        at += 4
    return at


cdef void frame_mask(char *data, size_t size, const uint8_t *key, uint64_t offset) noexcept nogil:
    """Apply or take off the mask, in place; `offset` is where in the payload `data` begins.

    Eight bytes at a time; the compiler makes vectors of them.
    """
    _mask(data, data, size, key, offset)


cdef inline void _mask(char *out, const char *data, size_t size, const uint8_t *key, uint64_t offset) noexcept nogil:
    """The same from `data` to `out`, which is the same memory or lies apart."""
    cdef uint8_t turned[8]
    cdef uint64_t word, pattern
    cdef size_t at, words = size // 8
    for at in range(8):
        turned[at] = key[(offset + at) & 3]
    memcpy(&pattern, turned, 8)
    if pattern == 0 and out == data:
        return
    for at in range(words):
        memcpy(&word, data + at * 8, 8)
        word ^= pattern
        memcpy(out + at * 8, &word, 8)
    for at in range(words * 8, size):
        out[at] = data[at] ^ <char> turned[at & 7]


def encode_frame(int opcode, payload=b"", *, bint final=True, bint compressed=False, mask=None):
    """One frame as bytes.

    Args:
        opcode: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.
        payload: bytes-like, or text that is encoded as UTF-8.
        final: whether it is the last frame of its message.
        compressed: RSV1: the payload is compressed (RFC 7692).
        mask: 4 bytes from a client, drawn anew for each frame; ``None`` from a server.

    Raises:
        UsageError: no such opcode, a control frame that is too long or in pieces, or a mask that is not 4 bytes.

    Thread-safety: any thread.
    Source: RFC 6455 5.2.
    """
    cdef bytes given, key, frame
    cdef char head[HEAD_MOST]
    cdef int head_size
    cdef char *at
    if opcode not in (OP_CONTINUATION, OP_TEXT, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG):
        raise UsageError(f"opcode {opcode} means nothing; 0, 1, 2, 8, 9 and 10 are allowed")
    given = (<str> payload).encode("utf-8") if isinstance(payload, str) else bytes(memoryview(payload))
    if opcode & CONTROL_BIT and (len(given) > CONTROL_MOST or not final):
        raise UsageError(f"a control frame has at most {CONTROL_MOST} bytes and is never in pieces")
    key = None if mask is None else bytes(memoryview(mask))
    if key is not None and len(key) != 4:
        raise UsageError(f"a mask has 4 bytes, this one has {len(key)}")
    head_size = frame_write_head(
        head, opcode, final, compressed, len(given), NULL if key is None else <uint8_t *> PyBytes_AS_STRING(key)
    )
    frame = PyBytes_FromStringAndSize(NULL, head_size + len(given))
    at = PyBytes_AS_STRING(frame)
    memcpy(at, head, head_size)
    if key is None:
        memcpy(at + head_size, PyBytes_AS_STRING(given), len(given))
    else:
        _mask(at + head_size, PyBytes_AS_STRING(given), len(given), <const uint8_t *> PyBytes_AS_STRING(key), 0)
    return frame


def apply_mask(data, mask, size_t offset=0):
    """A copy of `data` with the mask applied, which also takes it off.

    Args:
        data: bytes-like.
        mask: 4 bytes.
        offset: where in the payload `data` begins.

    Raises:
        UsageError: a mask that is not 4 bytes.
    """
    cdef bytes key = mask if type(mask) is bytes else bytes(memoryview(mask))
    cdef bytes source = data if type(data) is bytes else memoryview(data).tobytes()
    cdef bytes masked
    if len(key) != 4:
        raise UsageError(f"a mask has 4 bytes, this one has {len(key)}")
    # Made empty: a copy of a single byte would be an object that the whole process shares.
    masked = PyBytes_FromStringAndSize(NULL, len(source))
    _mask(PyBytes_AS_STRING(masked), PyBytes_AS_STRING(source), len(source),
          <const uint8_t *> PyBytes_AS_STRING(key), offset)
    return masked
