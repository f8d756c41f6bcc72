from dimcore.conn.carrier cimport Carrier
from dimcore.http1.head cimport Head

cdef int half_head(Carrier carrier, Head *head) except -1
cdef size_t begin(Carrier carrier, const char *data, size_t size, int length) except? 0
cdef size_t take_body(Carrier carrier, const char *data, size_t size) except? 0
