from dimcore.http.request cimport RequestPoint


cdef class ResponseDriver:
    # Within the event that brought the request.  What it raises is answered as a handler's fault.
    cdef int start(self, object connection) except -1
    # The peer sends no more; it may still read.
    cdef void peer_done(self) noexcept
    # The connection is closed.
    cdef void gone(self) noexcept


cdef class DrivenHandler:
    # Where the body of a request goes that did not come with its head: ``feed(bytes)``, ``end(error text)``.
    cdef object open_body(self, object connection)


cdef class CompiledHandler:
    cdef object run(self, RequestPoint request)
