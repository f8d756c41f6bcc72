from dimcore.core cimport Site
from dimcore.reading cimport Reading
from dimcore.stream cimport Peer


cdef class Connection(Reading):
    pass


cdef Connection open_connection(Site site, int fd, const Peer *peer)
