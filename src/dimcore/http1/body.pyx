"""Incremental decoder of message bodies (RFC 9112 6 and 7).

Bytes in, pieces of the body out; nothing is copied.  `body_step` is called
until it asks for more, is done, or failed:

    BODY_PIECE   *piece, *piece_size lie inside `data`; *used bytes are dealt with
    BODY_MORE    all of `data` is dealt with
    BODY_DONE    the body ended at *used; what follows is the next message
    BODY_FAILED  `Body.fault` (see ``parser.FAULTS``); framing is lost

Chunk sizes are plain hexadecimal digits; extensions are checked against their
grammar and dropped; trailer fields are checked like header fields and dropped,
those that must not stand there too (RFC 9110 6.5.1): nobody acts on any of them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memset

from dimcore.http1.head cimport (
    FAULT_BODY_LENGTH, FAULT_CHUNK_END, FAULT_CHUNK_EXTENSION, FAULT_CHUNK_SIZE, FAULT_NONE, FAULT_TRAILER,
    FAULT_TRAILER_LENGTH, fault_status, fault_text,
)
from dimcore.limits cimport KIB, MIB
from dimcore.text.scan cimport SCAN_TOKEN, scan_class, scan_hex, scan_run, scan_setup, scan_value

from dimcore.errors import BadRequest, UsageError

scan_setup()

cdef enum:
    SIZE_DIGITS = 16             # leading zeros among them
    SIZE_BITS = 60               # no overflow, and far beyond any body
    LINE_BYTES = 1 * KIB         # a chunk-size line with its extensions
    EXTENSION_BYTES = 16 * KIB   # extensions in a whole body: one byte of data a chunk must not buy more
    TRAILER_BYTES = 8 * KIB      # the whole trailer section

# Each state names what the next byte belongs to.
cdef enum State:
    SIZE_FIRST
    SIZE
    EXT_END              # right after the size or a quoted value
    EXT_BLANK            # BWS before ';'
    EXT_NAME_BEFORE      # BWS after ';'
    EXT_NAME
    EXT_NAME_BLANK       # BWS before ';' or '='
    EXT_VALUE_BEFORE     # BWS after '='
    EXT_TOKEN
    EXT_QUOTED
    EXT_ESCAPED
    SIZE_LF
    DATA
    DATA_CR
    DATA_LF
    TRAILER_START
    TRAILER_NAME
    TRAILER_VALUE
    TRAILER_LF
    END_LF
    FINISHED


cdef void body_start_length(Body *body, int64_t length) noexcept nogil:
    """Expect exactly `length` bytes; the caller has checked it against its limit."""
    memset(body, 0, sizeof(Body))
    body.remaining = length
    body.state = DATA if length else FINISHED
    body.fault = FAULT_NONE


cdef void body_start_chunked(Body *body, int64_t limit) noexcept nogil:
    """Expect chunks of `limit` bytes in all at most."""
    memset(body, 0, sizeof(Body))
    body.chunked = 1
    body.limit = limit
    body.state = SIZE_FIRST
    body.fault = FAULT_NONE


cdef inline BodyResult _fail(Body *body, int fault) noexcept nogil:
    body.fault = fault
    return BODY_FAILED


cdef inline bint _is_quoted_text(uint8_t c) noexcept nogil:
    # qdtext, RFC 9110 5.6.4: HTAB, SP, visible ASCII but '"' and '\', obs-text
    return c == c"\t" or (0x20 <= c != 0x7F and c != c"\"" and c != c"\\")


cdef BodyResult body_step(
    Body *body, const char *data, size_t size, size_t *used, const char **piece, size_t *piece_size
) noexcept nogil:
    """See the module.  `data` holds only bytes not given before."""
    cdef size_t at = 0, run
    cdef uint8_t c
    if body.state == FINISHED:
        used[0] = 0
        return BODY_DONE
    while at < size:
        if body.state == DATA:
            run = size - at
            if <int64_t> run > body.remaining:
                run = <size_t> body.remaining
            piece[0] = data + at
            piece_size[0] = run
            body.remaining -= run
            body.total += run
            used[0] = at + run
            if body.remaining == 0:
                body.state = DATA_CR if body.chunked else FINISHED
            return BODY_PIECE
        c = data[at]
        if body.state <= SIZE_LF:
            # Everything on the line counts, so that a line without end is cut short.
            body.line += 1
            if body.line > LINE_BYTES:
                return _fail(body, FAULT_CHUNK_EXTENSION)
            if body.state <= SIZE:
                if scan_hex[c] >= 0:
                    if body.line > SIZE_DIGITS or body.remaining >> (SIZE_BITS - 4):
                        return _fail(body, FAULT_CHUNK_SIZE)
                    body.remaining = body.remaining * 16 + scan_hex[c]
                    body.state = SIZE
                    at += 1
                    continue
                if body.state == SIZE_FIRST:
                    return _fail(body, FAULT_CHUNK_SIZE)
                if body.remaining > body.limit - body.total:
                    return _fail(body, FAULT_BODY_LENGTH)
                if c != c"\r" and c != c";" and c != c" " and c != c"\t":
                    return _fail(body, FAULT_CHUNK_SIZE)
                body.state = EXT_END
            elif c != c"\r" and c != c"\n":
                body.extensions += 1
                if body.extensions > EXTENSION_BYTES:
                    return _fail(body, FAULT_CHUNK_EXTENSION)
            if not _extension_byte(body, c):
                return _fail(body, FAULT_CHUNK_EXTENSION)
            at += 1
        elif body.state == DATA_CR:
            if c != c"\r":
                return _fail(body, FAULT_CHUNK_END)
            body.state = DATA_LF
            at += 1
        elif body.state == DATA_LF:
            if c != c"\n":
                return _fail(body, FAULT_CHUNK_END)
            body.state = SIZE_FIRST
            body.line = 0
            body.remaining = 0
            at += 1
        else:
            # No further than the limit, so that the verdict is the same in whatever pieces the section arrives.
            run = min(size - at, <size_t> TRAILER_BYTES - body.line)
            if run == 0:
                return _fail(body, FAULT_TRAILER_LENGTH)
            run = _trailer_bytes(body, data + at, run)
            if body.fault:
                return BODY_FAILED
            at += run
            body.line += <uint32_t> run
            if body.state == FINISHED:
                used[0] = at
                return BODY_DONE
    used[0] = at
    return BODY_MORE


cdef bint _extension_byte(Body *body, uint8_t c) noexcept nogil:
    """One byte after the chunk size: *( BWS ";" BWS name [ BWS "=" BWS value ] ) CRLF."""
    cdef int state = body.state
    cdef bint blank = c == c" " or c == c"\t"
    if state == EXT_QUOTED:
        if c == c"\"":
            body.state = EXT_END
        elif c == c"\\":
            body.state = EXT_ESCAPED
        else:
            return _is_quoted_text(c)
        return True
    if state == EXT_ESCAPED:
        body.state = EXT_QUOTED
        return c == c"\t" or 0x20 <= c != 0x7F
    if state == SIZE_LF:
        if c != c"\n":
            return False
        if body.remaining:
            body.state = DATA
        else:
            body.state = TRAILER_START
            body.line = 0
        return True
    if state == EXT_NAME_BEFORE or state == EXT_VALUE_BEFORE:
        if blank:
            return True
        if scan_class[c] & SCAN_TOKEN:
            body.state = EXT_NAME if state == EXT_NAME_BEFORE else EXT_TOKEN
            return True
        if state == EXT_VALUE_BEFORE and c == c"\"":
            body.state = EXT_QUOTED
            return True
        return False
    if (state == EXT_NAME or state == EXT_TOKEN) and scan_class[c] & SCAN_TOKEN:
        return True
    # After the size, a name or a value.  White space there must lead to ';' or '=':
    # the grammar has none before the end of the line.
    if c == c";":
        body.state = EXT_NAME_BEFORE
    elif c == c"=" and (state == EXT_NAME or state == EXT_NAME_BLANK):
        body.state = EXT_VALUE_BEFORE
    elif c == c"\r" and state != EXT_BLANK and state != EXT_NAME_BLANK:
        body.state = SIZE_LF
    elif blank:
        body.state = EXT_NAME_BLANK if state == EXT_NAME or state == EXT_NAME_BLANK else EXT_BLANK
    else:
        return False
    return True


cdef size_t _trailer_bytes(Body *body, const char *data, size_t size) noexcept nogil:
    """A stretch of the trailer section; sets Body.fault or the state FINISHED."""
    cdef uint8_t c = data[0]
    cdef size_t run
    if body.state == TRAILER_START:
        if c == c"\r":
            body.state = END_LF
            return 1
        body.named = 0
        body.state = TRAILER_NAME
    if body.state == TRAILER_NAME:
        run = scan_run(data, size, SCAN_TOKEN)
        body.named |= run != 0
        if run == size:
            return run
        if data[run] != c":" or not body.named:
            body.fault = FAULT_TRAILER
            return run
        body.state = TRAILER_VALUE
        return run + 1
    if body.state == TRAILER_VALUE:
        run = scan_value(data, size)
        if run == size:
            return run
        if data[run] != c"\r":
            body.fault = FAULT_TRAILER
            return run
        body.state = TRAILER_LF
        return run + 1
    if c != c"\n":
        body.fault = FAULT_TRAILER
        return 0
    body.state = TRAILER_START if body.state == TRAILER_LF else FINISHED
    return 1


def decode_chunked(data, limit=16777216):
    """Decode a chunked body from the start of `data`.

    Args:
        data: bytes-like; what follows the body is left alone.
        limit: most body bytes allowed.

    Returns:
        ``(body, consumed)``, or ``None`` while the body is incomplete.

    Raises:
        BadRequest: with `.status` 400, 413 or 431.

    Source: RFC 9112 7.1.
    """
    decoder = ChunkedDecoder(limit)
    body, consumed = decoder.feed(data)
    return (body, consumed) if decoder.done else None


cdef class ChunkedDecoder:
    """Incremental decoder of one chunked body, for use outside the server.

    Args:
        limit: most body bytes allowed.

    Attributes:
        done: whether the body has ended, its trailer section included.

    Raises:
        UsageError: a negative limit.

    Not safe for use from two threads at once.
    """

    cdef Body body
    cdef readonly bint done

    def __cinit__(self, limit=16 * MIB):
        if limit < 0:
            raise UsageError(f"limit must be 0 or more, not {limit!r}")
        body_start_chunked(&self.body, limit)

    def feed(self, data, /):
        """Take more bytes.

        Args:
            data: bytes-like; only bytes not given before.

        Returns:
            ``(decoded bytes, bytes used)``; fewer are used than given only once `done` is true.

        Raises:
            BadRequest: the framing is broken; every later call raises the same.
        """
        cdef bytes given = data if type(data) is bytes else memoryview(data).tobytes()
        cdef const char *start = PyBytes_AS_STRING(given)
        cdef size_t size = PyBytes_GET_SIZE(given), at = 0, used = 0, piece_size = 0
        cdef const char *piece = NULL
        cdef BodyResult result
        pieces = []
        if self.body.fault:
            self._refuse()
        while True:
            used = 0
            result = body_step(&self.body, start + at, size - at, &used, &piece, &piece_size)
            at += used
            if result == BODY_PIECE:
                pieces.append(piece[:piece_size])
                continue
            if result == BODY_FAILED:
                self._refuse()
            self.done = result == BODY_DONE
            return b"".join(pieces), at

    cdef int _refuse(self) except -1:
        raise BadRequest(fault_text(self.body.fault).decode(), fault_status(self.body.fault))
