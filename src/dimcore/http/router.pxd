from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from dimcore.text.span_table cimport SpanTable


cdef class Route:
    # What a look-up touches comes first, in one cache line with the object's head.
    cdef int number                  # the method as a spiral (Method in limits.pxd); one more for `*`
    cdef public bint blocking        # run on the thread pool
    cdef public int streaming        # 1: run once the head is there, handed the body as it arrives; 2: not if small
    cdef PyObject *sibling           # borrowed: the same pattern under another method, or NULL
    cdef public object handler
    cdef readonly tuple names        # parameter names, in order
    cdef bytes places                # a byte for each name: which segment of the path it is
    cdef readonly bint exact
    cdef readonly str method
    cdef readonly str pattern
    cdef public tuple filters        # what stands before and behind the handler, outermost first; or None
    cdef public int64_t max_body     # most bytes of a request's body; below 0: what the core allows
    cdef bytes token                 # the method's name
    cdef bytes key                   # the pattern in UTF-8; the router's tables point into it

    cdef dict params(self, const char *path, Py_ssize_t length)   # decoded values; {} when no names


# A place in the tree of segments, 32 bytes:
#     | exact | below | prefix | param, statics |
# The three chains are routes linked by `sibling`, one a method; borrowed.
cdef struct Node:
    PyObject *exact                  # the pattern ends here and so does the path
    PyObject *below                  # a prefix with its slash: the path goes on with '/'
    PyObject *prefix                 # a prefix without: the path ends here or goes on with '/'
    uint32_t param                   # child for any one segment; 0: none (the root is nobody's child)
    uint32_t statics                 # number of children with a fixed segment


cdef class Router:
    cdef SpanTable fixed             # whole paths without parameters -> chain
    cdef SpanTable segments          # (node, segment) -> child node
    cdef Node *nodes                 # [0] is the root
    cdef uint32_t node_count
    cdef uint32_t node_room
    cdef Py_ssize_t longest_fixed    # bytes: nothing longer needs hashing
    cdef Py_ssize_t longest_segment
    cdef list table                  # every route in the order of registration; owns them
    cdef Router options              # patterns that give other options to parts of the paths, or None
    cdef dict variants               # route -> {route of `options`: variant of the route}

    # The C interface.  `method` is a spiral (Method in limits.pxd); `name` is read for OTHER only.
    # `path` is the raw path: percent-encoded, without the query.
    cdef Route find(self, int method, const char *name, Py_ssize_t name_length,
                    const char *path, Py_ssize_t length)          # or None
    cdef object allow(self, const char *path, Py_ssize_t length)  # None: path unknown; else 'GET, HEAD, POST'

    # Inside.
    cdef Route refine(self, Route route, int method, const char *name, Py_ssize_t name_length,
                      const char *path, Py_ssize_t length)
    cdef PyObject *seek(self, int method, const char *name, Py_ssize_t name_length,
                        const char *path, Py_ssize_t length, set methods) except? NULL
    cdef PyObject *walk(self, int method, const char *name, Py_ssize_t name_length,
                        const char *path, Py_ssize_t length, set methods) except? NULL
    cdef uint32_t seat(self, const char *key, Py_ssize_t length, const unsigned char *places,
                       Py_ssize_t parameters, bint create) noexcept
    cdef uint32_t new_node(self) noexcept
    cdef bint reserve(self, uint32_t depth) noexcept


cdef class RouteSubstrate:
    cdef readonly Router router
