"""Memory that all connections of a worker use in turn: one receive buffer, one output buffer, one head at a time."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc

from dimcore.limits cimport RECEIVE_BYTES


@cython.final
@cython.auto_pickle(False)
cdef class Scratch:
    """See the module; lent by `Core.enter`, until `Core.leave`.

    Args:
        server: value of the Server field, ``""`` for none.
    """

    def __cinit__(self, str server not None="dimserver"):
        self.writer = Writer(server)
        self.result = Result()
        self.inbuf = <char *> PyMem_Malloc(RECEIVE_BYTES)
        if self.inbuf == NULL:
            raise MemoryError
        self.head = &self.heads[0]

    def __dealloc__(self):
        PyMem_Free(self.inbuf)
