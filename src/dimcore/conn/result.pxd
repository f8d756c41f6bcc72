cimport cython
from cpython.long cimport PyLong_AsLongAndOverflow


cdef class Result:
    cdef int status
    cdef object headers          # mapping, pairs or None
    cdef object body             # bytes, FileBody or Composite
    cdef const char *content_type    # used unless the headers name one; a literal, or NULL

    cdef int take_any(self, object result) except -1

    @cython.final
    cdef inline void clear(self) noexcept:
        self.headers = None
        self.body = None

    @cython.final
    cdef inline int take(self, object result) except -1:
        """Unpack what a handler returned; see `take_any`, which does so for all forms but the commonest."""
        cdef tuple parts
        cdef int overflow = 0
        cdef long status
        if type(result) is tuple and len(<tuple> result) == 3:
            parts = <tuple> result
            if type(parts[0]) is int and type(parts[2]) is bytes:
                status = PyLong_AsLongAndOverflow(parts[0], &overflow)
                if not overflow and 0 <= status <= 999:
                    self.status = <int> status
                    self.headers = parts[1]
                    self.body = parts[2]
                    self.content_type = NULL
                    return 0
        return self.take_any(result)
    cdef int _take_object(self, object result) except -1


cdef int claim(object body) except -1
cdef void discard(object body) noexcept
cdef void discard_unsent(object result) noexcept
