cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from dimcore.conn.protocol cimport Protocol
from dimcore.text.utf8 cimport Utf8
from dimcore.ws.frames cimport CONTROL_MOST, HEAD_MOST, FrameHead

cdef enum MessageEvent:
    EVENT_NONE = 0               # everything given is dealt with
    EVENT_TEXT = 1               # numbers as the opcodes
    EVENT_BINARY = 2
    EVENT_CLOSE = 8
    EVENT_PING = 9
    EVENT_PONG = 10


# What is kept between two calls; there is none while nothing is half done.
cdef struct Partial:
    FrameHead frame              # the frame whose payload is arriving
    uint64_t arrived             # of its payload
    uint64_t taken               # bytes of the message as they came, frame heads apart
    int64_t since_ns             # set by whoever has a clock: the time it has began
    uint64_t marked              # of `taken`, when that was
    uint32_t frames              # of the message so far
    uint8_t in_payload
    uint8_t opcode               # of the message in pieces; 0: there is none
    uint8_t compressed
    uint8_t head_size            # bytes of a head that is not complete
    char head[HEAD_MOST]
    uint8_t control_size
    char control[CONTROL_MOST]
    Utf8 text
    char *data                   # the message so far
    size_t size
    size_t room


@cython.no_gc
cdef class MessageReader(Protocol):
    cdef object inflater         # inflate(piece, room, final) -> bytes; or None
    cdef int64_t max_message
    cdef uint32_t max_frames
    cdef readonly uint16_t close_code    # of the close frame that came; 0 before, 1005 where it named none
    cdef uint8_t event           # MessageEvent of what `next` returned
    cdef uint8_t inflating       # the inflater's code runs, in the middle of a message
    cdef bint from_client
    cdef uint32_t inflated       # bytes that came out of compressed payloads, until somebody takes note of them
    cdef Partial *partial

    cdef object next(self, char *data, size_t size, size_t *used)
    cdef object _whole(self, FrameHead *frame, char *payload)
    cdef Partial *_hold(self) except NULL
    cdef void _settle(self) noexcept
    cdef void give_back(self) noexcept
    cdef size_t held(self) noexcept
    cdef int _begin_frame(self, Partial *partial) except -1
    cdef int _take(self, Partial *partial, char *payload, size_t size) except -1
    cdef int _keep(self, Partial *partial, const char *data, size_t size) except -1
    cdef object _end_frame(self, Partial *partial)
    cdef object _control(self, int opcode, const char *payload, size_t size)
    cdef bytes _inflate(self, const char *data, size_t size, size_t held, bint final)
