from dimcore.http.request cimport RequestPoint


cdef class Input:
    cdef RequestPoint request    # whose body was not looked at yet; or None
    cdef object pieces           # where more of it comes from; None: nowhere
    cdef bytes piece             # what is at hand
    cdef Py_ssize_t at           # how much of that was taken

    cdef int open(self) except -1
    cdef bint more(self) except -1
    cdef bytes take(self, Py_ssize_t size)
    cdef bytes line(self, Py_ssize_t size)


cdef Input input_of(RequestPoint request)
