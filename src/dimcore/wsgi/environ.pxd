from dimcore.http.request cimport RequestPoint
from dimcore.net.socket_io cimport Peer


cdef class EnvironMaker:
    cdef dict base               # what an environ begins as: the last request's, where requests are alike
    cdef str root                # SCRIPT_NAME where the proxy leaves it in the path, or ""
    cdef str script              # SCRIPT_NAME
    cdef Py_ssize_t prefix       # bytes of the decoded path that are the mount's
    cdef bytes root_bytes        # `root` as it is in a decoded path
    cdef Peer peer               # whose address `base` has
    cdef bint has_peer
    cdef str host                # the value of HTTP_HOST in `base`, or None

    cdef dict make(self, RequestPoint request)
    cdef int set_path(self, dict environ, RequestPoint request) except -1
    cdef int set_peer(self, dict environ, RequestPoint request) except -1
    cdef int set_host(self, RequestPoint request) except -1
    cdef bint set_length(self, dict environ, RequestPoint request) except -1
    cdef int set_fields(self, dict environ, RequestPoint request, bint decoded) except -1
