from libc.stdint cimport int64_t, uint32_t, uint64_t
from cpython.object cimport PyObject
from dimcore.index.cell cimport Cell, Point, layer_of, spiral_of
from dimcore.limits cimport MAX_SPIRALS


cdef class Index:
    cdef Cell *rows[MAX_SPIRALS]     # a row: LAYERS + 1 cells, NULL until needed; [0].count: what ever entered it
    cdef readonly int spirals        # rows in use: 0 .. spirals - 1
    cdef PyObject **slots            # slot -> owned point (or NULL)
    cdef uint32_t *generations
    cdef uint32_t *free_slots
    cdef uint32_t capacity
    cdef uint32_t free_count
    cdef uint32_t ambiguous          # named points whose id reads like a number
    cdef int64_t total
    cdef readonly int64_t added      # link calls that succeeded, ever
    cdef dict named                  # points with an id of the caller's: id -> point

    # The C interface.  `now_ns` is clock.monotonic_ns(), or a value of it kept for a while: a time earlier
    # than that of the cell's tail counts as the tail's, so a cell is always in order.  The caller owns a
    # reference to the index during the call.  `relink` and `unlink` do nothing for a point of another index
    # or of none: the program may have removed it meanwhile.  `relink` trusts the coordinate, and leaves the
    # point where it is when a first point of a new row meets an exhausted memory.
    cdef int link(self, Point point, int spiral, int layer, int64_t now_ns) except -1
    cdef void relink(self, Point point, int spiral, int layer, int64_t now_ns) noexcept
    cdef void unlink(self, Point point) noexcept
    cdef Point first(self, int spiral, int layer)       # oldest point of the cell or None
    cdef Point by_number(self, uint64_t number)         # or None
    cdef PyObject *find(self, object point_id) except? NULL   # borrowed, or NULL without an error: unknown
    cdef int64_t count(self, int spiral, int layer) noexcept    # layer 0: the whole row
    cdef int64_t clients(self) noexcept                 # points in the pools of clients
    cdef int64_t entered(self, int spiral) noexcept     # points that ever came into the row, moves included
    cdef bint reserve(self, int spiral) noexcept        # make the row; False: no memory

    cdef int grow(self) except -1
    cdef int check_name(self, str name) except -1
    cdef void forget(self, Point point) noexcept
