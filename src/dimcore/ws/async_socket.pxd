from dimcore.http.request cimport RequestPoint
from dimcore.ws.async_queue cimport SocketQueue


cdef class AsyncSocket(SocketQueue):
    cdef object function
    cdef RequestPoint asked

    cdef int begin(self) except -1
