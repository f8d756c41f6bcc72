cdef class Answer:
    cdef int status
    cdef object headers          # mapping, pairs or None
    cdef object body             # bytes, FileBody or Composite
    cdef const char *content_type    # used unless the headers name one; a literal, or NULL

    cdef int take(self, object result) except -1
    cdef int _take_object(self, object result) except -1
    cdef void clear(self) noexcept


cdef int claim(object body) except -1
cdef void discard(object body) noexcept
cdef void discard_unsent(object result) noexcept
