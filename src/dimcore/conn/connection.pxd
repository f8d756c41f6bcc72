from dimcore.conn.carrier cimport Carrier
from dimcore.conn.core cimport Site
from dimcore.net.socket_io cimport Peer


cdef class Connection(Carrier):
    pass


cdef Connection open_connection(Site site, int fd, const Peer *peer)
