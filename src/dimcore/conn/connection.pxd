from dimcore.conn.core cimport Site
from dimcore.conn.receiving cimport Reading
from dimcore.net.socket_io cimport Peer


cdef class Connection(Reading):
    pass


cdef Connection open_connection(Site site, int fd, const Peer *peer)
