from libc.stdint cimport int64_t, uint32_t, uint64_t
from cpython.buffer cimport Py_buffer

from dimcore.conn.core cimport Core
from dimcore.worker_record cimport Figures, Line, Record

cdef enum:
    MAX_RECORDS = 512        # workers at a time, those that drain beside their successors included
    TALLIES = 3              # kinds of events the supervisor counts


# What workers that are gone have left: the sum of their figures, and whose are in it.
cdef struct Estate:
    Figures figures
    uint64_t folded[MAX_RECORDS]     # serial of the last worker of each record whose figures are in the sum


# | magic | records | used | serials | server | estate sequence | estate copy 0 | copy 1 |, then the records
cdef struct Header:
    uint64_t magic
    int64_t records
    int64_t used             # records from 0 on that ever had a worker
    uint64_t serials         # the last one given
    int64_t started_ns
    int64_t draining
    int64_t ending
    int64_t tallies[TALLIES]
    uint64_t sequence
    Estate copies[2]


cdef class Board:
    cdef Py_buffer view
    cdef Header *header
    cdef readonly int records

    cdef Record *record(self, int number) except NULL
    cdef void read_figures(self, int number, Figures *into) noexcept
    cdef void read_estate(self, Estate *into) noexcept
    cdef Snapshot look(self)


cdef class Entry:
    cdef readonly Board board
    cdef readonly int record
    cdef Core core
    cdef Record *at
    cdef int64_t state
    cdef int64_t listed              # requests in flight when `lines` was last written
    cdef int64_t listed_ns

    cdef void write(self, Figures *figures) noexcept
    cdef void list_requests(self) noexcept


cdef class Snapshot:
    cdef Figures sum
    cdef list found
    cdef int64_t in_flight
    cdef readonly int spirals
    cdef readonly double started
    cdef readonly bint draining
    cdef readonly dict tallies

    cdef int add(self, int record, const Figures *figures, int64_t round_ns, bint gone) except -1
