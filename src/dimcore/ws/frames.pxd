from libc.stdint cimport uint8_t, uint64_t

cdef enum Opcode:
    OP_CONTINUATION = 0
    OP_TEXT = 1
    OP_BINARY = 2
    OP_CLOSE = 8
    OP_PING = 9
    OP_PONG = 10

cdef enum:
    FRAME_MORE = 0               # the head is not complete
    FRAME_FAULT = -1             # FrameHead.fault says why
    HEAD_MOST = 14               # bytes of the longest head
    CONTROL_MOST = 125           # bytes of payload of a control frame

cdef enum FrameFault:
    FRAME_RESERVED_BIT = 1
    FRAME_OPCODE
    FRAME_CONTROL_FRAGMENTED
    FRAME_CONTROL_LONG
    FRAME_LENGTH_FORM
    FRAME_UNMASKED
    FRAME_MASKED


cdef struct FrameHead:
    uint64_t length              # of the payload
    uint8_t key[4]               # zero where `masked` is not set
    uint8_t opcode
    uint8_t final                # the last frame of its message
    uint8_t compressed           # RSV1 (RFC 7692)
    uint8_t masked
    uint8_t fault


cdef int frame_head(FrameHead *head, const char *data, size_t size, bint from_client) noexcept nogil
cdef int frame_write_head(
    char *out, int opcode, bint final, bint compressed, uint64_t length, const uint8_t *key
) noexcept nogil
cdef void frame_mask(char *data, size_t size, const uint8_t *key, uint64_t offset) noexcept nogil
cdef const char *frame_fault(int fault) noexcept nogil
