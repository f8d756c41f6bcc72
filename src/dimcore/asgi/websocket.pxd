from dimcore.asgi.entry cimport AsgiHttp
from dimcore.http.request cimport RequestPoint
from dimcore.ws.async_queue cimport SocketQueue
from dimcore.ws.websocket cimport Endpoint


cdef class AsgiSocket(SocketQueue):
    cdef AsgiUpgrade owner           # None once it is open, or will never be
    cdef bint connect_told


cdef class AsgiUpgrade(AsgiHttp):
    cdef AsgiSocket queue
    cdef Endpoint endpoint
    cdef list fields                 # of the answer that accepts
    cdef object codec
    cdef int phase                   # Phase

    cdef int accept(self, dict message) except -1
    cdef object send_opened(self, object kind, dict message)
    cdef int close_early(self) except -1
    cdef void lose(self) noexcept
