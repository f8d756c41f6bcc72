"""Lazy parser of request heads (RFC 9112 2-3 and 5, RFC 9110 5 and 7).

One pass validates every byte, finds the end of the head and works out what
framing and routing need; everything else stays a span of the bytes it came in.
The contract is one for all callers: bytes in, and

* ``> 0``: the length of the complete head;
* ``HEAD_PARTIAL``: all bytes are fine so far and looked at for good (`Head.at`
  remembers where to go on, so a byte is never scanned twice, in whatever pieces
  it arrives: the cost of a head is O(its length));
* ``HEAD_FAILED``: no more bytes can mend it, and `Head.fault` says why.

Where the RFCs leave a choice and two readers could disagree about where a
request ends, the request is refused.
"""

from libc.string cimport memchr, memcmp

from dimcore.limits cimport DELETE, GET, HEAD, KIB, MAX_FIELDS, MAX_HEAD_BYTES, OPTIONS, OTHER, PATCH, POST, PUT
from dimcore.text.scan cimport (
    FIELD_AUTHORIZATION, FIELD_CONNECTION, FIELD_CONTENT_LENGTH, FIELD_CONTENT_TYPE, FIELD_EXPECT, FIELD_HOST,
    FIELD_OTHER, FIELD_TRANSFER_ENCODING, FIELD_UPGRADE, SCAN_DIGIT, SCAN_HEX, SCAN_HOST, SCAN_TOKEN, scan_class,
    scan_field_id, scan_name_is, scan_run, scan_setup, scan_target, scan_value,
)

scan_setup()

cdef enum:
    METHOD_LENGTH = 32       # IANA's longest method token has 17 bytes
    LEADING_BYTES = 8        # empty lines skipped before a request (RFC 9112 2.2), bounded
    VERSION_LENGTH = 8

# Fields that decide framing, routing or authority: of two of them nobody knows which one counts, so a request with a
# second one is refused.  Any other may be repeated, as real clients do, and is passed on as it was sent (RFC 9110 5.3).
cdef uint32_t SINGLETONS = (
    (1 << FIELD_HOST) | (1 << FIELD_CONTENT_LENGTH) | (1 << FIELD_TRANSFER_ENCODING) | (1 << FIELD_EXPECT)
    | (1 << FIELD_CONTENT_TYPE) | (1 << FIELD_AUTHORIZATION)
)

# Each state names what the byte at `Head.at` belongs to.
cdef enum State:
    LEADING
    LEADING_LF
    METHOD
    TARGET
    VERSION
    LINE_LF
    LINE_START
    NAME
    BEFORE_VALUE
    VALUE
    VALUE_LF
    END_LF

cdef HeadLimits DEFAULT_LIMITS
DEFAULT_LIMITS.request_line = 8 * KIB
DEFAULT_LIMITS.head = 32 * KIB
DEFAULT_LIMITS.field = 8 * KIB
DEFAULT_LIMITS.fields = MAX_FIELDS

# fault -> (status, what the peer is told)
FAULTS = {
    FAULT_METHOD: (400, "the method is not a token"),
    FAULT_METHOD_LENGTH: (501, "the method is longer than 32 bytes"),
    FAULT_TARGET: (400, "the request target holds a byte it must not"),
    FAULT_TARGET_FORM: (400, "the request target has no form this method allows"),
    FAULT_TARGET_LENGTH: (414, "the request line is too long"),
    FAULT_SIMPLE_REQUEST: (400, "the request line has no HTTP version"),
    FAULT_VERSION: (400, "the HTTP version is malformed"),
    FAULT_VERSION_UNSUPPORTED: (505, "the HTTP version is not supported: use HTTP/1.1"),
    FAULT_LEADING: (400, "too many empty lines before the request"),
    FAULT_LINE_END: (400, "a line does not end in CR LF"),
    FAULT_FIELD_NAME: (400, "a field name is not a token"),
    FAULT_FIELD_VALUE: (400, "a field value holds a control character"),
    FAULT_FIELD_FOLDED: (400, "a field value is folded over lines"),
    FAULT_FIELD_LENGTH: (431, "a header field is too long"),
    FAULT_FIELD_COUNT: (431, "too many header fields"),
    FAULT_HEAD_LENGTH: (431, "the request head is too long"),
    FAULT_HOST_MISSING: (400, "the Host field is missing"),
    FAULT_HOST: (400, "the host is malformed"),
    FAULT_REPEATED: (400, "a field that may stand only once is repeated"),
    FAULT_CONTENT_LENGTH: (400, "Content-Length is not one decimal number"),
    FAULT_TRANSFER_ENCODING: (400, "Transfer-Encoding is malformed"),
    FAULT_TRANSFER_CODING: (501, "the only transfer coding supported is chunked"),
    FAULT_TRANSFER_VERSION: (400, "Transfer-Encoding needs HTTP/1.1"),
    FAULT_LENGTH_AND_ENCODING: (400, "Content-Length and Transfer-Encoding exclude each other"),
    FAULT_CHUNK_SIZE: (400, "a chunk size is malformed"),
    FAULT_CHUNK_EXTENSION: (400, "a chunk extension is malformed or too long"),
    FAULT_CHUNK_END: (400, "a chunk does not end in CR LF"),
    FAULT_TRAILER: (400, "a trailer field is malformed"),
    FAULT_TRAILER_LENGTH: (431, "the trailer section is too long"),
    FAULT_BODY_LENGTH: (413, "the request body is too long"),
    FAULT_EXPECTATION: (417, "the only expectation supported is 100-continue"),
    FAULT_TIMEOUT: (408, "the request did not arrive in time"),
    FAULT_CUT: (400, "the request ended before it was complete"),
}

cdef int FAULT_STATUS[FAULT_COUNT]
for _fault, (_status, _text) in FAULTS.items():
    FAULT_STATUS[<int> _fault] = _status


cdef int fault_status(int fault) noexcept nogil:
    return FAULT_STATUS[fault]


cdef bytes fault_text(int fault):
    return FAULTS[fault][1].encode()


cdef void head_reset(Head *head) noexcept nogil:
    """Make `head` ready for a new request; its fields need no clearing."""
    head.at = 0
    head.mark = 0
    head.seen = 0
    head.state = LEADING
    head.fault = FAULT_NONE
    head.skipped = 0
    head.query_seen = 0
    head.info.content_length = -1
    head.info.flags = 0
    head.info.method_length = 0      # until they are known: a refusal asks
    head.info.target_length = 0
    head.info.n_fields = 0
    head.info.minor = MINOR_UNKNOWN
    head.info.path_at = 0
    head.info.path_length = 0
    head.info.query_at = 0
    head.info.query_length = 0
    head.info.host_at = 0
    head.info.host_length = 0


cdef bint head_is_blank(const Head *head) noexcept nogil:
    return head.state == LEADING


cdef inline int _fail(Head *head, int fault) noexcept nogil:
    head.fault = fault
    return HEAD_FAILED


cdef inline int _classify_method(const char *name, size_t size) noexcept nogil:
    # Methods are case-sensitive (RFC 9110 9.1).
    if size == 3:
        if memcmp(name, b"GET", 3) == 0:
            return GET
        if memcmp(name, b"PUT", 3) == 0:
            return PUT
    elif size == 4:
        if memcmp(name, b"POST", 4) == 0:
            return POST
        if memcmp(name, b"HEAD", 4) == 0:
            return HEAD
    elif size == 5:
        if memcmp(name, b"PATCH", 5) == 0:
            return PATCH
    elif size == 6:
        if memcmp(name, b"DELETE", 6) == 0:
            return DELETE
    elif size == 7:
        if memcmp(name, b"OPTIONS", 7) == 0:
            return OPTIONS
    return OTHER


cdef bint _is_ipv4(const char *text, size_t size) noexcept nogil:
    """IPv4address of RFC 3986 3.2.2: four numbers up to 255 without leading zeros."""
    cdef size_t at = 0, start
    cdef int parts = 0, number
    while True:
        start = at
        number = 0
        while at < size and at - start < 3 and scan_class[<uint8_t> text[at]] & SCAN_DIGIT:
            number = number * 10 + (text[at] - c"0")
            at += 1
        if at == start or number > 255 or (at - start > 1 and text[start] == c"0"):
            return False
        parts += 1
        if parts == 4:
            return at == size
        if at == size or text[at] != c".":
            return False
        at += 1


cdef bint _is_ipv6(const char *text, size_t size) noexcept nogil:
    """IPv6address of RFC 3986 3.2.2: eight groups, one run of them shortened, an IPv4 address for the last two."""
    cdef size_t at = 0, start
    cdef int groups = 0
    cdef bint shortened = False
    if size >= 2 and text[0] == c":" and text[1] == c":":
        shortened = True
        at = 2
        if at == size:
            return True
    while groups < 8:
        start = at
        while at < size and at - start < 4 and scan_class[<uint8_t> text[at]] & SCAN_HEX:
            at += 1
        if at == start:
            return False
        if at < size and text[at] == c".":
            return (groups <= 5 if shortened else groups == 6) and _is_ipv4(text + start, size - start)
        groups += 1
        if at == size:
            break
        if text[at] != c":":
            return False
        at += 1
        if at < size and text[at] == c":":
            if shortened:
                return False
            shortened = True
            at += 1
            if at == size:
                break
    return at == size and (groups <= 7 if shortened else groups == 8)


cdef bint _is_host(const char *text, size_t size, bint port_needed) noexcept nogil:
    """uri-host [ ":" port ] of RFC 9110 7.2, without an empty host, a comma or user information.

    Of the IP literals only IPv6: there is no other kind yet, and nobody could be reached at one.
    """
    cdef size_t at = 0, port
    cdef const char *bracket
    cdef uint32_t number = 0
    if size == 0:
        return False
    if text[0] == c"[":
        bracket = <const char *> memchr(text, c"]", size)
        if bracket == NULL or not _is_ipv6(text + 1, bracket - text - 1):
            return False
        at = bracket - text + 1
    else:
        while at < size:
            at += scan_run(text + at, size - at, SCAN_HOST)
            if at < size and text[at] == c"%":
                if size - at < 3 or scan_run(text + at + 1, 2, SCAN_HEX) != 2:
                    return False
                at += 3
                continue
            break
        if at == 0:
            return False
    if at == size:
        return not port_needed
    if text[at] != c":":
        return False
    at += 1
    port = at
    while at < size and scan_class[<uint8_t> text[at]] & SCAN_DIGIT:
        number = number * 10 + <uint32_t> (text[at] - c"0")
        at += 1
        if number > 65535 or at - port > 5:
            return False
    return at == size and (at > port or not port_needed)


cdef int64_t _content_length(const char *text, size_t size) noexcept nogil:
    """1*DIGIT that fits 63 bits (RFC 9110 8.6), or -1."""
    cdef int64_t value = 0
    cdef int64_t most = (<int64_t> 0x7FFFFFFFFFFFFFFF - 9) // 10
    cdef size_t i
    if size == 0:
        return -1
    for i in range(size):
        if not scan_class[<uint8_t> text[i]] & SCAN_DIGIT:
            return -1
        if value > most:
            return -1
        value = value * 10 + (text[i] - c"0")
    return value


cdef enum ConnectionOption:
    OPTION_CLOSE = 1
    OPTION_KEEP_ALIVE = 2
    OPTION_UPGRADE = 4


cdef uint32_t _connection_options(const char *text, size_t size) noexcept nogil:
    cdef size_t at = 0, start, end
    cdef uint32_t found = 0
    while at < size:
        while at < size and (text[at] == c"," or text[at] == c" " or text[at] == c"\t"):
            at += 1
        start = at
        while at < size and text[at] != c",":
            at += 1
        end = at
        while end > start and (text[end - 1] == c" " or text[end - 1] == c"\t"):
            end -= 1
        if end - start == 5 and scan_name_is(text + start, b"close", 5):
            found |= OPTION_CLOSE
        elif end - start == 10 and scan_name_is(text + start, b"keep-alive", 10):
            found |= OPTION_KEEP_ALIVE
        elif end - start == 7 and scan_name_is(text + start, b"upgrade", 7):
            found |= OPTION_UPGRADE
    return found


cdef inline size_t _blanks(const char *text, size_t at, size_t size) noexcept nogil:
    while at < size and (text[at] == c" " or text[at] == c"\t"):
        at += 1
    return at


cdef size_t _parameter(const char *text, size_t at, size_t size) noexcept nogil:
    """Where a transfer-parameter ends that begins at `at`: token BWS "=" BWS ( token / quoted-string ); or 0."""
    cdef size_t run = scan_run(text + at, size - at, SCAN_TOKEN)
    if run == 0:
        return 0
    at = _blanks(text, at + run, size)
    if at == size or text[at] != c"=":
        return 0
    at = _blanks(text, at + 1, size)
    if at < size and text[at] == c"\"":
        at += 1
        while at < size and text[at] != c"\"":
            at += 2 if text[at] == c"\\" else 1
        return at + 1 if at < size else 0
    run = scan_run(text + at, size - at, SCAN_TOKEN)
    return at + run if run else 0


cdef int _foreign_codings(const char *text, size_t size) noexcept nogil:
    """What is wrong with transfer codings other than chunked alone (RFC 9112 6.1 and 7).

    What looks like one coding, or is a list that ends with chunked, is not spoken here; anything else is malformed:
    where a body ends whose last coding is not chunked, nobody knows.
    """
    cdef size_t at = 0, run
    cdef int codings = 0
    cdef bint chunked = False
    if size and scan_class[<uint8_t> text[0]] & SCAN_TOKEN and memchr(text, c",", size) == NULL:
        return FAULT_TRANSFER_CODING
    while True:
        run = scan_run(text + at, size - at, SCAN_TOKEN)
        if run == 0 or chunked:
            return FAULT_TRANSFER_ENCODING
        chunked = run == 7 and scan_name_is(text + at, b"chunked", 7)
        codings += 1
        at = _blanks(text, at + run, size)
        while at < size and text[at] == c";" and not chunked:
            at = _parameter(text, _blanks(text, at + 1, size), size)
            if at == 0:
                return FAULT_TRANSFER_ENCODING
            at = _blanks(text, at, size)
        if at == size:
            return FAULT_TRANSFER_CODING if chunked or codings == 1 else FAULT_TRANSFER_ENCODING
        if text[at] != c",":
            return FAULT_TRANSFER_ENCODING
        at = _blanks(text, at + 1, size)


cdef int _known_field(Head *head, int field, const char *value, size_t size) noexcept nogil:
    """Take in a field that framing or routing needs; a Fault or 0."""
    cdef uint32_t options
    if field == FIELD_HOST:
        if not _is_host(value, size, False):
            return FAULT_HOST
        head.info.host_at = head.fields[head.info.n_fields].value_at
        head.info.host_length = <uint16_t> size
    elif field == FIELD_CONNECTION:
        options = _connection_options(value, size)
        if options & OPTION_CLOSE:
            head.info.flags |= _CLOSE
        if options & OPTION_KEEP_ALIVE:
            head.info.flags |= _ASKS_KEEP_ALIVE
        if options & OPTION_UPGRADE:
            head.info.flags |= _ASKS_UPGRADE
    elif field == FIELD_CONTENT_LENGTH:
        head.info.content_length = _content_length(value, size)
        if head.info.content_length < 0:
            return FAULT_CONTENT_LENGTH
        head.info.flags |= HAS_LENGTH
    elif field == FIELD_TRANSFER_ENCODING:
        if size == 7 and scan_name_is(value, b"chunked", 7):
            head.info.flags |= CHUNKED
        else:
            return _foreign_codings(value, size)
    elif field == FIELD_EXPECT:
        if size == 12 and scan_name_is(value, b"100-continue", 12):
            head.info.flags |= EXPECT_CONTINUE
        else:
            head.info.flags |= EXPECT_OTHER
    elif field == FIELD_UPGRADE:
        if size:
            head.info.flags |= _NAMES_UPGRADE
    return FAULT_NONE


# What fields said, until the version tells what it means; never leaves this module.
cdef enum:
    _CLOSE = 1 << 20
    _ASKS_KEEP_ALIVE = 1 << 21
    _ASKS_UPGRADE = 1 << 22
    _NAMES_UPGRADE = 1 << 23


cdef int _finish_target(Head *head, const char *data) noexcept nogil:
    """Find path and query in the four forms of RFC 9112 3.2; a Fault or 0."""
    cdef HeadInfo *info = &head.info
    cdef const char *target = data + info.target_at
    cdef size_t size = info.target_length, scheme = 0, end
    cdef size_t path_end = (info.query_at - 1 - info.target_at) if head.query_seen else size
    if info.method == OTHER and info.method_length == 7 and memcmp(data + info.method_at, b"CONNECT", 7) == 0:
        if not _is_host(target, size, True):
            return FAULT_TARGET_FORM
        info.flags |= AUTHORITY_FORM
        info.host_at = info.target_at
        info.host_length = info.target_length
        return FAULT_NONE
    if target[0] == c"/":
        info.path_at = info.target_at
        info.path_length = <uint16_t> path_end
        return FAULT_NONE
    if size == 1 and target[0] == c"*":
        if info.method != OPTIONS:
            return FAULT_TARGET_FORM
        info.flags |= ASTERISK_FORM
        info.path_at = info.target_at
        info.path_length = 1
        return FAULT_NONE
    if size > 7 and scan_name_is(target, b"http:", 5):
        scheme = 7
    elif size > 8 and scan_name_is(target, b"https:", 6):
        scheme = 8
    if scheme == 0 or target[scheme - 1] != c"/" or target[scheme - 2] != c"/":
        return FAULT_TARGET_FORM
    end = scheme
    while end < path_end and target[end] != c"/":
        end += 1
    if not _is_host(target + scheme, end - scheme, False):
        return FAULT_HOST
    # The authority of an absolute target counts, whatever Host says (RFC 9112 3.2.2).
    info.flags |= ABSOLUTE_FORM
    info.host_at = <uint16_t> (info.target_at + scheme)
    info.host_length = <uint16_t> (end - scheme)
    info.path_at = <uint16_t> (info.target_at + end)
    info.path_length = <uint16_t> (path_end - end)
    if end == size and info.method == OPTIONS:
        info.flags |= ASTERISK_FORM      # what a client writes who means "*" and asks a proxy (RFC 9112 3.2.4)
    return FAULT_NONE


cdef int _finish(Head *head, const char *data) noexcept nogil:
    """The checks that need the whole head; a Fault or 0."""
    cdef HeadInfo *info = &head.info
    cdef uint32_t said = info.flags
    cdef int fault = FAULT_NONE
    if not head.seen & (1 << FIELD_HOST) and info.minor == 1:
        return FAULT_HOST_MISSING
    fault = _finish_target(head, data)
    if fault:
        return fault
    if said & CHUNKED:
        if info.minor == 0:
            return FAULT_TRANSFER_VERSION
        if said & HAS_LENGTH:
            return FAULT_LENGTH_AND_ENCODING
    if info.minor == 1:
        # What follows a CONNECT may be meant for the tunnel: never read it as a request (RFC 9931).
        if not said & _CLOSE and not info.flags & AUTHORITY_FORM:
            info.flags |= KEEP_ALIVE
        if said & _ASKS_UPGRADE and said & _NAMES_UPGRADE:
            info.flags |= UPGRADE
    else:
        # 1xx answers and Upgrade do not exist in HTTP/1.0 (RFC 9110 7.8, 10.1.1).
        info.flags &= ~(<uint32_t> (EXPECT_CONTINUE | EXPECT_OTHER))
        if said & _ASKS_KEEP_ALIVE and not said & _CLOSE and not info.flags & AUTHORITY_FORM:
            info.flags |= KEEP_ALIVE
    info.flags &= 0xFFFF
    return FAULT_NONE


cdef int head_parse(Head *head, const char *data, size_t size, const HeadLimits *limits) noexcept nogil:
    """Go on with the head that starts at `data`; see the module for what is returned.

    `data` must hold every byte of the head since the reset; only those from
    `head.at` on are looked at.  Limits above `MAX_HEAD_BYTES` are cut to it.
    """
    cdef size_t at = head.at, run
    cdef size_t end = size
    cdef char c
    cdef int fault, field
    cdef Field *span
    cdef HeadInfo *info = &head.info
    cdef size_t head_limit = limits.head if limits.head < MAX_HEAD_BYTES else MAX_HEAD_BYTES
    if end > head_limit:
        end = head_limit
    while at < end:
        if head.state == NAME:
            at += scan_run(data + at, end - at, SCAN_TOKEN)
            if at - head.mark > limits.field:
                return _fail(head, FAULT_FIELD_LENGTH)
            if at == end:
                break
            if data[at] != c":" or at == head.mark:
                return _fail(head, FAULT_FIELD_NAME)
            if info.n_fields >= limits.fields or info.n_fields >= MAX_FIELDS:
                return _fail(head, FAULT_FIELD_COUNT)
            span = &head.fields[info.n_fields]
            span.name_at = <uint16_t> head.mark
            span.name_length = <uint16_t> (at - head.mark)
            at += 1
            head.state = BEFORE_VALUE
        if head.state == BEFORE_VALUE:
            while at < end and (data[at] == c" " or data[at] == c"\t"):
                at += 1
            if at == end:
                break
            head.mark = at
            head.state = VALUE
        if head.state == VALUE:
            at += scan_value(data + at, end - at)
            # Before the byte that stopped the scan is judged, so that the verdict is the same in whatever pieces
            # the head arrives.
            if at - head.fields[info.n_fields].name_at > limits.field:
                return _fail(head, FAULT_FIELD_LENGTH)
            if at == end:
                break
            if data[at] != c"\r":
                return _fail(head, FAULT_LINE_END if data[at] == c"\n" else FAULT_FIELD_VALUE)
            at += 1
            head.state = VALUE_LF
            if at == end:
                break
        if head.state == VALUE_LF:
            if data[at] != c"\n":
                return _fail(head, FAULT_LINE_END)
            run = at - 1
            while run > head.mark and (data[run - 1] == c" " or data[run - 1] == c"\t"):
                run -= 1
            at += 1
            span = &head.fields[info.n_fields]
            span.value_at = <uint16_t> head.mark
            span.value_length = <uint16_t> (run - head.mark)
            field = scan_field_id(data + span.name_at, span.name_length)
            if field != FIELD_OTHER:
                if head.seen & SINGLETONS & (<uint32_t> 1 << field):
                    return _fail(head, FAULT_REPEATED)
                head.seen |= <uint32_t> 1 << field
                if field <= FIELD_UPGRADE:
                    fault = _known_field(head, field, data + head.mark, span.value_length)
                    if fault:
                        return _fail(head, fault)
            info.n_fields += 1
            head.state = LINE_START
            if at == end:
                break
        if head.state == LINE_START:
            c = data[at]
            if c == c"\r":
                at += 1
                head.state = END_LF
                if at == end:
                    break
            elif c == c" " or c == c"\t":
                return _fail(head, FAULT_FIELD_FOLDED)
            elif c == c"\n":
                return _fail(head, FAULT_LINE_END)
            else:
                head.mark = at
                head.state = NAME
                continue
        if head.state == END_LF:
            if data[at] != c"\n":
                return _fail(head, FAULT_LINE_END)
            at += 1
            fault = _finish(head, data)
            if fault:
                return _fail(head, fault)
            head.at = at
            info.length = <uint16_t> at
            return <int> at
        if head.state == LEADING:
            c = data[at]
            if c == c"\r":
                if at >= LEADING_BYTES:
                    return _fail(head, FAULT_LEADING)
                at += 1
                head.state = LEADING_LF
                continue
            elif scan_class[<uint8_t> c] & SCAN_TOKEN:
                head.mark = at
                head.skipped = at
                head.state = METHOD
            else:
                return _fail(head, FAULT_METHOD)
        if head.state == METHOD:
            at += scan_run(data + at, end - at, SCAN_TOKEN)
            if at - head.mark > METHOD_LENGTH:
                return _fail(head, FAULT_METHOD_LENGTH)
            if at == end:
                break
            if data[at] != c" ":
                return _fail(head, FAULT_SIMPLE_REQUEST if data[at] == c"\r" else FAULT_METHOD)
            info.method_at = <uint16_t> head.mark
            info.method_length = <uint16_t> (at - head.mark)
            info.method = _classify_method(data + head.mark, at - head.mark)
            at += 1
            head.mark = at
            info.target_at = <uint16_t> at
            head.state = TARGET
        if head.state == TARGET:
            while True:
                at += scan_target(data + at, end - at)
                if at == end:
                    break
                c = data[at]
                if c == c"%":
                    if not head.query_seen:
                        info.flags |= ESCAPED_PATH
                elif c == c"?":
                    if not head.query_seen:
                        head.query_seen = 1
                        info.query_at = <uint16_t> (at + 1)
                else:
                    break
                at += 1
            # With " HTTP/1.1", which is still to come.
            if at - head.skipped + 1 + VERSION_LENGTH > limits.request_line:
                return _fail(head, FAULT_TARGET_LENGTH)
            if at == end:
                break
            if data[at] != c" ":
                return _fail(head, FAULT_SIMPLE_REQUEST if data[at] == c"\r" else FAULT_TARGET)
            if at == head.mark:
                return _fail(head, FAULT_TARGET)
            info.target_length = <uint16_t> (at - head.mark)
            if head.query_seen:
                info.query_length = <uint16_t> (at - info.query_at)
            at += 1
            head.mark = at
            head.state = VERSION
        if head.state == VERSION:
            if end - head.mark >= VERSION_LENGTH + 2 and memcmp(data + head.mark, b"HTTP/1.1\r\n", 10) == 0:
                info.minor = 1
                at = head.mark + 10
                head.state = LINE_START
            else:
                fault = _slow_version(head, data, end, &at)
                if fault:
                    return _fail(head, fault)
            continue
        if head.state == LINE_LF:
            if data[at] != c"\n":
                return _fail(head, FAULT_LINE_END)
            at += 1
            head.state = LINE_START
            continue
        if head.state == LEADING_LF:
            if data[at] != c"\n":
                return _fail(head, FAULT_LINE_END)
            at += 1
            head.state = LEADING
    head.at = at
    # The limits bind while the rest is still on its way.
    if head.state == BEFORE_VALUE and at - head.fields[info.n_fields].name_at > limits.field:
        return _fail(head, FAULT_FIELD_LENGTH)
    if size >= head_limit:
        return _fail(head, FAULT_HEAD_LENGTH)
    return HEAD_PARTIAL


cdef int _slow_version(Head *head, const char *data, size_t end, size_t *position) noexcept nogil:
    """HTTP-version byte by byte: in pieces, in other versions, or malformed; a Fault or 0."""
    cdef size_t at = position[0], i
    cdef char c
    while at < end:
        c = data[at]
        i = at - head.mark
        if i < 5:
            if c != b"HTTP/"[i]:
                return FAULT_VERSION
        elif i == 5 or i == 7:
            if not scan_class[<uint8_t> c] & SCAN_DIGIT:
                return FAULT_VERSION
        elif i == 6:
            if c != c".":
                return FAULT_VERSION
        else:
            if c != c"\r":
                return FAULT_LINE_END if c == c"\n" else FAULT_VERSION
            if data[head.mark + 5] != c"1":
                return FAULT_VERSION_UNSUPPORTED
            # A later minor version is meant to be read as the latest one that is known (RFC 9110 2.5).
            head.info.minor = data[head.mark + 7] != c"0"
            position[0] = at + 1
            head.state = LINE_LF
            return FAULT_NONE
        at += 1
    position[0] = at
    return FAULT_NONE
