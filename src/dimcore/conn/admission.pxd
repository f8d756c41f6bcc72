from dimcore.conn.carrier cimport Carrier
from dimcore.net.socket_io cimport Peer


cdef bytes TOO_MANY              # what a client is told whose address has as many connections as it may
cdef dict RETRY                  # headers of an answer that says so

cdef int take_introduction(Carrier carrier, const char *data, size_t size) except -1
cdef int be_introduced(Carrier carrier, const Peer *client) except -1
cdef int turn_away(Carrier carrier, bytes why) except -1
