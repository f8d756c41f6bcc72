from libc.stdint cimport int64_t

from dimcore.conn.filter cimport Filter
from dimcore.http.request cimport RequestPoint
from dimcore.index.pools cimport ConnectionPoolManifold
from dimcore.net.socket_io cimport Peer

cdef extern from "dimcore/conn/access_log.h":
    ctypedef struct dim_log_span:
        const char *text
        size_t size
    ctypedef struct dim_log_entry:
        dim_log_span client
        dim_log_span peer
        dim_log_span id
        dim_log_span method
        dim_log_span target
        dim_log_span referer
        dim_log_span agent
        dim_log_span pool
        dim_log_span tail
        int64_t bytes_in
        int64_t bytes_out
        int64_t total_ns
        int64_t received_ns
        int64_t parsed_ns
        int64_t handler_ns
        int64_t sending_ns
        int status
        int minor
        int millisecond
        int tells_peer


cdef class AccessLines(Filter):
    cdef char *data
    cdef size_t used
    cdef size_t room
    cdef size_t limit
    cdef int form
    cdef readonly int64_t dropped    # since the last `take`
    cdef int64_t ahead_ns            # wall clock minus monotonic
    cdef int64_t synced_ns
    cdef int64_t second              # that `stamp` says
    cdef char stamp[40]
    cdef size_t stamp_size
    cdef bytes tail
    cdef ConnectionPoolManifold pools
    cdef dict pool_names             # spiral -> JSON text

    # Take down an answer that is out.  `resolved`: `client` asked (None: nobody knows who), and not the peer.
    # `name`: the request's id where it is not its number.
    cdef void record(
        self, RequestPoint request, const Peer *peer, int64_t now_ns, bint resolved, object client, object name
    ) noexcept
    cdef bint reserve(self) noexcept
    cdef void tell_time(self, int64_t now_ns, dim_log_entry *entry) noexcept
    cdef bytes pool_name(self, int spiral)
