from libc.stdint cimport int64_t

from dimcore.conn.core cimport Core

cdef int sweep(Core core, int64_t now_ns) except -1
