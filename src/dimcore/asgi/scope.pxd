from dimcore.conn.exchange cimport Exchange
from dimcore.http.request cimport RequestPoint


cdef class ScopeMaker:
    cdef dict http               # what is the same for every request
    cdef str before              # what a proxy took off every path; often empty
    cdef bytes raw_before
    cdef readonly bint pathsend  # the app is offered it
    cdef public dict state       # of the lifespan; each scope has a shallow copy
    cdef bint takes_trailers     # said by the request of the last scope

    cdef dict make(self, Exchange connection, RequestPoint request)
    cdef list fields(self, RequestPoint request, object host)
