from dimcore.aio.task_runner cimport Runner
from dimcore.conn.filter cimport Filter


# What the core needs from the program that drives it.
cdef class Host:
    # the loop
    cdef readonly object register
    cdef readonly object modify
    cdef readonly object unregister
    cdef readonly object mute                 # None: the loop cannot watch for a hang-up alone
    cdef readonly object call_soon            # None: no answer waits for others
    cdef readonly object from_thread          # makes a call on the loop's thread, or None
    # threads, coroutines, bodies
    cdef readonly object offload
    cdef readonly Runner runner               # of coroutines; None: the worker has no asyncio loop
    cdef readonly object open_spool
    cdef readonly object open_stream
    cdef readonly object open_flow
    cdef readonly object open_body
    # what is told
    cdef readonly object report
    cdef readonly Filter access_log           # told of every request, whatever its route; or None
    cdef readonly object forwarded            # resolves what trusted proxies say, or None
