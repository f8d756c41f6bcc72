cimport cython
from dimcore.http1.head cimport Field, HeadInfo
from dimcore.index.index cimport Point


@cython.no_gc
cdef class HeadPoint(Point):
    # What the head said.  `base` and `fields` lie in the worker's receive buffer until
    # they are copied into `owner`.
    cdef HeadInfo info
    cdef const char *base
    cdef const Field *fields
    cdef object owner            # bytes with the copy of head and fields, or None
    cdef object given_headers    # of a request made by hand, not laid out yet

    cdef int lay_out_headers(self) except -1


cdef class Headers:
    cdef HeadPoint point

    cdef const Field *lookup(self, str name, Py_ssize_t start) except? NULL
