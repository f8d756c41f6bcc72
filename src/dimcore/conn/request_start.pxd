from dimcore.conn.admission cimport Door
from dimcore.http.body_reader cimport BodyReader
from dimcore.http1.head cimport Head


cdef class Uptake(Door):
    cdef int half_head(self, Head *head) except -1
    cdef size_t begin(self, const char *data, size_t size, int length) except? 0
    cdef size_t take_body(self, const char *data, size_t size) except? 0
    cdef int divert(self, BodyReader reader) except -1
