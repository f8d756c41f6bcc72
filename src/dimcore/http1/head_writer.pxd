from libc.stdint cimport int64_t, uint32_t

cdef enum WriteFlag:
    CLOSE_AFTER = 1          # in: say Connection: close; out: the handler asked for it
    OLD_CLIENT = 2           # in: HTTP/1.0, say Connection: keep-alive when it stays open
    HEAD_ONLY = 4            # in: the request was HEAD
    LENGTH_CHANGES = 8       # in: the Content-Length that the handler gave is not that of what is sent

cdef enum:
    LARGE_ROOM = 262144      # a buffer grown beyond this is worth shrinking
    UNKNOWN_LENGTH = -1      # send it chunked (HTTP/1.1) or until the end (HTTP/1.0)

cdef class HeaderBlock:
    cdef char *data          # "Name: value\r\n" ...
    cdef size_t size
    cdef size_t room
    cdef uint32_t given      # which fields of the server's own are among them
    cdef int64_t declared    # Content-Length, which is not among them, or -1
    cdef bytes line          # the status line where its reason is not the usual one, or None

    cdef void clear(self) noexcept
    cdef int add(self, object name, object value) except -1
    cdef int set_line(self, const char *text, Py_ssize_t size, int status) except -1


cdef class Writer:
    cdef char *data
    cdef size_t size
    cdef size_t room
    cdef char stamp[80]      # "Server: ...\r\nDate: ...\r\n"
    cdef size_t server_size
    cdef size_t stamp_size
    cdef int64_t declared    # Content-Length the last head got from the handler, or -1
    cdef int64_t stamped     # second the date says
    cdef list further        # (lower-case name, line) of fields that the next head has unless given; or None

    cdef int reserve(self, size_t more) except -1
    cdef int append(self, const char *data, size_t size) except -1
    cdef void shrink(self) noexcept
    cdef void set_time(self, int64_t seconds) noexcept
    cdef int _text(self, const char *text) except -1
    cdef int _length(self, int64_t length) except -1
    cdef int _fields(self, object headers, int64_t length, uint32_t flags, int status, uint32_t *given) except -1
    cdef int _field(
        self, object name, object value, int64_t length, uint32_t flags, int status, uint32_t *given
    ) except -1
    cdef uint32_t _framing_field(
        self, const char *name, Py_ssize_t size, const char *value, Py_ssize_t value_size,
        int64_t length, uint32_t flags, int status,
    ) except? 0xFFFFFFFF
    cdef uint32_t _given_length(self, int64_t given, int64_t length, uint32_t flags, int status) except? 0xFFFFFFFF
    cdef int head(self, int status, object headers, int64_t length, uint32_t flags, const char *content_type) except -1
    cdef int _add_further(self, size_t start, uint32_t *given, bint typed) except -1
    cdef int switch(self, object headers) except -1

cdef bint has_no_body(int status) noexcept nogil
