from libc.stdint cimport int64_t, uint64_t
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject
from dimcore.limits cimport LAYERS, MAX_SPIRALS

cdef extern from "Python.h":
    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    ctypedef int (*traverseproc)(PyObject *, visitproc, void *) noexcept


# 80 bytes: | refcount | type | vtable | prev | next | index | number | entered | position | spiral, layer |
cdef class Point:
    # Links are borrowed: the index holds the one reference, in its slot table.
    cdef PyObject *prev
    cdef PyObject *next
    cdef PyObject *index         # borrowed; NULL while the point is in no index
    cdef uint64_t number         # generation << 24 | slot; 0 while never indexed
    cdef int64_t entered_ns      # monotonic time of the last move
    cdef public double position
    cdef readonly int spiral
    cdef readonly int layer

    # The id the caller gave: an exact `str` that stays the same while the point is indexed, or None.
    cdef str name(self)


# 32 bytes: | first | last | count | view |
cdef struct Cell:
    PyObject *first              # entered longest ago
    PyObject *last
    int64_t count
    PyObject *view               # borrowed: the snapshot that shows this very content, or NULL


# What was in a cell: see cell.pyx.  One of four states:
#   waiting   cell set, items None        nothing copied, the cell is unchanged
#   shared    cell set, items set         copied, and the cell is still the same
#   held      held set, items None        copied because the cell changed, not read yet
#   settled   cell and held NULL          items set, or `lost`: no memory for the copy
# `held` is plain memory because it is filled in the middle of a move, where a tuple's allocation
# could start the collector, and a finaliser could move the very points that are being moved.
cdef class CellSnapshot:
    cdef object owner            # the index, while `cell` points into it
    cdef Cell *cell
    cdef tuple items
    cdef PyObject **held
    cdef frozenset distinct      # the points, once a set was asked for
    cdef int64_t count
    cdef int spiral              # whose cell it is
    cdef int layer
    cdef bint lost

    cdef void detach(self) noexcept      # the cell is about to change
    cdef tuple load(self)
    cdef frozenset as_set(self)


# An int of a range from Python, or InvalidCoordinate.
cdef int coordinate(object value, int low, int high, str what) except -1

# A number as an id and back; 0 for a text that is not exactly one.
cdef str number_text(uint64_t number)
cdef uint64_t text_number(object text) noexcept


cdef inline void unhook(Cell *cell, Point point) noexcept:
    if point.prev != NULL:
        (<Point>point.prev).next = point.next
    else:
        cell.first = point.next
    if point.next != NULL:
        (<Point>point.next).prev = point.prev
    else:
        cell.last = point.prev
    cell.count -= 1


cdef inline void append(Cell *cell, Point point, int64_t now_ns) noexcept:
    cdef PyObject *tail = cell.last
    point.prev = tail
    point.next = NULL
    if tail != NULL:
        (<Point>tail).next = <PyObject *>point
        if now_ns < (<Point>tail).entered_ns:
            now_ns = (<Point>tail).entered_ns
    else:
        cell.first = <PyObject *>point
    cell.last = <PyObject *>point
    cell.count += 1
    point.entered_ns = now_ns


# Inline, because a call into another module costs `Index.move` 3 ns for each of the two.
cdef inline int spiral_of(object value) except -1:
    cdef int overflow = 0
    cdef long number
    if PyLong_CheckExact(value):
        number = PyLong_AsLongAndOverflow(value, &overflow)
        if not overflow and 0 <= number < MAX_SPIRALS:
            return <int>number
    return coordinate(value, 0, MAX_SPIRALS - 1, "spiral")


cdef inline int layer_of(object value) except -1:
    cdef int overflow = 0
    cdef long number
    if PyLong_CheckExact(value):
        number = PyLong_AsLongAndOverflow(value, &overflow)
        if not overflow and 1 <= number <= LAYERS:
            return <int>number
    return coordinate(value, 1, LAYERS, "layer")
