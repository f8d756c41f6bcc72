from dimcore.conn.result cimport Result
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head cimport Head
from dimcore.http1.head_writer cimport Writer


# Memory of a worker that is lent to whichever connection is being served.
cdef class Scratch:
    cdef Writer writer
    cdef Result result
    cdef Head heads[2]               # by turns: the request before may be looked at until it is released
    cdef Head *head                  # the one to parse into
    cdef char *inbuf
    cdef RequestPoint spare
    cdef bint serving                # it is lent
    cdef object afterwards           # what the handler that just ran has left to do once it is answered, or None
    cdef bint put_off                # the answer at hand is to wait for others, see `Batching`
