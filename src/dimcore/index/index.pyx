"""The index: every live point by coordinate ``(spiral, layer)``, by id and by age, each in O(1).

A cell is an intrusive doubly linked list with a counter.  Points are appended to
the tail with the time they entered, so a cell is sorted by age without any sorting:
what has expired is at its head, and the index is the timer as well.

Ids cost nothing: a point's number is ``generation << 24 | slot``, where the slot
says where the table has the point and the generation tells the point from those
that had the slot before.  Only points with an id of the caller's are in a dict.
"""
cimport cython
from cpython.object cimport PyObject
from cpython.dict cimport PyDict_DelItem, PyDict_GetItemWithError, PyDict_Size
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from dimcore.index.cell cimport (
    Cell, CellSnapshot, Point, append, coordinate, layer_of, number_text, spiral_of, text_number, traverseproc, unhook,
    visitproc,
)
from dimcore.clock cimport monotonic_ns
from dimcore.limits cimport LAYERS, MAX_SPIRALS, POOLS

from dimcore.errors import DuplicatePoint, InvalidCoordinate, UnknownPoint, UsageError

cdef extern from "Python.h":
    ctypedef struct SlottedType "PyTypeObject":
        traverseproc tp_traverse

cdef enum:
    SLOT_BITS = 24
    MAX_POINTS = 1 << 24
    FIRST_CAPACITY = 64

cdef uint64_t SLOT_MASK = MAX_POINTS - 1
cdef double NS = 1e9


@cython.no_gc_clear
cdef class Index:
    """All live points, by coordinate, by id and by age.

    Args:
        spirals: rows to start with, 1 to 64; more appear as points enter them.

    Every operation is O(1), `expired` O(points found).  A call that raises has
    changed nothing.

    Lifetime: the index holds its points until they are removed or it is
    dropped; a point outlives it for whoever kept the point.
    Thread-safety: every method is atomic under the GIL.
    """

    def __cinit__(self):
        self.named = {}
        self.spirals = POOLS

    def __init__(self, spirals=POOLS):
        cdef int wanted = coordinate(spirals, 1, MAX_SPIRALS, "spirals")
        if self.total == 0 or wanted > self.spirals:
            self.spirals = wanted

    def __dealloc__(self):
        # A point's end may run a program's code, so the table is in order before every step.
        cdef uint32_t slot
        cdef int spiral
        for slot in range(self.capacity):
            if self.slots[slot] != NULL:
                self.unlink(<Point>self.slots[slot])
        for spiral in range(MAX_SPIRALS):
            free(self.rows[spiral])
        free(self.slots)
        free(self.generations)
        free(self.free_slots)

    # C interface

    cdef bint reserve(self, int spiral) noexcept:
        if self.rows[spiral] == NULL:
            self.rows[spiral] = <Cell *>calloc(LAYERS + 1, sizeof(Cell))
            if self.rows[spiral] == NULL:
                return False
            if spiral >= self.spirals:
                self.spirals = spiral + 1
        return True

    cdef int grow(self) except -1:
        """Double the slot table.  It never shrinks: 16 bytes a point of the busiest moment."""
        cdef uint32_t old = self.capacity
        cdef uint32_t size = old * 2 if old else FIRST_CAPACITY
        cdef uint32_t slot
        cdef void *table
        if old >= MAX_POINTS:
            raise MemoryError(f"an index holds at most {MAX_POINTS} points")
        table = realloc(self.slots, size * sizeof(PyObject *))
        if table == NULL:
            raise MemoryError("no memory for the slots of the index")
        self.slots = <PyObject **>table
        table = realloc(self.generations, size * sizeof(uint32_t))
        if table == NULL:
            raise MemoryError("no memory for the generations of the index")
        self.generations = <uint32_t *>table
        table = realloc(self.free_slots, size * sizeof(uint32_t))
        if table == NULL:
            raise MemoryError("no memory for the free slots of the index")
        self.free_slots = <uint32_t *>table
        for slot in range(old, size):
            self.slots[slot] = NULL
            self.generations[slot] = 1       # from 1, so that no number is 0
            self.free_slots[size - 1 - slot] = slot
        self.free_count = size - old
        self.capacity = size
        return 0

    cdef int check_name(self, str name) except -1:
        """Raise unless a point with this id may enter."""
        cdef uint64_t number
        cdef Point other
        if name in self.named:
            raise DuplicatePoint(f"a point with the id {name!r} is in the index already")
        number = text_number(name)
        if number:
            other = self.by_number(number)
            if other is not None and other.name() is None:
                raise DuplicatePoint(f"a point with the id {name!r} is in the index already")
        return 0

    cdef int link(self, Point point, int spiral, int layer, int64_t now_ns) except -1:
        cdef Cell *cell
        cdef uint32_t slot
        cdef str name
        if point.index != NULL:
            raise DuplicatePoint(f"{point!r} is in {'this' if point.index == <PyObject *>self else 'another'} index "
                                 "already")
        if spiral < 0 or spiral >= MAX_SPIRALS or layer < 1 or layer > LAYERS:
            raise InvalidCoordinate(f"no such coordinate: ({spiral}, {layer})")
        name = point.name()
        if name is not None:
            self.check_name(name)
        if self.rows[spiral] == NULL and not self.reserve(spiral):
            raise MemoryError("no memory for a row of the index")
        if self.free_count == 0:
            self.grow()
        slot = self.free_slots[self.free_count - 1]
        if name is not None:
            self.named[name] = point
            if text_number(name):
                self.ambiguous += 1
        elif self.ambiguous:
            while number_text(<uint64_t>self.generations[slot] << SLOT_BITS | slot) in self.named:
                self.generations[slot] += 1
                if self.generations[slot] == 0:
                    self.generations[slot] = 1
        # nothing fails from here on
        cell = &self.rows[spiral][layer]
        if cell.view != NULL:
            (<CellSnapshot>cell.view).detach()
        self.free_count -= 1
        Py_INCREF(point)
        self.slots[slot] = <PyObject *>point
        point.number = <uint64_t>self.generations[slot] << SLOT_BITS | slot
        point.index = <PyObject *>self
        point.spiral = spiral
        point.layer = layer
        append(cell, point, now_ns)
        self.rows[spiral][0].count += 1
        self.added += 1
        self.total += 1
        return 0

    cdef void relink(self, Point point, int spiral, int layer, int64_t now_ns) noexcept:
        cdef Cell *source
        cdef Cell *target
        if point.index != <PyObject *>self:
            return
        source = &self.rows[point.spiral][point.layer]
        if spiral != point.spiral:
            if self.rows[spiral] == NULL and not self.reserve(spiral):
                return
            self.rows[spiral][0].count += 1
        target = &self.rows[spiral][layer]
        if source.view != NULL:
            (<CellSnapshot>source.view).detach()
        if target.view != NULL:
            (<CellSnapshot>target.view).detach()
        unhook(source, point)
        append(target, point, now_ns)
        point.spiral = spiral
        point.layer = layer

    cdef void unlink(self, Point point) noexcept:
        cdef Cell *cell
        cdef uint32_t slot
        if point.index != <PyObject *>self:
            return
        cell = &self.rows[point.spiral][point.layer]
        if cell.view != NULL:
            (<CellSnapshot>cell.view).detach()
        unhook(cell, point)
        point.prev = NULL
        point.next = NULL
        point.index = NULL
        slot = <uint32_t>(point.number & SLOT_MASK)
        self.slots[slot] = NULL
        self.generations[slot] += 1
        if self.generations[slot] == 0:
            self.generations[slot] = 1
        self.free_slots[self.free_count] = slot
        self.free_count += 1
        self.total -= 1
        if PyDict_Size(self.named) > 0:
            self.forget(point)
        Py_DECREF(point)

    cdef void forget(self, Point point) noexcept:
        cdef str name = point.name()
        if name is not None:
            PyDict_DelItem(self.named, name)
            if text_number(name):
                self.ambiguous -= 1

    cdef Point first(self, int spiral, int layer):
        cdef PyObject *at
        if self.rows[spiral] == NULL:
            return None
        at = self.rows[spiral][layer].first
        return None if at == NULL else <Point>at

    cdef Point by_number(self, uint64_t number):
        cdef uint64_t slot = number & SLOT_MASK
        cdef PyObject *at
        if slot >= self.capacity:
            return None
        at = self.slots[slot]
        if at == NULL or (<Point>at).number != number:
            return None
        return <Point>at

    cdef PyObject *find(self, object point_id) except? NULL:
        cdef uint64_t number
        cdef uint64_t slot
        cdef PyObject *at
        if not isinstance(point_id, str):
            return NULL
        number = text_number(point_id)
        if number:
            slot = number & SLOT_MASK
            if slot < self.capacity:
                at = self.slots[slot]
                if at != NULL and (<Point>at).number == number:
                    if PyDict_Size(self.named) == 0 or (<Point>at).name() is None:
                        return at
        if PyDict_Size(self.named) == 0:
            return NULL
        return PyDict_GetItemWithError(self.named, point_id)

    cdef int64_t count(self, int spiral, int layer) noexcept:
        cdef Cell *row = self.rows[spiral]
        cdef int64_t total = 0
        if row == NULL:
            return 0
        if layer:
            return row[layer].count
        for layer in range(1, LAYERS + 1):
            total += row[layer].count
        return total

    cdef int64_t clients(self) noexcept:
        cdef int64_t found = self.total
        cdef int spiral
        for spiral in range(POOLS, self.spirals):     # none, unless there are points of other kinds
            found -= self.count(spiral, 0)
        return found

    cdef int64_t entered(self, int spiral) noexcept:
        return 0 if self.rows[spiral] == NULL else self.rows[spiral][0].count

    # Python interface

    def add(self, Point connection not None, spiral=None, layer=None):
        """Take a point in, at the tail of its cell.

        Args:
            connection: a point that is in no index; a request's is taken as well.
            spiral: 0 to 63; None for the point's own.
            layer: 1 to 7; None for the point's own.

        Raises:
            DuplicatePoint: the point, or another one with its id, is in an index.
            InvalidCoordinate: the coordinate is not one.
        """
        cdef int at_spiral = connection.spiral if spiral is None else spiral_of(spiral)
        cdef int at_layer = connection.layer if layer is None else layer_of(layer)
        self.link(connection, at_spiral, at_layer, monotonic_ns())

    def get_at(self, spiral, layer):
        """A snapshot of a cell, in O(1): a `collections.abc.Set` of its points, oldest entry first.

        It is safe to keep, and to move or remove points while reading it.
        Calls without a change of the cell in between share one snapshot.

        Raises:
            InvalidCoordinate: the coordinate is not one.
        """
        cdef int at_spiral = spiral_of(spiral)
        cdef int at_layer = layer_of(layer)
        cdef Cell *cell
        cdef CellSnapshot snapshot
        if self.rows[at_spiral] == NULL:
            return CellSnapshot.__new__(CellSnapshot)
        cell = &self.rows[at_spiral][at_layer]
        if cell.view != NULL:
            return <CellSnapshot>cell.view
        snapshot = CellSnapshot.__new__(CellSnapshot)
        if cell.view != NULL:                # the allocation may have run a finaliser that asked as well
            return <CellSnapshot>cell.view
        if cell.count:
            snapshot.items = None
        snapshot.count = cell.count
        snapshot.owner = self
        snapshot.spiral = at_spiral
        snapshot.layer = at_layer
        snapshot.cell = cell
        cell.view = <PyObject *>snapshot
        return snapshot

    def get_by_id(self, connection_id):
        """The point with this id, or None.  An id that no point has is an answer, not an error."""
        cdef PyObject *found = self.find(connection_id)
        return None if found == NULL else <Point>found

    def move(self, connection_id, new_spiral, new_layer):
        """Move a point to the tail of a cell; its own cell renews its entry time.

        Args:
            connection_id: of a point of this index.
            new_spiral: 0 to 63.
            new_layer: 1 to 7.

        Raises:
            UnknownPoint: no point has this id.
            InvalidCoordinate: the coordinate is not one.
        """
        cdef int at_spiral = spiral_of(new_spiral)
        cdef int at_layer = layer_of(new_layer)
        cdef PyObject *found = self.find(connection_id)
        if found == NULL:
            raise UnknownPoint(f"no point with the id {connection_id!r} is in the index")
        if self.rows[at_spiral] == NULL and not self.reserve(at_spiral):
            raise MemoryError("no memory for a row of the index")
        self.relink(<Point>found, at_spiral, at_layer, monotonic_ns())

    def remove(self, connection_id):
        """Take a point out and return it; it keeps its last coordinate.

        Raises:
            UnknownPoint: no point has this id.
        """
        cdef PyObject *found = self.find(connection_id)
        cdef Point point
        if found == NULL:
            raise UnknownPoint(f"no point with the id {connection_id!r} is in the index")
        point = <Point>found
        self.unlink(point)
        return point

    def count_at(self, spiral, layer):
        """Points in a cell.

        Raises:
            InvalidCoordinate: the coordinate is not one.
        """
        cdef int at_spiral = spiral_of(spiral)
        return self.count(at_spiral, layer_of(layer))

    def total_connections(self):
        """Points in the pools of clients, which are spirals 0 to 3; ``len(index)`` counts all.

        Cost: O(spirals beyond them).
        """
        return self.clients()

    def expired(self, spiral, layer, double before):
        """Points that entered a cell earlier than a moment and are in it still, oldest first.

        Args:
            spiral: 0 to 63.
            layer: 1 to 7.
            before: seconds on the clock of ``time.monotonic()``.

        Returns:
            A new list.  Cost: O(points in it); the rest of the cell is not looked at.

        Raises:
            InvalidCoordinate: the coordinate is not one.
            UsageError: `before` is not a number (NaN).
        """
        cdef int at_spiral = spiral_of(spiral)
        cdef int at_layer = layer_of(layer)
        cdef int64_t before_ns
        cdef list found = []
        cdef PyObject *at
        if before != before:
            raise UsageError("before must be a number of seconds, got nan")
        if before * NS >= <double>INT64_MAX:
            before_ns = INT64_MAX
        elif before * NS <= <double>INT64_MIN:
            before_ns = INT64_MIN
        else:
            before_ns = <int64_t>(before * NS)
        if self.rows[at_spiral] != NULL:
            at = self.rows[at_spiral][at_layer].first
            while at != NULL and (<Point>at).entered_ns < before_ns:
                found.append(<Point>at)
                at = (<Point>at).next
        return found

    def __len__(self):
        return self.total

    def __contains__(self, item):
        """True for the id of a point of this index, and for the point itself."""
        if isinstance(item, Point):
            return (<Point>item).index == <PyObject *>self
        return self.find(item) != NULL

    def __repr__(self):
        return f"<{type(self).__name__} of {self.total} points in {self.spirals} spirals>"


# A cimported name is no attribute of the module; these two are part of its interface.
globals().update(CellSnapshot=CellSnapshot, Point=Point)


# --- the collector ---------------------------------------------------------------------------------
# Cython's traversal sees members that are objects, not the slot table, so a cycle through a point's own
# attributes would never be found.  No tp_clear is needed: as with a tuple, every cycle also passes
# through an object that has one.

cdef traverseproc members


cdef int index_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef int result = members(self, visit, arg)
    cdef uint32_t slot = 0
    while result == 0 and slot < (<Index>self).capacity:
        if (<Index>self).slots[slot] != NULL:
            result = visit((<Index>self).slots[slot], arg)
        slot += 1
    return result


members = (<SlottedType *>Index).tp_traverse
(<SlottedType *>Index).tp_traverse = index_traverse
