from dimcore.conn.exchange cimport Exchange
from dimcore.conn.protocol cimport Protocol, ProtocolFactory


cdef class HandedOver(Protocol):
    cdef Exchange exchange
    cdef object sock                 # the app's, to be shut down when the connection ends; or None
    cdef bytes received              # what had come when the app took over; or None
    cdef bint leaving                # the server is about to stop: the app has until the drain limit
    cdef bint over                   # the app's call has returned


cdef class Handover(ProtocolFactory):
    pass
