from dimcore.conn.charging cimport Charging
from dimcore.net.socket_io cimport Peer


cdef bytes TOO_MANY              # what a client is told whose address has as many connections as it may
cdef str NOT_INTRODUCED          # what is reported of a connection without a word of a trusted proxy
cdef dict RETRY                  # headers of an answer that says so


cdef class Door(Charging):
    cdef int take_introduction(self, const char *data, size_t size) except -1
    cdef int be_introduced(self, const Peer *client) except -1
    cdef int turn_away(self, bytes why) except -1
