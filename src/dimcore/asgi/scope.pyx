"""The scope of a request as ASGI has it, built straight from the spans of its head.

Source: ASGI 3.0, HTTP and WebSocket message format 2.5.  The version that scopes
name is 2.3, as under uvicorn: from 2.4 on frameworks take it that `send` raises
once the client has left, and stop looking at `receive`; so an event stream that
waits for its next event would not learn that nobody reads it any more.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Copy
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t
from libc.string cimport memcmp

from dimcore.http.request cimport host_and_port
from dimcore.http1.head cimport ABSOLUTE_FORM, Field
from dimcore.limits cimport OTHER
from dimcore.net.socket_io cimport local_address, peer_address
from dimcore.text.field_names cimport field_name

cdef enum:
    ADDRESS_SLOTS = 1024     # by descriptor

# The two ends of a connection as ASGI has them, made once for each.
cdef struct Ends:
    PyObject *whose              # borrowed, and told from its successor by the time it was made
    int64_t created_ns
    PyObject *client
    PyObject *server

cdef Ends _ends[ADDRESS_SLOTS]
for _byte in range(ADDRESS_SLOTS):
    _ends[_byte].whose = _ends[_byte].client = _ends[_byte].server = NULL


cdef Ends *_ends_of(Exchange connection) except NULL:
    cdef Ends *ends = &_ends[connection.fd & (ADDRESS_SLOTS - 1)]
    if ends.whose == <PyObject *> connection and ends.created_ns == connection.created_ns:
        return ends
    client = peer_address(&connection.peer)
    server = local_address(connection.fd)
    Py_INCREF(client)
    Py_INCREF(server)
    Py_XDECREF(ends.client)
    Py_XDECREF(ends.server)
    ends.whose = <PyObject *> connection
    ends.created_ns = connection.created_ns
    ends.client = <PyObject *> client
    ends.server = <PyObject *> server
    return ends


cdef bint is_below(str path, str root) except -1:
    """Whether a decoded path begins with the root's, however it was spelled: a proxy took nothing off then."""
    return path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/")


cdef bytes quoted_path(str path):
    """A decoded path as it stands in a target: what is no character of a path is percent-encoded (RFC 3986 3.3)."""
    if path.isascii() and path.replace("/", "").isalnum():       # without the import
        return path.encode()
    from urllib.parse import quote
    return quote(path, "/!$&'()*+,;=:@~").encode()


cdef class ScopeMaker:
    """Makes the scopes of one app.

    Args:
        root_path: what a proxy takes off the path before it asks; it is put back, unless the proxy left it there.
        prefix: where the app is mounted; part of the path already.
        pathsend: whether apps are offered `http.response.pathsend`.

    The first two are empty or begin with a slash and do not end with one.
    """

    def __cinit__(self, str root_path not None="", str prefix not None="", bint pathsend=False):
        self.pathsend = pathsend
        self.before = root_path
        self.raw_before = quoted_path(root_path)
        self.state = {}
        self.http = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "root_path": root_path + prefix,
        }

    cdef dict make(self, Exchange connection, RequestPoint request):
        """The scope of an http request."""
        cdef dict scope = PyDict_Copy(self.http)
        cdef const char *path
        cdef Py_ssize_t size = 0
        cdef bytes raw
        cdef object method, client, host = None
        cdef Ends *ends = _ends_of(connection)
        cdef tuple origin
        if request.info.minor == 0:
            scope["http_version"] = "1.0"
        method = request.method
        scope["method"] = method if request.info.method != OTHER else method.upper()
        path = request.path_bytes(&size)
        raw = PyBytes_FromStringAndSize(path, size)
        decoded = request.path
        if self.before and not is_below(decoded, self.before):
            scope["path"] = self.before + decoded
            scope["raw_path"] = self.raw_before + raw
        else:
            scope["path"] = decoded
            scope["raw_path"] = raw
        scope["query_string"] = PyBytes_FromStringAndSize(request.base + request.info.query_at,
                                                          request.info.query_length)
        client = <object> ends.client
        scope["server"] = <object> ends.server
        if connection.site.core.host.forwarded is not None:
            origin = request.origin()
            if origin[1] is not None:
                scope["scheme"] = origin[1]
            if origin[2] is not None:
                host = (<str> origin[2]).encode("latin-1")
                name, port = host_and_port(origin[2], origin[1])
                scope["server"] = (name.strip("[]"), int(port))
            if client is None or (<tuple> client)[0] != origin[0]:
                client = None if origin[0] is None else (origin[0], 0)
        scope["client"] = client
        if host is None and request.info.flags & ABSOLUTE_FORM:
            # What the target says counts, whatever the field does (RFC 9112 3.2.2).
            host = request.base[request.info.host_at:request.info.host_at + request.info.host_length]
        scope["headers"] = self.fields(request, host)
        scope["state"] = PyDict_Copy(self.state)
        scope["extensions"] = extensions = {}
        if self.pathsend:
            extensions["http.response.pathsend"] = {}
        if request.info.minor:
            extensions["http.response.early_hint"] = {}
            if self.takes_trailers:
                extensions["http.response.trailers"] = {}
        return scope

    cdef list fields(self, RequestPoint request, object host):
        """Names in lower case and values, in order; several Cookie lines are one, joined with ``; `` (RFC 9113 8.2.3).

        Args:
            host: what counts as the Host field, or None for what is there.
        """
        cdef Py_ssize_t i, count = request.info.n_fields
        cdef const Field *field
        cdef const char *base = request.base
        cdef list pairs = PyList_New(count)
        cdef tuple pair
        cdef bytes name, value
        cdef bint has_host = False
        cdef Py_ssize_t cookie_at = -1
        cdef list cookies = None         # the values, where there is more than one line
        self.takes_trailers = False
        for i in range(count):
            field = &request.fields[i]
            name = field_name(base + field.name_at, field.name_length)
            value = PyBytes_FromStringAndSize(base + field.value_at, field.value_length)
            if field.name_length == 4 and host is not None and memcmp(PyBytes_AS_STRING(name), b"host", 4) == 0:
                value = host
                has_host = True
            elif field.name_length == 2 and memcmp(PyBytes_AS_STRING(name), b"te", 2) == 0:
                if b"trailers" in [option.strip() for option in value.lower().split(b",")]:
                    self.takes_trailers = True
            elif field.name_length == 6 and memcmp(PyBytes_AS_STRING(name), b"cookie", 6) == 0:
                if cookie_at < 0:
                    cookie_at = i
                else:
                    if cookies is None:
                        cookies = [(<tuple> pairs[cookie_at])[1]]
                    cookies.append(value)
            pair = PyTuple_New(2)
            Py_INCREF(name)
            PyTuple_SET_ITEM(pair, 0, name)
            Py_INCREF(value)
            PyTuple_SET_ITEM(pair, 1, value)
            Py_INCREF(pair)
            PyList_SET_ITEM(pairs, i, pair)
        if cookies is not None:
            pairs[cookie_at] = (b"cookie", b"; ".join(cookies))
            pairs = [pair for i, pair in enumerate(pairs) if i <= cookie_at or (<tuple> pair)[0] != b"cookie"]
        if host is not None and not has_host:
            pairs.insert(0, (b"host", host))
        return pairs
