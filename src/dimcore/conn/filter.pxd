from libc.stdint cimport int64_t

from dimcore.http.request cimport RequestPoint
from dimcore.net.socket_io cimport Peer


# The head of an answer before it is written.
cdef class AnswerHead:
    cdef public int status
    cdef public object headers           # mapping, pairs, HeaderBlock or None
    cdef readonly int64_t length         # of the body the handler gave; -1: not known
    cdef public bytes content_type       # unless the headers name one; or None
    cdef list further                    # (lower-case name, line) of fields added where the answer has none; or None

    cdef int add(self, bytes name, bytes line) except -1


# Changes a body on its way.
cdef class Transform:
    cdef bytes feed(self, bytes piece)
    cdef bytes end(self)


cdef class Filter:
    cdef object before(self, RequestPoint request)
    cdef Transform after(self, RequestPoint request, AnswerHead head)
    cdef int finished(self, RequestPoint request, const Peer *peer, int64_t now_ns) except -1


cdef Transform joined(list transforms)       # one after the other
cdef Filter as_filter(object call)           # of `Core.attach`'s `access_log`
