from dimcore.conn.core cimport Site
from dimcore.net.socket_io cimport Peer


cdef class Acceptor:
    cdef readonly Site site
    cdef readonly int fileno
    cdef object exhausted

    cdef bint expects(self, const Peer *peer) except -1
    cdef int admit(self, int fd, const Peer *peer) except -1
    cdef int evict(self) except -1
