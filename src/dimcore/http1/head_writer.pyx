"""Response writer: status line, header fields and framing (RFC 9110 6, 8, 15; RFC 9112 4, 6).

What a handler gives is checked before a byte of it is sent: a name that is no
token, a value with CR, LF, NUL or another control, a framing field the server
alone may set.  A refused head leaves the buffer as it was.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.string cimport memchr, memcmp, memcpy

from dimcore.limits cimport KIB
from dimcore.text.scan cimport scan_is_token, scan_name_is, scan_setup, scan_value

from dimcore.errors import ResponseError

cdef extern from "Python.h":
    object PyUnicode_AsLatin1String(object text)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef extern from "time.h" nogil:
    ctypedef long time_t
    cdef struct tm:
        int tm_sec
        int tm_min
        int tm_hour
        int tm_mday
        int tm_mon
        int tm_year
        int tm_wday
    time_t time(time_t *out)
    tm *gmtime_r(const time_t *when, tm *out)

scan_setup()

cdef enum:
    FIRST_ROOM = 96 * KIB    # OUTPUT_BYTES of answers, one more of APART_BYTES, and its head
    FIRST_BLOCK = 512        # bytes of a block of headers
    LARGE_BLOCK = 16 * KIB   # one grown beyond this is worth shrinking
    STATUS_LOW = 200
    STATUS_HIGH = 599

# Reason phrases: RFC 9110 15 and the IANA registry.
REASONS = {
    100: "Continue", 101: "Switching Protocols", 103: "Early Hints",
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content",
    205: "Reset Content", 206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
    305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed",
    413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable",
    417: "Expectation Failed", 421: "Misdirected Request", 422: "Unprocessable Content", 423: "Locked",
    424: "Failed Dependency", 425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required",
    429: "Too Many Requests", 431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 505: "HTTP Version Not Supported", 506: "Variant Also Negotiates",
    507: "Insufficient Storage", 508: "Loop Detected", 511: "Network Authentication Required",
}

cdef list STATUS_LINES = [
    f"HTTP/1.1 {code} {REASONS.get(code, 'Status')}\r\n".encode() for code in range(STATUS_LOW, STATUS_HIGH + 1)
]
cdef str NO_TRANSFER_ENCODING = "Transfer-Encoding is the server's to set, not a handler's"
cdef bytes DAYS = b"MonTueWedThuFriSatSun"
cdef bytes MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"

# What the handler's own fields said.
cdef enum Given:
    GAVE_DATE = 1
    GAVE_SERVER = 2
    GAVE_LENGTH = 4
    GAVE_TYPE = 8
    GAVE_CLOSE = 16
    GAVE_UPGRADE = 32
    GAVE_NOTHING = 64        # dropped: the server says it itself


cdef bint has_no_body(int status) noexcept nogil:
    """Whether an answer with this status never has a body (RFC 9110 6.4.1)."""
    return status == 204 or status == 304 or status == 205


cdef inline void _two_digits(char *out, int value) noexcept nogil:
    out[0] = <char> (c"0" + value // 10)
    out[1] = <char> (c"0" + value % 10)


@cython.final
cdef class Writer:
    """A growing byte buffer that heads and small bodies are written into.

    Args:
        server: value of the Server field; ``""`` leaves the field out.

    Not safe for use from two threads at once.
    """

    def __cinit__(self, str server="dimserver"):
        cdef bytes line = f"Server: {server}\r\n".encode("latin-1") if server else b""
        if len(line) > 40 or any(c < 32 for c in line[:len(line) - 2]):
            raise ResponseError(f"server name {server!r} is longer than 30 bytes or holds a line end")
        self.data = <char *> PyMem_Malloc(FIRST_ROOM)
        if self.data == NULL:
            raise MemoryError
        self.room = FIRST_ROOM
        self.server_size = len(line)
        memcpy(self.stamp, <const char *> line, self.server_size)
        self.stamped = -1
        self.set_time(0)

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef int reserve(self, size_t more) except -1:
        cdef size_t room = self.room
        cdef char *data
        if self.size + more <= room:
            return 0
        while room < self.size + more:
            room *= 2
        data = <char *> PyMem_Realloc(self.data, room)
        if data == NULL:
            raise MemoryError
        self.data = data
        self.room = room
        return 0

    cdef void shrink(self) noexcept:
        """Give back what one huge head needed; to be called while nothing is written."""
        cdef char *data = <char *> PyMem_Realloc(self.data, FIRST_ROOM)
        if data != NULL:
            self.data = data
            self.room = FIRST_ROOM

    cdef int append(self, const char *data, size_t size) except -1:
        if self.size + size > self.room:
            self.reserve(size)
        memcpy(self.data + self.size, data, size)
        self.size += size
        return 0

    cdef void set_time(self, int64_t seconds) noexcept:
        """Renew the Date field (IMF-fixdate, RFC 9110 5.6.7) when the second changed."""
        cdef tm parts
        cdef time_t when = seconds
        cdef char *out = self.stamp + self.server_size
        if seconds == self.stamped:
            return
        gmtime_r(&when, &parts)
        memcpy(out, b"Date: ", 6)
        memcpy(out + 6, <const char *> DAYS + 3 * ((parts.tm_wday + 6) % 7), 3)
        memcpy(out + 9, b", ", 2)
        _two_digits(out + 11, parts.tm_mday)
        out[13] = c" "
        memcpy(out + 14, <const char *> MONTHS + 3 * parts.tm_mon, 3)
        out[17] = c" "
        _two_digits(out + 18, (parts.tm_year + 1900) // 100)
        _two_digits(out + 20, (parts.tm_year + 1900) % 100)
        out[22] = c" "
        _two_digits(out + 23, parts.tm_hour)
        out[25] = c":"
        _two_digits(out + 26, parts.tm_min)
        out[28] = c":"
        _two_digits(out + 29, parts.tm_sec)
        memcpy(out + 31, b" GMT\r\n", 6)
        self.stamp_size = self.server_size + 37
        self.stamped = seconds

    cdef int head(
        self, int status, object headers, int64_t length, uint32_t flags, const char *content_type
    ) except -1:
        """Write a whole head; returns WriteFlag bits: `flags` with CLOSE_AFTER if the handler asked for it.

        Args:
            status: 200 to 599.
            headers: mapping, pairs or None.
            length: bytes of the body that GET would get, or UNKNOWN_LENGTH.
            content_type: used unless the handler gave one; may be NULL.

        Raises:
            ResponseError: nothing was written.
        """
        cdef size_t start = self.size
        cdef uint32_t given = 0
        cdef bytes line
        self.declared = -1
        try:
            if not STATUS_LOW <= status <= STATUS_HIGH:
                raise ResponseError(f"status {status} is not between {STATUS_LOW} and {STATUS_HIGH}")
            line = <bytes> STATUS_LINES[status - STATUS_LOW]
            if type(headers) is HeaderBlock and (<HeaderBlock> headers).line is not None:
                line = (<HeaderBlock> headers).line
            self.append(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
            if headers is not None:
                self._fields(headers, length, flags, status, &given)
            if self.further is not None:
                self._add_further(start, &given, content_type != NULL or has_no_body(status))
            if not given & (GAVE_DATE | GAVE_SERVER):
                self.append(self.stamp, self.stamp_size)
            else:
                if not given & GAVE_SERVER:
                    self.append(self.stamp, self.server_size)
                if not given & GAVE_DATE:
                    self.append(self.stamp + self.server_size, self.stamp_size - self.server_size)
            if content_type != NULL and not given & GAVE_TYPE and not has_no_body(status):
                self._text(b"Content-Type: ")
                self._text(content_type)
                self.append(b"\r\n", 2)
            if status == 205:
                self.append(b"Content-Length: 0\r\n", 19)
            elif not has_no_body(status) and not given & GAVE_LENGTH:
                if length >= 0:
                    self._length(length)
                elif not flags & OLD_CLIENT:
                    self.append(b"Transfer-Encoding: chunked\r\n", 28)
            if given & GAVE_CLOSE:
                flags |= CLOSE_AFTER
            if flags & CLOSE_AFTER:
                self.append(b"Connection: close\r\n", 19)
            elif given & GAVE_UPGRADE:
                self.append(b"Connection: upgrade\r\n", 21)
            elif flags & OLD_CLIENT:
                self.append(b"Connection: keep-alive\r\n", 24)
            self.append(b"\r\n", 2)
        except BaseException:
            self.size = start
            raise
        return <int> flags

    cdef int _add_further(self, size_t start, uint32_t *given, bint typed) except -1:
        """Fields that filters add, where the head from `start` on has none of the name.

        Args:
            typed: whether the answer has another Content-Type, or no content that could have one.  What 304 says
                of the content would take the place of what a cache has (RFC 9111 4.3.4).
        """
        cdef bytes name, line
        cdef size_t size = self.size - start     # without what is added here: several of one name may be
        for name, line in self.further:
            if has_field(self.data + start, size, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)):
                continue
            if name == b"server":
                given[0] |= GAVE_SERVER
            elif typed and name == b"content-type":
                continue
            self.append(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        return 0

    cdef int switch(self, object headers) except -1:
        """Write the head of 101, after which another protocol is spoken.  What it raises leaves nothing written."""
        cdef size_t start = self.size
        cdef uint32_t given = 0
        self.declared = -1
        try:
            self._text(b"HTTP/1.1 101 Switching Protocols\r\n")
            # Framed like a 204: no Content-Length, no Transfer-Encoding (RFC 9110 8.6, RFC 9112 6.1).
            self._fields(headers, 0, 0, 204, &given)
            if not given & GAVE_SERVER:
                self.append(self.stamp, self.server_size)
            if not given & GAVE_DATE:
                self.append(self.stamp + self.server_size, self.stamp_size - self.server_size)
            self._text(b"Connection: upgrade\r\n\r\n")
        except BaseException:
            self.size = start
            raise
        return 0

    cdef int _text(self, const char *text) except -1:
        cdef size_t size = 0
        while text[size]:
            size += 1
        return self.append(text, size)

    cdef int _length(self, int64_t length) except -1:
        cdef char digits[20]
        cdef int at = 20
        self.reserve(48)
        memcpy(self.data + self.size, b"Content-Length: ", 16)
        self.size += 16
        while True:
            at -= 1
            digits[at] = <char> (c"0" + length % 10)
            length //= 10
            if length == 0:
                break
        memcpy(self.data + self.size, digits + at, 20 - at)
        self.size += 20 - at
        memcpy(self.data + self.size, b"\r\n", 2)
        self.size += 2
        return 0

    cdef int _fields(self, object headers, int64_t length, uint32_t flags, int status, uint32_t *given) except -1:
        cdef PyObject *name = NULL
        cdef PyObject *value = NULL
        cdef Py_ssize_t position = 0
        cdef HeaderBlock block
        if type(headers) is HeaderBlock:
            block = <HeaderBlock> headers
            self.append(block.data, block.size)
            given[0] |= block.given
            if block.declared >= 0:
                given[0] |= self._given_length(block.declared, length, flags, status)
            return 0
        if type(headers) is dict:
            while PyDict_Next(headers, &position, &name, &value):
                self._field(<object> name, <object> value, length, flags, status, given)
            return 0
        pairs = headers.items() if hasattr(headers, "items") else headers
        try:
            for one, other in pairs:
                self._field(one, other, length, flags, status, given)
        except (TypeError, ValueError) as error:
            if isinstance(error, ResponseError):
                raise
            raise ResponseError(
                f"headers must be a mapping or pairs of names and values, not {headers!r:.100}"
            ) from None
        return 0

    cdef int _field(
        self, object name, object value, int64_t length, uint32_t flags, int status, uint32_t *given
    ) except -1:
        cdef const char *text = NULL
        cdef const char *content = NULL
        cdef Py_ssize_t size = 0, content_size = 0
        cdef object _held = _latin(name, &text, &size)
        cdef object _content_held = _latin(value, &content, &content_size)
        cdef uint32_t known
        check_field(name, value, text, size, content, content_size)
        if size >= 4 and size <= 17:
            known = self._framing_field(text, size, content, content_size, length, flags, status)
            if known:
                if known & given[0] & GAVE_LENGTH:
                    raise ResponseError("Content-Length is given twice")
                given[0] |= known
                if known & ~(<uint32_t> (GAVE_DATE | GAVE_SERVER | GAVE_TYPE)):
                    return 0
        if self.size + size + content_size + 4 > self.room:
            self.reserve(size + content_size + 4)
        cdef char *out = self.data + self.size
        memcpy(out, text, size)
        out += size
        out[0] = c":"
        out[1] = c" "
        out += 2
        memcpy(out, content, content_size)
        out += content_size
        out[0] = c"\r"
        out[1] = c"\n"
        self.size += size + content_size + 4
        return 0

    cdef uint32_t _framing_field(
        self, const char *name, Py_ssize_t size, const char *value, Py_ssize_t value_size,
        int64_t length, uint32_t flags, int status,
    ) except? 0xFFFFFFFF:
        """Fields the server has a say in; those it writes itself are not copied."""
        if size == 4 and scan_name_is(name, b"date", 4):
            return GAVE_DATE
        if size == 6 and scan_name_is(name, b"server", 6):
            return GAVE_SERVER
        if size == 12 and scan_name_is(name, b"content-type", 12):
            return GAVE_TYPE
        if size == 10 and scan_name_is(name, b"connection", 10):
            return connection_option(value, value_size)
        if size == 10 and scan_name_is(name, b"keep-alive", 10):
            return GAVE_NOTHING
        if size == 17 and scan_name_is(name, b"transfer-encoding", 17):
            raise ResponseError(NO_TRANSFER_ENCODING)
        if size == 14 and scan_name_is(name, b"content-length", 14):
            return self._given_length(length_of(value, value_size), length, flags, status)
        return 0

    cdef uint32_t _given_length(self, int64_t given, int64_t length, uint32_t flags, int status) except? 0xFFFFFFFF:
        """What becomes of a Content-Length the handler gave."""
        if flags & LENGTH_CHANGES:
            self.declared = given        # of what the handler makes; what becomes of that is framed by its own length
            return GAVE_NOTHING
        if has_no_body(status) or length == given:
            return GAVE_NOTHING
        if length == 0 and flags & HEAD_ONLY or length < 0:
            # HEAD without making the body, or a stream whose length the handler knows.
            self._length(given)
            self.declared = given
            return GAVE_LENGTH
        raise ResponseError(f"Content-Length is {given}, but the body has {length} bytes")


cdef bint has_field(const char *head, size_t size, const char *name, Py_ssize_t name_size) noexcept:
    """Whether a head, of which each line has its end, has a field of a name in lower case."""
    cdef const char *at = head
    cdef const char *end = head + size
    while True:
        at = <const char *> memchr(at, c"\n", end - at)
        if at == NULL:
            return False
        at += 1
        if end - at > name_size and at[name_size] == c":" and scan_name_is(at, name, name_size):
            return True


cdef int64_t length_of(const char *text, Py_ssize_t size) except -1:
    """The value of a Content-Length field a handler gave."""
    cdef int64_t length = 0
    cdef Py_ssize_t at = 0
    while at < size and at < 18 and c"0" <= text[at] <= c"9":
        length = length * 10 + (text[at] - c"0")
        at += 1
    if at < size or size == 0:
        given = PyBytes_FromStringAndSize(text, size)
        raise ResponseError(f"Content-Length {given!r:.100} is not a decimal number")
    return length


@cython.final
cdef class HeaderBlock:
    """Header fields in the form they are sent in, checked when they are added; may stand for the headers of an answer.

    For who takes headers long before the answer is written, and wants a fault of them told at once.

    Not safe for use from two threads at once.
    """

    def __cinit__(self):
        self.data = <char *> PyMem_Malloc(FIRST_BLOCK)
        if self.data == NULL:
            raise MemoryError
        self.room = FIRST_BLOCK
        self.declared = -1

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef void clear(self) noexcept:
        cdef char *data
        self.size = 0
        self.given = 0
        self.declared = -1
        if self.line is not None:
            self.line = None
        if self.room > LARGE_BLOCK:
            data = <char *> PyMem_Realloc(self.data, FIRST_BLOCK)
            if data != NULL:
                self.data = data
                self.room = FIRST_BLOCK

    cdef int set_line(self, const char *text, Py_ssize_t size, int status) except -1:
        """Take a status line, without the version, that was checked to be one; `status` is between 200 and 599."""
        cdef bytes usual = <bytes> STATUS_LINES[status - STATUS_LOW]
        if PyBytes_GET_SIZE(usual) == size + 11 and memcmp(PyBytes_AS_STRING(usual) + 9, text, size) == 0:
            return 0
        self.line = b"HTTP/1.1 " + text[:size] + b"\r\n"
        return 0

    cdef int add(self, object name, object value) except -1:
        """Check a field and append it.

        Raises:
            ResponseError: as the writer does; the fields before it stay.
        """
        cdef const char *text = NULL
        cdef const char *content = NULL
        cdef Py_ssize_t size = 0, content_size = 0
        cdef object _held = _latin(name, &text, &size)
        cdef object _content_held = _latin(value, &content, &content_size)
        cdef char *out
        cdef size_t room
        check_field(name, value, text, size, content, content_size)
        if size == 4 and scan_name_is(text, b"date", 4):
            self.given |= GAVE_DATE
        elif size == 6 and scan_name_is(text, b"server", 6):
            self.given |= GAVE_SERVER
        elif size == 12 and scan_name_is(text, b"content-type", 12):
            self.given |= GAVE_TYPE
        elif size == 10 and scan_name_is(text, b"connection", 10):
            self.given |= connection_option(content, content_size)
            return 0
        elif size == 10 and scan_name_is(text, b"keep-alive", 10):
            return 0
        elif size == 17 and scan_name_is(text, b"transfer-encoding", 17):
            raise ResponseError(NO_TRANSFER_ENCODING)
        elif size == 14 and scan_name_is(text, b"content-length", 14):
            if self.declared >= 0:
                raise ResponseError("Content-Length is given twice")
            self.declared = length_of(content, content_size)
            return 0
        if self.size + size + content_size + 4 > self.room:
            room = self.room * 2
            while room < self.size + size + content_size + 4:
                room *= 2
            out = <char *> PyMem_Realloc(self.data, room)
            if out == NULL:
                raise MemoryError
            self.data = out
            self.room = room
        out = self.data + self.size
        memcpy(out, text, size)
        out += size
        out[0] = c":"
        out[1] = c" "
        out += 2
        memcpy(out, content, content_size)
        out += content_size
        out[0] = c"\r"
        out[1] = c"\n"
        self.size += size + content_size + 4
        return 0


cdef inline int check_field(
    object name, object value, const char *text, Py_ssize_t size, const char *content, Py_ssize_t content_size
) except -1:
    if not scan_is_token(text, size):
        raise ResponseError(f"header name {name!r:.100} is not a token")
    if scan_value(content, content_size) != <size_t> content_size:
        raise ResponseError(f"the value of header {name!r:.100} holds a control character: {value!r:.100}")
    return 0


cdef uint32_t connection_option(const char *value, Py_ssize_t size) except? 0xFFFFFFFF:
    """What a handler's Connection field asks for; the rest of it is the server's to say."""
    cdef bytes text = value[:size].lower()
    options = {option.strip() for option in text.split(b",")}
    if b"close" in options:
        return GAVE_CLOSE
    return GAVE_UPGRADE if b"upgrade" in options else GAVE_NOTHING


cdef object _latin(object value, const char **text, Py_ssize_t *size):
    """Point at the bytes of a str, bytes or int; the returned object keeps them alive."""
    if type(value) is str:
        if PyUnicode_IS_COMPACT_ASCII(value):
            text[0] = <const char *> PyUnicode_DATA(value)
            size[0] = PyUnicode_GET_LENGTH(value)
            return value
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value).encode()
    elif not isinstance(value, (bytes, str)):
        raise ResponseError(f"a header must be text or bytes, not {type(value).__name__}: {value!r:.100}")
    if isinstance(value, str):
        try:
            value = PyUnicode_AsLatin1String(value)
        except UnicodeEncodeError:
            raise ResponseError(f"header text {value!r:.100} is not Latin-1: encode it (RFC 8187)") from None
    text[0] = PyBytes_AS_STRING(value)
    size[0] = PyBytes_GET_SIZE(value)
    return value


cdef Writer _lent = None


def format_head(int status, headers=None, length=0, *, bint close=False, bint http_1_0=False, content_type=None):
    """The head of an answer as bytes, with the current Date; what the server would send.

    Args:
        status: 200 to 599.
        headers: mapping or pairs of str or bytes.
        length: body bytes; ``None`` when not known (chunked).
        content_type: used when `headers` has none.

    Raises:
        ResponseError: a status, name or value that must not be sent.
    """
    global _lent
    cdef Writer writer
    cdef bytes head
    cdef uint32_t flags = (CLOSE_AFTER if close else 0) | (OLD_CLIENT if http_1_0 else 0)
    cdef bytes kind
    cdef const char *kind_text = NULL
    if content_type:
        kind = content_type.encode("latin-1")
        kind_text = kind
    # Not a new buffer each time; while it is in use (a header mapping may call this too) there is none to lend.
    writer, _lent = _lent, None
    if writer is None:
        writer = Writer()
    writer.set_time(time(NULL))
    writer.head(status, headers, UNKNOWN_LENGTH if length is None else length, flags, kind_text)
    head = writer.data[:writer.size]
    writer.size = 0
    if writer.room <= LARGE_ROOM:
        _lent = writer
    return head
