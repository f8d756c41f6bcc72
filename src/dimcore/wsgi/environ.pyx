"""The `environ` of a WSGI call (PEP 3333), made in one pass over the spans of a head.

A request differs from the one before in little: so an environ is a copy of a base
dict that already has what all have in common, the names of fields are strings made
once, and a value that is the same as last time under its name is that very string.
What is sensitive is not kept for that: see `SECRETS`.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from dimcore.conn.exchange cimport Exchange
from dimcore.http.request cimport RequestPoint, host_and_port
from dimcore.http.spool cimport Spool
from dimcore.http1.head cimport ABSOLUTE_FORM, CHUNKED, ESCAPED_PATH, Field
from dimcore.limits cimport GET, OTHER
from dimcore.net.socket_io cimport peer_address
from dimcore.text.percent cimport percent_decode
from dimcore.text.scan cimport scan_name_is, scan_setup
from dimcore.wsgi.input cimport Input, input_of

cdef extern from "Python.h":
    dict PyDict_Copy(dict source)
    Py_ssize_t PyDict_GET_SIZE(dict source)
    PyObject *PyDict_GetItemWithError(dict source, object key) except? NULL
    PyObject *PyDict_SetDefault(dict target, object key, object value) except NULL
    int PyDict_SetItem(dict target, object key, object value) except -1
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

scan_setup()

cdef enum:
    NAME_SLOTS = 256
    NAME_BYTES = 48          # longer names are not kept
    VALUE_BYTES = 256        # nor are longer values
    PORT_SLOTS = 1024
    SCRATCH = 1024           # bytes on the C stack for a decoded path; longer ones are allocated

# A letter as a variable's name has it; 0 for an underscore, which makes a field unfit (see `set_fields`).
cdef uint8_t UPPER[256]
for _byte in range(256):
    UPPER[_byte] = _byte - 32 if 97 <= _byte <= 122 else 95 if _byte == 45 else 0 if _byte == 95 else _byte

# Fields whose values say who somebody is: not kept longer than their request.
cdef frozenset SECRETS = frozenset({"HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_PROXY_AUTHORIZATION"})

cdef struct NameSlot:
    PyObject *key            # "HTTP_ACCEPT", or NULL
    PyObject *value          # what came under that name last, or NULL
    bint secret

cdef NameSlot _names[NAME_SLOTS]
cdef PyObject *_ports[PORT_SLOTS]
cdef uint16_t _port_numbers[PORT_SLOTS]

cdef Input NO_INPUT = Input()
cdef tuple METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
cdef str CONTENT_TYPE = "CONTENT_TYPE"
cdef str CONTENT_LENGTH = "CONTENT_LENGTH"
cdef str HTTP_HOST = "HTTP_HOST"
cdef str HTTP_COOKIE = "HTTP_COOKIE"
cdef str REMOTE_ADDR = "REMOTE_ADDR"
cdef str REMOTE_PORT = "REMOTE_PORT"
cdef str REQUEST_METHOD = "REQUEST_METHOD"
cdef str PATH_INFO = "PATH_INFO"
cdef str QUERY_STRING = "QUERY_STRING"
cdef str RAW_URI = "RAW_URI"
cdef str REQUEST_URI = "REQUEST_URI"
cdef str SCRIPT_NAME = "SCRIPT_NAME"
cdef str SERVER_NAME = "SERVER_NAME"
cdef str SERVER_PORT = "SERVER_PORT"
cdef str SERVER_PROTOCOL = "SERVER_PROTOCOL"
cdef str URL_SCHEME = "wsgi.url_scheme"
cdef str INPUT = "wsgi.input"


cdef inline NameSlot *slot_of(const char *text, Py_ssize_t size) noexcept:
    cdef uint32_t at = (
        <uint32_t> size * 31 + UPPER[<uint8_t> text[0]] * 7 + UPPER[<uint8_t> text[size - 1]] * 3
        + UPPER[<uint8_t> text[size // 2]]
    ) % NAME_SLOTS
    return &_names[at]


cdef inline bint slot_has(const NameSlot *slot, const char *text, Py_ssize_t size) noexcept:
    cdef const char *known
    cdef Py_ssize_t i = 0
    if slot.key == NULL or PyUnicode_GET_LENGTH(<object> slot.key) != size + 5:
        return False
    known = <const char *> PyUnicode_DATA(<object> slot.key) + 5
    while i < size and <char> UPPER[<uint8_t> text[i]] == known[i]:
        i += 1
    return i == size


cdef str variable_of(const char *text, Py_ssize_t size):
    """``HTTP_`` and the name of a field; None where an underscore is in it."""
    cdef str name = PyUnicode_New(size + 5, 127)
    cdef char *data = <char *> PyUnicode_DATA(name)
    cdef Py_ssize_t i
    memcpy(data, b"HTTP_", 5)
    for i in range(size):
        if UPPER[<uint8_t> text[i]] == 0:
            return None
        data[5 + i] = <char> UPPER[<uint8_t> text[i]]
    return name


cdef inline object text_of(const char *data, Py_ssize_t size):
    return PyUnicode_DecodeLatin1(data, size, NULL)


cdef inline bint is_text(object text, const char *data, Py_ssize_t size) noexcept:
    """Whether a string made of Latin-1 has these bytes."""
    return PyUnicode_GET_LENGTH(text) == size and memcmp(PyUnicode_DATA(text), data, size) == 0


cdef object port_of(uint16_t port):
    cdef uint32_t at = port % PORT_SLOTS
    if _ports[at] == NULL or _port_numbers[at] != port:
        text = str(port)
        Py_XDECREF(_ports[at])
        Py_INCREF(text)
        _ports[at] = <PyObject *> text
        _port_numbers[at] = port
    return <object> _ports[at]


@cython.final
cdef class EnvironMaker:
    """Makes the environs of calls that do not overlap.

    Args:
        common: what every environ has: ``wsgi.version`` and the like.
        root: path the app is under from outside (a proxy's prefix), not ended by a slash; ``""`` for none.
            Where it is in the path of a request it is taken off, where a proxy took it off before it is not.
        prefix: path the app is mounted at, likewise.

    Thread-safety: one thread at a time.
    """

    def __init__(self, dict common not None, str root not None="", str prefix not None=""):
        # Values that most requests have stand in the base and are changed for the others.
        self.script = _as_wsgi(root + prefix)
        self.root = _as_wsgi(root)
        self.root_bytes = root.encode("utf-8", "surrogateescape")
        self.prefix = len(prefix.encode("utf-8", "surrogateescape"))
        self.base = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": self.script, "PATH_INFO": "/", "QUERY_STRING": "",
            "RAW_URI": "/", "REQUEST_URI": "/", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "",
            "wsgi.url_scheme": "http", "wsgi.input": NO_INPUT, **common,
        }

    def __call__(self, RequestPoint request not None):
        """The environ of a request, a new dict."""
        return self.make(request)

    cdef dict make(self, RequestPoint request):
        cdef dict environ
        if request.given_headers is not None:
            request.lay_out_headers()
        self.set_host(request)
        environ = PyDict_Copy(self.base)
        if request.info.method != GET:
            PyDict_SetItem(environ, REQUEST_METHOD,
                           METHODS[request.info.method] if request.info.method < OTHER else request.method)
        self.set_path(environ, request)
        self.set_peer(environ, request)
        if request.info.minor == 0 and request.info.length:
            PyDict_SetItem(environ, SERVER_PROTOCOL, "HTTP/1.0")
        if request.body_at != NULL or request._body is not None or request._source is not None:
            PyDict_SetItem(environ, INPUT, input_of(request))
        self.set_fields(environ, request, request.info.flags & CHUNKED and self.set_length(environ, request))
        return environ

    cdef bint set_length(self, dict environ, RequestPoint request) except -1:
        """The length of a body that came in chunks and is here; False where it is not, and nobody knows it yet.

        As RFC 3875 4.1.2 and 4.2 have it: the coding is off, so the length is given and Transfer-Encoding is not.
        Apps that read no more than CONTENT_LENGTH says, Django for one, would take the body for empty."""
        if type(request._source) is Spool:
            environ[CONTENT_LENGTH] = str((<Spool> request._source).size)
        elif request._source is None and request.body_missing == 0:
            environ[CONTENT_LENGTH] = str(len(request.body))
        else:
            return False
        return True

    cdef int set_path(self, dict environ, RequestPoint request) except -1:
        cdef char small[SCRATCH]
        cdef char *room = small
        cdef Py_ssize_t size = 0, cut = self.prefix, root = len(self.root_bytes)
        cdef const char *path = request.path_bytes(&size)
        cdef const char *target = request.base + request.info.target_at
        cdef bint plain = cut == 0
        cdef bint whole
        cdef object text, raw
        if request.info.query_length:
            PyDict_SetItem(
                environ, QUERY_STRING, text_of(request.base + request.info.query_at, request.info.query_length))
        if size == 1 and request.info.target_length == 1 and plain:
            return 0
        try:
            whole = not request.info.flags & ESCAPED_PATH
            if not whole:
                if size > SCRATCH:
                    room = <char *> PyMem_Malloc(size)
                    if room == NULL:
                        raise MemoryError
                size = percent_decode(path, size, room, c"/")
                path = room
            if root and size >= root and memcmp(path, <const char *> self.root_bytes, root) == 0 and (
                size == root or path[root] == c"/"
            ):
                cut += root              # the proxy left it in the path
            cut = min(cut, size)
            text = text_of(path + cut, size - cut)
            PyDict_SetItem(environ, PATH_INFO, text)
        finally:
            if room != small:
                PyMem_Free(room)
        if whole and cut == 0 and request.info.target_length == size:
            raw = text
        else:
            raw = text_of(target, request.info.target_length)
        PyDict_SetItem(environ, RAW_URI, raw)
        PyDict_SetItem(environ, REQUEST_URI, raw)
        return 0

    cdef int set_peer(self, dict environ, RequestPoint request) except -1:
        """Whose request it is: the peer's, or whose a trusted proxy says."""
        cdef Exchange exchange
        cdef tuple origin
        if not isinstance(request.connection, Exchange):
            PyDict_SetItem(environ, REMOTE_ADDR, request.client_ip or "")
            return 0
        exchange = <Exchange> request.connection
        if exchange.site.core.host.forwarded is not None:
            origin = request.origin()
            PyDict_SetItem(environ, REMOTE_ADDR, origin[0] or "")
            if origin[1] is not None:
                PyDict_SetItem(environ, URL_SCHEME, origin[1])
            if origin[2] is not None:
                name, port = host_and_port(origin[2], origin[1])
                PyDict_SetItem(environ, HTTP_HOST, origin[2])
                PyDict_SetItem(environ, SERVER_NAME, name)
                PyDict_SetItem(environ, SERVER_PORT, port)
            return 0
        if exchange.peer.family == 0:
            return PyDict_SetItem(environ, REMOTE_ADDR, "") if self.has_peer else 0
        if not self.has_peer or memcmp(exchange.peer.address, self.peer.address, 16) != 0 or (
            exchange.peer.family != self.peer.family
        ):
            text = peer_address(&exchange.peer)[0]
            PyDict_SetItem(self.base, REMOTE_ADDR, text)
            self.peer = exchange.peer
            self.has_peer = True
            PyDict_SetItem(environ, REMOTE_ADDR, text)
        return PyDict_SetItem(environ, REMOTE_PORT, port_of(exchange.peer.port))

    cdef int set_host(self, RequestPoint request) except -1:
        """The Host field, which nearly every request has, and mostly the same: it stands in the base."""
        cdef Py_ssize_t size = request.info.host_length
        cdef const char *text = request.base + request.info.host_at
        if size and self.host is not None and is_text(self.host, text, size):
            return 0
        if size:
            self.host = text_of(text, size)
            return PyDict_SetItem(self.base, HTTP_HOST, self.host)
        if self.host is not None:
            self.host = None
            del self.base[HTTP_HOST]
        return 0

    cdef int set_fields(self, dict environ, RequestPoint request, bint decoded) except -1:
        """A variable for each field; but for Transfer-Encoding where its coding is off the body.

        A name with an underscore would be the same variable as one with a hyphen, and might spoof what a proxy
        has checked or set: such fields are left out, as nginx does.
        """
        cdef Py_ssize_t i, size, before
        cdef const Field *field
        cdef const char *name
        cdef const char *data
        cdef NameSlot *slot
        cdef object key, value
        cdef PyObject *there
        for i in range(request.info.n_fields):
            field = &request.fields[i]
            name = request.base + field.name_at
            data = request.base + field.value_at
            size = field.name_length
            slot = NULL
            if size == 4 and scan_name_is(name, b"host", 4):
                # Read already, but where a request made by hand has none laid out.
                if request.info.host_length or request.info.flags & ABSOLUTE_FORM:
                    continue
            if decoded and size == 17 and scan_name_is(name, b"transfer-encoding", 17):
                continue
            if size == 12 and scan_name_is(name, b"content-type", 12):
                key = CONTENT_TYPE
            elif size == 14 and scan_name_is(name, b"content-length", 14):
                key = CONTENT_LENGTH
            else:
                slot = slot_of(name, size)
                if not slot_has(slot, name, size):
                    key = variable_of(name, size)
                    if key is None:
                        continue
                    if size > NAME_BYTES:
                        slot = NULL
                    else:
                        Py_XDECREF(slot.key)
                        Py_XDECREF(slot.value)
                        slot.value = NULL
                        Py_INCREF(key)
                        slot.key = <PyObject *> key
                        slot.secret = key in SECRETS
                else:
                    key = <object> slot.key
            if slot != NULL and slot.value != NULL and is_text(<object> slot.value, data, field.value_length):
                value = <object> slot.value
            else:
                value = text_of(data, field.value_length)
                if slot != NULL and not slot.secret and field.value_length <= VALUE_BYTES:
                    Py_XDECREF(slot.value)
                    Py_INCREF(value)
                    slot.value = <PyObject *> value
            before = PyDict_GET_SIZE(environ)
            there = PyDict_SetDefault(environ, key, value)
            if PyDict_GET_SIZE(environ) == before:
                environ[key] = f"{<object> there}{'; ' if key == HTTP_COOKIE else ','}{value}"
        return 0


cdef str _as_wsgi(str path):
    """Text as WSGI has it: its bytes as Latin-1."""
    return path.encode("utf-8", "surrogateescape").decode("latin-1")
