"""A point, the cell it is linked in, and the snapshot of a cell.

The parts `index` is made of: how a coordinate and an id are read and written,
what a point is, and how a cell can be handed out without being copied.
"""
cimport cython
from cpython.object cimport PyObject
from cpython.long cimport PyLong_AsLongAndOverflow
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

from _collections_abc import Set  # collections.abc, whose own module is not loaded for its sake
from operator import index as whole_number

from dimcore.errors import InvalidCoordinate, UsageError

cdef extern from "Python.h":
    ctypedef struct SlottedType "PyTypeObject":
        traverseproc tp_traverse
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    const unsigned char *PyUnicode_1BYTE_DATA(object text) noexcept
    str PyUnicode_DecodeASCII(const char *text, Py_ssize_t length, const char *errors)

cdef enum:
    MAX_DIGITS = 14                  # 24 bits of slot, 32 of generation


# --- ids -------------------------------------------------------------------------------------------

cdef str number_text(uint64_t number):
    cdef char digits[16]
    cdef int at = 16
    while number:
        at -= 1
        digits[at] = b"0123456789abcdef"[number & 15]
        number >>= 4
    return PyUnicode_DecodeASCII(digits + at, 16 - at, NULL)


cdef uint64_t text_number(object text) noexcept:
    """The number that `number_text` writes so, or 0: one text a number, no leading zeros, no capitals."""
    cdef Py_ssize_t length
    cdef const unsigned char *at
    cdef const unsigned char *end
    cdef uint64_t number = 0
    cdef unsigned int digit
    if not PyUnicode_IS_COMPACT_ASCII(text):
        return 0
    length = PyUnicode_GET_LENGTH(text)
    if length == 0 or length > MAX_DIGITS:
        return 0
    at = PyUnicode_1BYTE_DATA(text)
    if at[0] == c"0":
        return 0
    end = at + length
    while at < end:
        digit = at[0] - <unsigned int>c"0"
        if digit > 9:
            digit = at[0] - <unsigned int>c"a"
            if digit > 5:
                return 0
            digit += 10
        number = number << 4 | digit
        at += 1
    return number


# --- coordinates -----------------------------------------------------------------------------------

cdef int coordinate(object value, int low, int high, str what) except -1:
    cdef int overflow = 0
    cdef long number
    if not isinstance(value, int):
        try:
            value = whole_number(value)
        except TypeError:
            raise InvalidCoordinate(f"{what} must be an int, got {type(value).__name__}") from None
    number = PyLong_AsLongAndOverflow(value, &overflow)
    if overflow or number < low or number > high:
        raise InvalidCoordinate(f"{what} must be {low} to {high}, got {value if not overflow else 'a far larger int'}")
    return <int>number


# --- points ----------------------------------------------------------------------------------------

cdef class Point:
    """Anything alive: a coordinate, a weight, and a place in at most one index.

    Args:
        spiral: 0 to 63, where `Index.add` puts the point unless told otherwise.
        layer: 1 to 7, likewise.
        position: priority or weight, for the program; neither the index nor the server reads it.

    Raises:
        InvalidCoordinate: `spiral` or `layer` is not an int or out of range.
        UsageError: `__init__` called again while the point is in an index.

    Thread-safety: attributes change only with the GIL held.
    """

    def __init__(self, spiral=0, layer=1, double position=0.0):
        cdef int at_spiral = spiral_of(spiral)
        cdef int at_layer = layer_of(layer)
        if self.index != NULL:
            raise UsageError(f"{self!r} is in an index; only the index moves it")
        self.spiral = at_spiral
        self.layer = at_layer
        self.position = position

    cdef str name(self):
        return None

    @property
    def id(self):
        """The id the caller gave, else the index's: lower-case hex, never used twice.

        Empty before the point first enters an index; stays readable after it left.
        """
        cdef str name = self.name()
        if name is not None:
            return name
        return number_text(self.number)

    def __repr__(self):
        return f"<{type(self).__name__} {self.id or 'without id'} at ({self.spiral}, {self.layer})>"


# --- snapshots -----------------------------------------------------------------------------------------

@cython.final
@cython.no_gc_clear
cdef class CellSnapshot:
    """What was in a cell when `Index.get_at` was called: an immutable set of points, oldest entry first.

    It is a `collections.abc.Set`: it compares with any other, and ``& | - ^`` with one make a frozenset.
    Beyond that it keeps the order and is indexed like a tuple.

    Nothing is copied until the snapshot is first read or the cell is about to
    change, whichever comes first; what changes afterwards is never seen.  ``len``
    and ``in`` of an unchanged cell copy nothing.

    Lifetime: holds its points, and its index while the cell is unchanged.
    Thread-safety: as a tuple, under the GIL.
    """

    def __cinit__(self):
        self.items = ()

    def __dealloc__(self):
        cdef int64_t i
        if self.cell != NULL:
            self.cell.view = NULL
        if self.held != NULL:
            for i in range(self.count):
                Py_DECREF(<object>self.held[i])
            free(self.held)

    cdef void detach(self) noexcept:
        """Called just before the cell changes."""
        cdef PyObject *at = self.cell.first
        cdef int64_t i = 0
        if self.items is None:
            self.held = <PyObject **>malloc((self.count + 1) * sizeof(PyObject *))
            if self.held == NULL:
                self.lost = True
            else:
                while at != NULL:
                    Py_INCREF(<object>at)
                    self.held[i] = at
                    i += 1
                    at = (<Point>at).next
        self.cell.view = NULL
        self.cell = NULL
        self.owner = None

    cdef tuple load(self):
        cdef object fresh
        cdef PyObject *at
        cdef int64_t i = 0
        if self.items is not None:
            return self.items
        fresh = PyTuple_New(self.count)      # may run the collector, which may change the state
        if self.items is not None:
            return self.items
        if self.lost:
            raise MemoryError("no memory was left to keep this snapshot when its cell changed")
        if self.held != NULL:
            for i in range(self.count):
                PyTuple_SET_ITEM(fresh, i, <object>self.held[i])
            free(self.held)
            self.held = NULL
        else:
            at = self.cell.first
            while at != NULL:
                Py_INCREF(<object>at)
                PyTuple_SET_ITEM(fresh, i, <object>at)
                i += 1
                at = (<Point>at).next
        self.items = <tuple>fresh
        return self.items

    def __len__(self):
        return self.count

    def __iter__(self):
        return iter(self.load())

    def __getitem__(self, key):
        return self.load()[key]

    cdef frozenset as_set(self):
        if self.distinct is None:
            self.distinct = frozenset(self.load())
        return self.distinct

    def __contains__(self, point):
        if not isinstance(point, Point):
            return False
        if self.cell != NULL:                # by its coordinate, in O(1)
            return ((<Point>point).index == <PyObject *>self.owner and (<Point>point).spiral == self.spiral
                    and (<Point>point).layer == self.layer)
        return point in self.as_set()

    def __hash__(self):
        return hash(self.as_set())           # equal to a frozenset of the same points

    def __eq__(self, other):
        if self is other:
            return True
        if not isinstance(other, Set):
            return NotImplemented
        return self.count == len(other) and self.as_set() == frozenset(other)

    def __le__(self, other):
        return self.as_set() <= frozenset(other) if isinstance(other, Set) else NotImplemented

    def __lt__(self, other):
        return self.as_set() < frozenset(other) if isinstance(other, Set) else NotImplemented

    def __ge__(self, other):
        return self.as_set() >= frozenset(other) if isinstance(other, Set) else NotImplemented

    def __gt__(self, other):
        return self.as_set() > frozenset(other) if isinstance(other, Set) else NotImplemented

    def __and__(self, other):
        return self.as_set() & frozenset(other) if isinstance(other, Set) else NotImplemented

    def __or__(self, other):
        return self.as_set() | frozenset(other) if isinstance(other, Set) else NotImplemented

    def __sub__(self, other):
        return self.as_set() - frozenset(other) if isinstance(other, Set) else NotImplemented

    def __xor__(self, other):
        return self.as_set() ^ frozenset(other) if isinstance(other, Set) else NotImplemented

    def __rand__(self, other):
        return frozenset(other) & self.as_set() if isinstance(other, Set) else NotImplemented

    def __ror__(self, other):
        return frozenset(other) | self.as_set() if isinstance(other, Set) else NotImplemented

    def __rsub__(self, other):
        return frozenset(other) - self.as_set() if isinstance(other, Set) else NotImplemented

    def __rxor__(self, other):
        return frozenset(other) ^ self.as_set() if isinstance(other, Set) else NotImplemented

    def isdisjoint(self, other):
        """Whether no element of an iterable is in the snapshot."""
        return self.as_set().isdisjoint(other)

    def __repr__(self):
        return f"<CellSnapshot of {self.count} points>"


Set.register(CellSnapshot)


# --- the collector ---------------------------------------------------------------------------------
# Cython's traversal sees members that are objects, not a table of pointers, so a cycle through what a
# snapshot holds would never be found.  No tp_clear is needed: as with a tuple, every cycle also passes
# through an object that has one.

cdef traverseproc members


cdef int snapshot_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef int result = members(self, visit, arg)
    cdef int64_t i = 0
    if (<CellSnapshot>self).held != NULL:
        while result == 0 and i < (<CellSnapshot>self).count:
            result = visit((<CellSnapshot>self).held[i], arg)
            i += 1
    return result


members = (<SlottedType *>CellSnapshot).tp_traverse
(<SlottedType *>CellSnapshot).tp_traverse = snapshot_traverse
