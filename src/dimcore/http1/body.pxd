from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef enum BodyResult:
    BODY_MORE        # every byte given was used, more are needed
    BODY_PIECE       # a piece of the body; call again with the rest
    BODY_DONE        # the message ends at *used
    BODY_FAILED      # Body.fault says why

# 40 bytes
cdef struct Body:
    int64_t remaining        # of the body (Content-Length) or of the chunk
    int64_t total            # body bytes handed out so far
    int64_t limit            # most body bytes allowed
    uint32_t line            # bytes of the size line or trailer section so far
    uint32_t extensions      # bytes of chunk extensions in the whole body
    uint8_t chunked
    uint8_t state
    uint8_t fault
    uint8_t named            # the trailer field in progress has a name

cdef void body_start_length(Body *body, int64_t length) noexcept nogil
cdef void body_start_chunked(Body *body, int64_t limit) noexcept nogil
cdef BodyResult body_step(
    Body *body, const char *data, size_t size, size_t *used, const char **piece, size_t *piece_size
) noexcept nogil
