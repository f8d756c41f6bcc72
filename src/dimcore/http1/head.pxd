from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from dimcore.limits cimport MAX_FIELDS

cdef enum HeadFlag:
    KEEP_ALIVE = 1           # the connection may stay open after the answer
    HAS_LENGTH = 2
    CHUNKED = 4
    EXPECT_CONTINUE = 8
    EXPECT_OTHER = 16        # an expectation nobody can meet: 417
    UPGRADE = 32             # HTTP/1.1 with Upgrade and Connection: upgrade
    ESCAPED_PATH = 64        # the path holds a '%'
    ABSOLUTE_FORM = 128
    AUTHORITY_FORM = 256     # CONNECT
    ASTERISK_FORM = 512      # OPTIONS *, or an absolute form without path and query

cdef enum:
    HEAD_PARTIAL = -2
    HEAD_FAILED = -1
    MINOR_UNKNOWN = 255      # the version is still to come, or malformed

# 8 bytes: | name_at | name_length | value_at | value_length |, from the start of the head
cdef struct Field:
    uint16_t name_at
    uint16_t name_length
    uint16_t value_at
    uint16_t value_length

# 40 bytes: what stays with the request.  Offsets count from the start of the head.
cdef struct HeadInfo:
    int64_t content_length       # -1: none given
    uint32_t flags               # HeadFlag
    uint16_t method_at
    uint16_t method_length
    uint16_t target_at
    uint16_t target_length
    uint16_t path_at
    uint16_t path_length         # 0: an absolute or authority form without a path; reads as "/"
    uint16_t query_at
    uint16_t query_length
    uint16_t host_at             # value that counts: of the target if absolute, else of Host
    uint16_t host_length
    uint16_t n_fields
    uint16_t length              # of the whole head
    uint8_t method               # spiral: limits.Method
    uint8_t minor                # HTTP/1.minor: 0, 1, or MINOR_UNKNOWN

cdef struct HeadLimits:
    uint32_t request_line
    uint32_t head
    uint32_t field
    uint32_t fields

cdef struct Head:
    HeadInfo info
    uint32_t at                  # first byte not looked at yet
    uint32_t mark                # where the token in progress starts
    uint32_t seen                # bit i: the known field i has been met
    uint8_t state
    uint8_t fault                # Fault, once HEAD_FAILED was returned
    uint8_t skipped              # bytes of empty lines before the request
    uint8_t query_seen
    Field fields[MAX_FIELDS]

cdef enum Fault:
    FAULT_NONE
    FAULT_METHOD
    FAULT_METHOD_LENGTH
    FAULT_TARGET
    FAULT_TARGET_FORM
    FAULT_TARGET_LENGTH
    FAULT_SIMPLE_REQUEST
    FAULT_VERSION
    FAULT_VERSION_UNSUPPORTED
    FAULT_LEADING
    FAULT_LINE_END
    FAULT_FIELD_NAME
    FAULT_FIELD_VALUE
    FAULT_FIELD_FOLDED
    FAULT_FIELD_LENGTH
    FAULT_FIELD_COUNT
    FAULT_HEAD_LENGTH
    FAULT_HOST_MISSING
    FAULT_HOST
    FAULT_REPEATED
    FAULT_CONTENT_LENGTH
    FAULT_TRANSFER_ENCODING
    FAULT_TRANSFER_CODING
    FAULT_TRANSFER_VERSION
    FAULT_LENGTH_AND_ENCODING
    FAULT_CHUNK_SIZE
    FAULT_CHUNK_EXTENSION
    FAULT_CHUNK_END
    FAULT_TRAILER
    FAULT_TRAILER_LENGTH
    FAULT_BODY_LENGTH
    FAULT_EXPECTATION
    FAULT_TIMEOUT
    FAULT_CUT
    FAULT_COUNT

cdef HeadLimits DEFAULT_LIMITS

cdef void head_reset(Head *head) noexcept nogil
cdef int head_parse(Head *head, const char *data, size_t size, const HeadLimits *limits) noexcept nogil
cdef bint head_is_blank(const Head *head) noexcept nogil     # nothing but empty lines so far
cdef int fault_status(int fault) noexcept nogil
cdef bytes fault_text(int fault)
