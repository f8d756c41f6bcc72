cimport cython
from libc.stdint cimport int64_t

from dimcore.budget cimport Budget, Holding
from dimcore.conn.lifecycle cimport Leaving

cdef enum Owed:
    OWES_NOTHING = 0         # a handler or a program is waited for
    OWES_SENDING = 1         # the rest of a head, a body or a message
    OWES_READING = 2         # what was sent


@cython.no_gc
cdef class Charging(Leaving):
    cdef void charge(self) noexcept
    cdef int64_t held(self, int64_t *disk) noexcept
    cdef bint put_down(self, Budget budget, int64_t bytes) noexcept
    cdef Owed owes(self, int64_t *moved) noexcept
    cdef bint lags(self, Holding *holding, int64_t now_ns) noexcept
    cdef bint can_spill(self) noexcept
    cdef bint is_complete(self) noexcept
    cdef bint is_one_large_answer(self, int64_t memory) noexcept
    cdef int give_up(self) except -1
    cdef void make_room(self) noexcept
    cdef void review(self, int64_t now_ns) noexcept
