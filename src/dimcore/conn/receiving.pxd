from dimcore.conn.carrier cimport Carrier

# The descriptor is readable, or writable.
cdef int readable(Carrier carrier) except -1
cdef int writable(Carrier carrier) except -1
# The answer is out.
cdef int go_on_reading(Carrier carrier) except -1
# Another protocol has the connection from here on.
cdef int open_protocol(Carrier carrier, const char *data, size_t size) except -1
