from dimcore.request cimport RequestPoint
from dimcore.socketqueue cimport SocketQueue


cdef class AsyncSocket(SocketQueue):
    cdef object function
    cdef RequestPoint asked

    cdef int begin(self) except -1
