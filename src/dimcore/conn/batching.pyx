"""Answers that leave together.

An answer that is sent wakes whoever waits for it, and where its handler takes some
ten microseconds that client has been asleep since the last one: each send pays for
an interrupt to another CPU, in a virtual machine a good fifth of what a Django page
costs.  Sent one behind the other, the first wakes the client and the others find it
awake.  So the answer of a handler that takes a while waits for those of the other
requests that have arrived with it:

* never longer than the round of the loop: who is alone in it does not wait;
* nor for more than `MOST` answers or `LONGEST_NS`;
* nor behind a handler that takes its time: where one of the last `PROOF` took more
  than `SLOW_NS`, every answer leaves at once.  So what a slow one can hold up is one
  batch, once.

A handler quicker than `FROM_NS` keeps its client awake as it is.
"""

cimport cython
from libc.stdint cimport int64_t

from dimcore.errors import UsageError

cdef enum:
    WRITABLE = 2             # as in the selectors module
    SLOW_NS = 1000000
    LONGEST_NS = 1000000
    MOST = 16
    PROOF = 16


@cython.final
cdef class Batching:
    """What one worker holds back.

    Thread-safety: the loop's thread.
    """

    def __cinit__(self):
        self.held = []
        self.unproven = PROOF

    cdef bint pace(self, int64_t took_ns) noexcept:
        """A handler on the loop took so long; whether its answer is to wait."""
        if took_ns >= SLOW_NS:
            self.unproven = PROOF
            return False
        if self.unproven:
            self.unproven -= 1
            return False
        return took_ns >= FROM_NS and self.call_soon is not None

    cdef int hold(self, object connection, int64_t now_ns) except -1:
        """Its answer is in its outbox."""
        if not self.held:
            self.call_soon(self.let_go)
            self.since_ns = now_ns
        self.held.append(connection)
        self.due = len(self.held) >= MOST or now_ns - self.since_ns >= LONGEST_NS
        return 0

    cdef int release(self) except -1:
        """Send what waits; not while a connection is being served."""
        cdef list held = self.held
        cdef Py_ssize_t through = 0
        self.held = []
        self.due = False
        try:
            for connection in held:
                connection.on_ready(WRITABLE)
                through += 1
        except BaseException as error:
            # Somebody runs the loop within a handler, so that nothing was done; or an interrupt hit this one.
            nested = isinstance(error, UsageError)
            self.held = held[through if nested else through + 1:] + self.held
            self.call_soon(self.let_go)
            if not nested:
                raise
        return 0

    def let_go(self):
        """The round is over."""
        self.release()
