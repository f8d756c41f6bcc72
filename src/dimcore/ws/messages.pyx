"""WebSocket messages out of bytes (RFC 6455 5.4 to 7.1.5), however the bytes were cut.

    bytes -> frame heads -> payloads, unmasked in place -> messages and control frames

A message that lies whole in the bytes given is handed out from there: no state
and no copy but the object itself.  Whatever is half done is put together in a
`Partial`, which exists only meanwhile, and grows with what arrives, never with
what was announced.  Text is checked as it arrives, so that a fault is told at its
first byte; a compressed message is inflated as it arrives, and never beyond the
limit.

No descriptor, no clock: usable by a server and by a client.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from dimcore.limits cimport KIB
from dimcore.text.utf8 cimport utf8_check
from dimcore.ws.frames cimport (
    CONTROL_MOST, FRAME_FAULT, FRAME_MORE, HEAD_MOST, OP_BINARY, OP_CLOSE, OP_CONTINUATION, OP_TEXT, FrameHead,
    frame_fault, frame_head, frame_mask,
)

from dimcore.errors import UsageError, WebSocketError

cdef enum:
    CONTROL_BIT = 0x08
    FIRST_BYTES = 1 * KIB        # what a message in pieces is given at first
    CODE_PROTOCOL = 1002
    CODE_NONE = 1005             # stands for a close frame without a code; never sent
    CODE_TEXT = 1007
    CODE_LARGE = 1009


cdef bint may_close_with(int code) noexcept nogil:
    """Whether a close frame may carry `code` (RFC 6455 7.4, and the registry it set up)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


# Outside the collector: an inflater has no way back to its reader.
@cython.no_gc
cdef class MessageReader(Protocol):
    """Takes the bytes of one direction of a connection apart.

    Args:
        max_message: most bytes of a message, after decompression.
        max_frames: most frames of a message.
        from_client: whether the other side is a client, whose frames are masked.
        inflater: inflates compressed messages: ``inflate(piece, room, final)`` returns at most `room` bytes and
            one more where there are more, and raises WebSocketError on bytes that cannot be inflated.
            ``None``: a compressed message is a fault.

    Raises:
        UsageError: a limit below 1.

    Thread-safety: one thread at a time.
    Source: RFC 6455, RFC 7692 6.2.
    """

    def __cinit__(self, *, int64_t max_message=16 * KIB * KIB, int64_t max_frames=256 * KIB, bint from_client=True,
                  inflater=None):
        if max_message < 1 or not 1 <= max_frames <= 0xFFFFFFFF:
            raise UsageError(f"max_message {max_message}, max_frames {max_frames}: both must be 1 or more")
        self.max_message = max_message
        self.max_frames = <uint32_t> max_frames
        self.from_client = from_client
        self.inflater = inflater

    def __dealloc__(self):
        if self.partial != NULL:
            PyMem_Free(self.partial.data)
            PyMem_Free(self.partial)

    def feed(self, data):
        """Take bytes in.

        Args:
            data: bytes-like, what came next.

        Returns:
            A list of ``(opcode, payload)``: 1 with `str`, 2 with `bytes`, 9 (ping) and 10 (pong) with `bytes`,
            8 (close) with the reason as `str` and its code in `close_code`.  After a close frame nothing is
            read any more.

        Raises:
            WebSocketError: with the code to close with; what came before the fault is in its `events`.
            UsageError: called by its own inflater.
        """
        cdef bytearray copy = bytearray(data)        # the mask is taken off in place
        cdef char *at = copy
        cdef size_t left = len(copy), used = 0
        cdef list events = []
        try:
            while self.close_code == 0:
                payload = self.next(at, left, &used)
                if self.event == EVENT_NONE:
                    break
                events.append((self.event, payload))
                at += used
                left -= used
        except WebSocketError as error:
            error.events = events
            raise
        return events

    @property
    def pending(self):
        """Bytes held of what is not complete yet."""
        if self.partial == NULL:
            return 0
        return self.partial.head_size + self.partial.control_size + self.partial.size

    cdef object next(self, char *data, size_t size, size_t *used):
        """The next message or control frame.

        `data` holds `size` bytes not given before, and is written to: the mask is taken off in place.  `*used`
        of them are dealt with.  `event` says what is returned; with EVENT_NONE all of them are.
        """
        cdef FrameHead frame
        cdef Partial *partial
        cdef size_t at = 0, take
        cdef int head_size
        if self.inflating:
            raise UsageError("this reader is in the middle of a message: its inflater cannot feed it")
        partial = self.partial
        self.event = EVENT_NONE
        if partial == NULL:
            if size == 0:
                used[0] = 0
                return None
            head_size = frame_head(&frame, data, size, self.from_client)
            if head_size == FRAME_FAULT:
                raise WebSocketError(frame_fault(frame.fault).decode(), CODE_PROTOCOL)
            if (
                head_size != FRAME_MORE and frame.final and frame.opcode != OP_CONTINUATION
                and frame.length <= size - head_size
            ):
                used[0] = head_size + <size_t> frame.length
                return self._whole(&frame, data + head_size)
            partial = self._hold()
        while True:
            if not partial.in_payload:
                # At most one head is put together here, so the copy is short.
                take = min(size - at, <size_t> (HEAD_MOST - partial.head_size))
                memcpy(partial.head + partial.head_size, data + at, take)
                head_size = frame_head(&partial.frame, partial.head, partial.head_size + take, self.from_client)
                if head_size == FRAME_FAULT:
                    raise WebSocketError(frame_fault(partial.frame.fault).decode(), CODE_PROTOCOL)
                if head_size == FRAME_MORE:
                    partial.head_size += <uint8_t> take
                    used[0] = size
                    self._settle()
                    return None
                at += head_size - partial.head_size
                partial.head_size = 0
                self._begin_frame(partial)
            take = min(size - at, <size_t> (partial.frame.length - partial.arrived))
            self._take(partial, data + at, take)
            at += take
            if partial.arrived < partial.frame.length:
                used[0] = size
                return None
            partial.in_payload = False
            payload = self._end_frame(partial)
            self._settle()
            if self.event != EVENT_NONE:
                used[0] = at
                return payload
            if self.partial == NULL:     # an empty beginning of nothing: no state is left
                partial = self._hold()

    cdef object _whole(self, FrameHead *frame, char *payload):
        """A frame that is a message, or a control frame, with all of its payload."""
        cdef size_t size = <size_t> frame.length
        cdef bytes inflated
        if not frame.opcode & CONTROL_BIT:
            if frame.compressed and self.inflater is None:
                raise WebSocketError(frame_fault(1).decode(), CODE_PROTOCOL)
            if frame.length > <uint64_t> self.max_message:
                raise WebSocketError("the message is too long", CODE_LARGE)
        if frame.masked:
            frame_mask(payload, size, frame.key, 0)
        if frame.opcode & CONTROL_BIT:
            return self._control(frame.opcode, payload, size)
        if frame.compressed:
            inflated = self._inflate(payload, size, 0, True)
            self.event = frame.opcode
            if frame.opcode == OP_BINARY:
                return inflated
            return _text(PyBytes_AS_STRING(inflated), PyBytes_GET_SIZE(inflated))
        self.event = frame.opcode
        if frame.opcode == OP_BINARY:
            return PyBytes_FromStringAndSize(payload, size)
        return _text(payload, size)

    cdef Partial *_hold(self) except NULL:
        cdef Partial *partial = <Partial *> PyMem_Malloc(sizeof(Partial))
        if partial == NULL:
            raise MemoryError
        memset(partial, 0, sizeof(Partial))
        self.partial = partial
        return partial

    cdef size_t held(self) noexcept:
        """Bytes of memory for what is not complete."""
        return 0 if self.partial == NULL else sizeof(Partial) + self.partial.room

    cdef void give_back(self) noexcept:
        """Forget what is half done: nothing more is read.  Left for later where an inflater asks for it."""
        if self.partial != NULL and not self.inflating:
            PyMem_Free(self.partial.data)
            PyMem_Free(self.partial)
            self.partial = NULL

    cdef void _settle(self) noexcept:
        """Give the state back where nothing is half done."""
        cdef Partial *partial = self.partial
        if partial.opcode == 0 and not partial.in_payload and partial.head_size == 0:
            PyMem_Free(partial.data)
            PyMem_Free(partial)
            self.partial = NULL

    cdef int _begin_frame(self, Partial *partial) except -1:
        """The head of a frame is complete: see whether it fits what came before."""
        cdef FrameHead *frame = &partial.frame
        partial.arrived = 0
        partial.in_payload = True
        if frame.opcode & CONTROL_BIT:
            partial.control_size = 0
            return 0
        if frame.opcode == OP_CONTINUATION:
            if partial.opcode == 0:
                raise WebSocketError("a continuation of nothing", CODE_PROTOCOL)
            if frame.compressed:
                raise WebSocketError(frame_fault(1).decode(), CODE_PROTOCOL)
        else:
            if partial.opcode:
                raise WebSocketError("a new message inside another one", CODE_PROTOCOL)
            if frame.compressed and self.inflater is None:
                raise WebSocketError(frame_fault(1).decode(), CODE_PROTOCOL)
            partial.opcode = frame.opcode
            partial.compressed = frame.compressed
            partial.frames = 0
            partial.taken = 0
            partial.since_ns = 0
            memset(&partial.text, 0, sizeof(partial.text))
        partial.frames += 1
        if partial.frames > self.max_frames:
            raise WebSocketError("the message is in too many pieces", CODE_LARGE)
        # Of a compressed message only what comes out counts, but what goes in is bounded as well.
        if frame.length > <uint64_t> self.max_message - (0 if partial.compressed else partial.size):
            raise WebSocketError("the message is too long", CODE_LARGE)
        return 0

    cdef int _take(self, Partial *partial, char *payload, size_t size) except -1:
        """Some of the payload of the frame at hand."""
        cdef FrameHead *frame = &partial.frame
        cdef bytes inflated
        if frame.masked and size:
            frame_mask(payload, size, frame.key, partial.arrived)
        partial.arrived += size
        if frame.opcode & CONTROL_BIT:
            memcpy(partial.control + partial.control_size, payload, size)
            partial.control_size += <uint8_t> size
            return 0
        partial.taken += size
        if not partial.compressed:
            return self._keep(partial, payload, size)
        if size or frame.final and partial.arrived == frame.length:
            inflated = self._inflate(payload, size, partial.size, frame.final and partial.arrived == frame.length)
            return self._keep(partial, PyBytes_AS_STRING(inflated), PyBytes_GET_SIZE(inflated))
        return 0

    cdef int _keep(self, Partial *partial, const char *data, size_t size) except -1:
        cdef size_t room
        cdef char *grown
        if partial.opcode == OP_TEXT and not utf8_check(&partial.text, data, size):
            raise WebSocketError("the text is not UTF-8", CODE_TEXT)
        if partial.size + size > partial.room:
            room = max(partial.size + size, max(partial.room * 2, <size_t> FIRST_BYTES))
            # No more than there can be: the last doubling would otherwise waste half of it.
            room = min(room, max(<size_t> self.max_message, partial.size + size))
            grown = <char *> PyMem_Realloc(partial.data, room)
            if grown == NULL:
                raise MemoryError
            partial.data = grown
            partial.room = room
        if size:
            memcpy(partial.data + partial.size, data, size)
        partial.size += size
        return 0

    cdef object _end_frame(self, Partial *partial):
        """All of a frame is here; the message or control frame that it completes."""
        cdef object message
        if partial.frame.opcode & CONTROL_BIT:
            message = self._control(partial.frame.opcode, partial.control, partial.control_size)
            partial.control_size = 0
            return message
        if not partial.frame.final:
            return None
        if partial.opcode == OP_TEXT:
            if partial.text.missing:
                raise WebSocketError("the text ends within a character", CODE_TEXT)
            message = PyUnicode_DecodeUTF8(partial.data, partial.size, NULL) if partial.size else ""
        else:
            message = PyBytes_FromStringAndSize(partial.data, partial.size)
        self.event = partial.opcode
        partial.opcode = 0
        partial.size = 0
        return message

    cdef object _control(self, int opcode, const char *payload, size_t size):
        cdef int code = CODE_NONE
        cdef object answer
        if opcode != OP_CLOSE:
            answer = PyBytes_FromStringAndSize(payload, size)
        else:
            if size == 1:
                raise WebSocketError("a close frame with half a code", CODE_PROTOCOL)
            if size:
                code = (<const uint8_t *> payload)[0] << 8 | (<const uint8_t *> payload)[1]
                if not may_close_with(code):
                    raise WebSocketError(f"the code {code} is not for close frames", CODE_PROTOCOL)
            answer = _text(payload + 2, size - 2) if size else ""
            self.close_code = code
        self.event = opcode
        return answer

    cdef bytes _inflate(self, const char *data, size_t size, size_t held, bint final):
        cdef bytes inflated
        cdef object inflater = self.inflater     # which may be taken from it meanwhile
        cdef size_t room = <size_t> self.max_message - held
        if inflater is None:
            raise WebSocketError(frame_fault(1).decode(), CODE_PROTOCOL)
        self.inflating = True            # what is half done lies in buffers that `next` would move or free
        try:
            inflated = <bytes?> inflater.inflate(PyBytes_FromStringAndSize(data, size), room, final)
        finally:
            self.inflating = False
        if inflated is None:
            raise UsageError("an inflater returns bytes, not None")
        self.inflated += <uint32_t> PyBytes_GET_SIZE(inflated)
        if <size_t> PyBytes_GET_SIZE(inflated) > room:
            raise WebSocketError("the message is too long", CODE_LARGE)
        return inflated


cdef str _text(const char *data, size_t size):
    try:
        return PyUnicode_DecodeUTF8(data, size, NULL)
    except UnicodeDecodeError:
        raise WebSocketError("the text is not UTF-8", CODE_TEXT) from None


def close_payload(int code, str reason not None=""):
    """The payload of a close frame.

    Args:
        code: 1000 to 1003, 1007 to 1014, 3000 to 4999.
        reason: at most 123 bytes of UTF-8.

    Raises:
        UsageError: another code, or a longer reason.

    Source: RFC 6455 5.5.1, 7.4.
    """
    cdef bytes text = reason.encode("utf-8")
    if not may_close_with(code):
        raise UsageError(f"{code} is no code to close with; 1000 to 1003, 1007 to 1014 and 3000 to 4999 are allowed")
    if len(text) > CONTROL_MOST - 2:
        raise UsageError(f"the reason has {len(text)} bytes; at most {CONTROL_MOST - 2} are allowed")
    return code.to_bytes(2, "big") + text
