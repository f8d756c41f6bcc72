cdef class QueryParams(dict):
    cdef readonly list pairs


cdef str percent_decoded(const char *text, Py_ssize_t size, bint plus)
cdef QueryParams parse_query(const char *text, Py_ssize_t size)
cdef dict parse_cookies(list lines)
