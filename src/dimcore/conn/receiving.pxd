from dimcore.conn.request_start cimport Uptake


cdef class Reading(Uptake):
    # the descriptor is readable
    cdef int readable(self) except -1
    cdef int greet(self, const char *data, size_t size) except -1
    cdef int read_body(self) except -1
    cdef int end_of_stream(self) except -1
    # request after request
    cdef int run(self, const char *data, size_t size) except -1
    cdef int run_inbox(self) except -1
    cdef size_t step(self, const char *data, size_t size) except? 0
    # a WebSocket
    cdef int open_socket(self, const char *data, size_t size) except -1
    # the descriptor is writable
    cdef int writable(self) except -1
    cdef int go_on(self) except -1
