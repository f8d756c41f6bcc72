"""From a method and a raw path to the route that answers.

Three kinds of pattern, the more specific one first, each asked *for the method*:
a pattern that fits the path but lacks the method does not hide a broader one.

1. exact, no parameter: one hash table over whole paths;
2. exact with ``{param}`` segments: a tree of segments, a fixed segment before a
   parameter, decided from the left, with backtracking;
3. prefix: the same tree; the one that covers most segments, and among equals
   again the fixed segment before the parameter.

HEAD takes, at each of these steps, the HEAD route or else the GET route of that
very pattern: an exact GET goes before a HEAD on a prefix.  The method ``*`` is
any that the pattern has no route of its own for, but CONNECT, whose target is no
path.

A path is split first and decoded after, once.  ``%2F`` is data inside a segment
and becomes NUL while paths are compared, so it equals no ``/`` of a pattern;
parameters give it back as ``/``.  A ``%`` that begins no sequence stands for
itself, and ``%00`` is a character like any other; both, and ``.`` and ``..``,
are for the handler of a prefix or a parameter to judge.

Cost.  An exact path is one look-up, whatever the number of routes.  Else the
walk looks at no more segments than the deepest pattern has.  Backtracking
cannot explode: a node of the tree is reached from its one parent only, over one
segment of the path only, hence at most once a walk; the walk is bounded by the
patterns the program registered (and by 2 to the depth of the path), never by
what the peer sends.

Thread-safety: all calls hold the GIL; adding while another thread looks up is
safe, a route is there or not there.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memset

from dimcore.limits cimport DELETE, GET, HEAD, OPTIONS, OTHER, PATCH, POST, PUT
from dimcore.text.percent cimport percent_decode
from dimcore.text.span_table cimport SpanEntry, span_add, span_clear, span_find, span_reserve

from dimcore.errors import RouteConflict, UsageError
from dimcore.http.route_patterns import read_method, read_pattern

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    str PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors)

cdef enum:
    ANY = OTHER + 1          # number of the method `*`, which no request has
    MAX_DEPTH = 255          # segments of a pattern in the tree; patterns.py refuses deeper ones
    NOWHERE = 0xFFFFFFFF
    SCRATCH = 1024           # bytes on the C stack for a decoded path; longer ones are allocated

cdef tuple USUAL = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")     # what `*` is said to allow

# Where a walk is, or may have to come back to, 16 bytes: | at | node, depth |
cdef struct Alternative:
    Py_ssize_t at
    uint32_t node
    uint32_t depth


cdef inline Py_ssize_t segment_end(const char *path, Py_ssize_t start, Py_ssize_t length) noexcept nogil:
    cdef const char *slash
    if start >= length:
        return length
    slash = <const char *>memchr(path + start, c'/', length - start)
    return length if slash == NULL else slash - path


cdef str value_of(const char *text, Py_ssize_t length):
    cdef bytes decoded
    cdef Py_ssize_t size
    if memchr(text, c'%', length) != NULL:
        decoded = PyBytes_FromStringAndSize(NULL, length)
        size = percent_decode(text, length, PyBytes_AS_STRING(decoded), c'/')
        return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(decoded), size, "replace")
    return PyUnicode_DecodeUTF8(text, length, "replace")


cdef int method_number(const char *name, Py_ssize_t length) noexcept nogil:
    if length == 3:
        if memcmp(name, b"GET", 3) == 0:
            return GET
        if memcmp(name, b"PUT", 3) == 0:
            return PUT
    elif length == 4:
        if memcmp(name, b"POST", 4) == 0:
            return POST
        if memcmp(name, b"HEAD", 4) == 0:
            return HEAD
    elif length == 5:
        if memcmp(name, b"PATCH", 5) == 0:
            return PATCH
    elif length == 6:
        if memcmp(name, b"DELETE", 6) == 0:
            return DELETE
    elif length == 7:
        if memcmp(name, b"OPTIONS", 7) == 0:
            return OPTIONS
    return OTHER


cdef const char *span_of(object path, Py_ssize_t *length) except NULL:
    if isinstance(path, str):
        return PyUnicode_AsUTF8AndSize(path, length)
    if isinstance(path, bytes):
        length[0] = PyBytes_GET_SIZE(path)
        return PyBytes_AS_STRING(path)
    raise TypeError(f"a path is str or bytes, not {type(path).__name__}")


# ---------------------------------------------------------------------------
# chains: the routes of one pattern, one a method

cdef inline PyObject *pick(PyObject *chain, int method, const char *name,
                           Py_ssize_t name_length) noexcept:
    cdef PyObject *fallback = NULL
    cdef int number
    while chain != NULL:
        number = (<Route>chain).number
        if number == method:
            if method != OTHER or is_token(<Route>chain, name, name_length):
                return chain
        elif number == GET and method == HEAD:
            fallback = chain
        elif number == ANY and fallback == NULL and not (method == OTHER and is_connect(name, name_length)):
            fallback = chain
        chain = (<Route>chain).sibling
    return fallback


cdef inline bint is_connect(const char *name, Py_ssize_t length) noexcept:
    return length == 7 and memcmp(name, b"CONNECT", 7) == 0


cdef bint is_token(Route route, const char *name, Py_ssize_t length) noexcept:
    return (PyBytes_GET_SIZE(route.token) == length
            and memcmp(PyBytes_AS_STRING(route.token), name, length) == 0)


cdef inline PyObject **chain_of(Node *node, bint exact, bytes key) noexcept:
    if exact:
        return &node.exact
    if PyBytes_AS_STRING(key)[PyBytes_GET_SIZE(key) - 1] == c'/':
        return &node.below
    return &node.prefix


cdef int refuse_conflict(PyObject *chain, str method, str pattern, tuple names) except -1:
    while chain != NULL:
        if (<Route>chain).names != names:
            raise RouteConflict(
                f"{method} {pattern}: the parameters have other names in {(<Route>chain).pattern}")
        if (<Route>chain).method == method:
            raise RouteConflict(f"{method} {pattern} is registered already")
        chain = (<Route>chain).sibling
    return 0


cdef int gather(PyObject *chain, set methods) except -1:
    while chain != NULL:
        if (<Route>chain).number == ANY:
            methods.update(USUAL)
        else:
            methods.add((<Route>chain).method)
        chain = (<Route>chain).sibling
    return 0


@cython.final
cdef class Route:
    """A pattern under one method and what answers it; made by `Router.add`.

    Attributes:
        handler: the callable.
        blocking: whether the handler is to run on the thread pool.
        streaming: whether the handler is to run before the request's body is there: 1 (or True) yes, 2 not if the
            body is known to be small.
        max_body: most bytes of a request's body; below 0: as many as the core allows.
        filters: what stands before and behind the handler, the outermost first; None where nothing does.
        method: the method's name.
        pattern: the pattern as it was given.
        exact: False for a prefix.
        names: the names of the parameters, in the order of the path.
    """

    def __init__(self):
        raise TypeError("a Route is made by Router.add")

    def __repr__(self) -> str:
        return f"<Route {self.method} {self.pattern}{'' if self.exact else ' (prefix)'}>"

    def variant(self, *, blocking=None, streaming=None, max_body=None) -> Route:
        """A copy with other options; what is None stays as it is.

        It stands in no table.  The router gives it in place of this route where `Router.use_options` says so.
        """
        cdef Route copy = Route.__new__(Route)
        copy.handler = self.handler
        copy.method = self.method
        copy.pattern = self.pattern
        copy.exact = self.exact
        copy.names = self.names
        copy.key = self.key
        copy.token = self.token
        copy.places = self.places
        copy.number = self.number
        copy.filters = self.filters
        copy.blocking = self.blocking if blocking is None else blocking
        copy.streaming = self.streaming if streaming is None else streaming
        copy.max_body = self.max_body if max_body is None else max_body
        return copy

    cdef dict params(self, const char *path, Py_ssize_t length):
        """The parameters' values in a raw path that this route was found for."""
        cdef dict values = {}
        cdef Py_ssize_t count, at, end
        cdef Py_ssize_t filled = 0
        cdef int segment = 0
        cdef const unsigned char *places
        if not self.names:
            return values
        count = len(self.names)
        places = <const unsigned char *>PyBytes_AS_STRING(self.places)
        at = 0
        while filled < count and at < length:
            end = segment_end(path, at + 1, length)
            if places[filled] == segment:
                values[self.names[filled]] = value_of(path + at + 1, end - at - 1)
                filled += 1
            segment += 1
            at = end
        return values


@cython.final
cdef class Router:
    """The route table.

    Example::

        router = Router()
        router.add("GET", "/users/{id}", show)
        router.add("GET", "/static/", files, exact=False)
        route, params = router.lookup("GET", "/users/7%2F8")     # params == {"id": "7/8"}
        router.allowed("/users/7")                               # "GET, HEAD"

    Thread-safety: every call is atomic under the GIL.
    """

    def __cinit__(self):
        self.table = []
        self.nodes = <Node *>malloc(sizeof(Node))
        if self.nodes == NULL:
            raise MemoryError
        memset(self.nodes, 0, sizeof(Node))
        self.node_count = self.node_room = 1

    def __dealloc__(self):
        span_clear(&self.fixed)
        span_clear(&self.segments)
        free(self.nodes)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"<Router of {len(self.table)} routes>"

    def add(self, str method not None, str pattern not None, handler, bint exact=True,
            bint blocking=False) -> Route:
        """Register a handler.

        Args:
            method: a token; upper and lower case differ.  Any name will do, not only the usual ones.
                ``*`` stands for all that the pattern has no route of its own for, but CONNECT.
            pattern: a decoded path.  A whole segment may be a parameter, ``{name}``; it takes one segment
                that is not empty.
            handler: the callable to answer with.
            exact: False makes it a prefix: ``/static`` covers ``/static`` and ``/static/…``,
                ``/static/`` the latter alone, ``/`` everything.
            blocking: kept on the route for whoever calls the handler.

        Returns:
            The new route.

        Raises:
            RoutePatternError: the method or the pattern cannot be read.
            RouteConflict: this method and pattern are there already, or the same pattern with other
                parameter names.  Nothing is changed.
            TypeError: `handler` is not callable.
        """
        cdef Route route
        cdef bytes token, key, places
        cdef tuple names
        cdef PyObject **chain = NULL
        cdef SpanEntry *entry = NULL
        cdef Py_ssize_t length
        cdef uint32_t node = NOWHERE
        cdef uint32_t depth
        cdef bint fixed

        token = read_method(method)
        key, names, places = read_pattern(pattern, exact)
        if not callable(handler):
            raise TypeError(f"the handler of {method} {pattern} is not callable: {handler!r}")
        length = PyBytes_GET_SIZE(key)
        if not exact and key.endswith(b"/"):
            length -= 1         # such a prefix sits on the node before its slash
        depth = key.count(b"/", 0, length)
        fixed = exact and not names

        route = Route.__new__(Route)
        route.handler = handler
        route.blocking = blocking
        route.max_body = -1
        route.method = method
        route.pattern = pattern
        route.exact = exact
        route.names = names
        route.key = key
        route.token = token
        route.places = places
        route.number = ANY if method == "*" else method_number(token, PyBytes_GET_SIZE(token))

        # The route is made before the tables are looked at: making an object may run the garbage collector,
        # which may run anything, even another `add`.
        if fixed:
            entry = span_find(&self.fixed, 0, key, length)
            if entry != NULL:
                chain = <PyObject **>&entry.value
        else:
            node = self.seat(key, length, places, len(names), False)
            if node != NOWHERE:
                chain = chain_of(&self.nodes[node], exact, key)
        if chain != NULL:
            refuse_conflict(chain[0], method, pattern, names)
        if not (self.reserve(depth) if not fixed else chain != NULL or span_reserve(&self.fixed, 1)):
            raise MemoryError
        self.table.append(route)

        # From here on nothing can fail, and the tables point into what `table` keeps alive.
        if fixed:
            if chain == NULL:
                span_add(&self.fixed, 0, key, length, <void *>route)
                self.longest_fixed = max(self.longest_fixed, length)
                return route
        else:
            node = self.seat(key, length, places, len(names), True)
            chain = chain_of(&self.nodes[node], exact, key)
        route.sibling = chain[0]
        chain[0] = <PyObject *>route
        return route

    def routes(self) -> list:
        """Every route, in the order of registration (a new list)."""
        return list(self.table)

    def use_options(self, Router options, variants=None) -> None:
        """Give parts of the paths other options than their routes have.

        Args:
            options: patterns; of those that fit a request the most specific one counts, as everywhere.  None: no more.
            variants: for each route, and each route of `options` that changes it, the variant to use
                (`Route.variant`).  Where there is none, the route itself is used.

        Raises:
            UsageError: `options` is this table, or has options itself.
        """
        if options is not None and (options is self or options.options is not None):
            raise UsageError("a table of options has no options itself")
        self.variants = None if options is None else {route: dict(each) for route, each in dict(variants or ()).items()}
        self.options = options

    def find_route(self, str method not None, path) -> Route | None:
        """The route that answers, or None.

        Args:
            method: as it came; upper and lower case differ.
            path: the raw path (percent-encoded, no query), str or bytes.

        Raises:
            TypeError: `path` is neither.
        """
        cdef Py_ssize_t name_length, length
        cdef const char *name = PyUnicode_AsUTF8AndSize(method, &name_length)
        cdef const char *span = span_of(path, &length)
        return self.find(method_number(name, name_length), name, name_length, span, length)

    def lookup(self, str method not None, path) -> tuple[Route, dict[str, str]] | None:
        """The route that answers and the values of its parameters, or None.

        Args:
            method: as it came; upper and lower case differ.
            path: the raw path (percent-encoded, no query), str or bytes.

        Returns:
            The values are percent-decoded UTF-8; what is not UTF-8 becomes U+FFFD.

        Raises:
            TypeError: `path` is neither.
        """
        cdef Py_ssize_t length
        cdef Route route = self.find_route(method, path)
        if route is None:
            return None
        cdef const char *span = span_of(path, &length)
        return route, route.params(span, length)

    def allowed(self, path) -> str | None:
        """The methods a path answers to, as the value of an Allow field; None: no route knows the path.

        Example: ``"GET, HEAD, POST"``.  For ``*`` the usual methods are named, since there is no end to the others.
        """
        cdef Py_ssize_t length
        cdef const char *span = span_of(path, &length)
        return self.allow(span, length)

    # -- the C interface ----------------------------------------------------

    cdef Route find(self, int method, const char *name, Py_ssize_t name_length,
                    const char *path, Py_ssize_t length):
        cdef SpanEntry *entry
        cdef PyObject *found = NULL
        # No pattern holds a '%' or a NUL, so a raw path that is in the table needed no decoding and no scan.
        if length <= self.longest_fixed:
            entry = span_find(&self.fixed, 0, path, length)
            if entry != NULL:
                found = pick(<PyObject *>entry.value, method, name, name_length)
        if found == NULL:
            found = self.seek(method, name, name_length, path, length, None)
        if found == NULL:
            return None
        if self.options is None:
            return <Route>found
        return self.refine(<Route>found, method, name, name_length, path, length)

    cdef object allow(self, const char *path, Py_ssize_t length):
        cdef set methods = set()
        cdef SpanEntry *entry
        if length <= self.longest_fixed:
            entry = span_find(&self.fixed, 0, path, length)
            if entry != NULL:
                gather(<PyObject *>entry.value, methods)
        self.seek(OTHER, NULL, 0, path, length, methods)
        if not methods:
            return None
        if "GET" in methods:
            methods.add("HEAD")
        return ", ".join(sorted(methods))

    # -- inside -------------------------------------------------------------

    cdef Route refine(self, Route route, int method, const char *name, Py_ssize_t name_length,
                      const char *path, Py_ssize_t length):
        """The variant of a route that the options for this path ask for, or the route."""
        cdef dict variants = self.variants.get(route)
        if variants is None:
            return route
        return variants.get(self.options.find(method, name, name_length, path, length), route)

    cdef PyObject *seek(self, int method, const char *name, Py_ssize_t name_length,
                        const char *path, Py_ssize_t length, set methods) except? NULL:
        """All but the look-up of the raw path; with `methods`, every method goes there and nothing is found."""
        cdef char small[SCRATCH]
        cdef char *room = small
        cdef Py_ssize_t size
        cdef SpanEntry *entry
        cdef PyObject *found = NULL
        if length == 0 or path[0] != c'/' or memchr(path, 0, length) != NULL:
            return NULL
        if memchr(path, c'%', length) == NULL:
            return self.walk(method, name, name_length, path, length, methods)
        if length > SCRATCH:
            room = <char *>malloc(length)
            if room == NULL:
                raise MemoryError
        try:
            size = percent_decode(path, length, room, 0)
            if size <= self.longest_fixed:
                entry = span_find(&self.fixed, 0, room, size)
                if entry != NULL:
                    if methods is not None:
                        gather(<PyObject *>entry.value, methods)
                    else:
                        found = pick(<PyObject *>entry.value, method, name, name_length)
            if found == NULL:
                found = self.walk(method, name, name_length, room, size, methods)
            return found
        finally:
            if room != small:
                free(room)

    cdef PyObject *walk(self, int method, const char *name, Py_ssize_t name_length,
                        const char *path, Py_ssize_t length, set methods) except? NULL:
        """Depth first through the tree, a fixed segment before a parameter.

        The first full match ends it.  A prefix is kept when it covers more than the one kept so far, so
        among equals the first stays, which is the one decided from the left.
        """
        cdef Alternative waiting[MAX_DEPTH]     # one a level at most: the parameter not taken yet
        cdef int waits = 0
        cdef Alternative here
        cdef Node *node
        cdef SpanEntry *child
        cdef PyObject *found
        cdef PyObject *best = NULL
        cdef int64_t best_rank = -1
        cdef Py_ssize_t end
        here.at = 0                             # the slash after what is consumed, or the end
        here.node = here.depth = 0
        while True:
            node = &self.nodes[here.node]
            if methods is not None:
                if here.at == length:
                    gather(node.exact, methods)
                else:
                    gather(node.below, methods)
                gather(node.prefix, methods)
            else:
                if here.at == length:
                    if node.exact != NULL:
                        found = pick(node.exact, method, name, name_length)
                        if found != NULL:
                            return found
                elif node.below != NULL and 2 * here.depth + 1 > best_rank:
                    found = pick(node.below, method, name, name_length)
                    if found != NULL:
                        best = found
                        best_rank = 2 * here.depth + 1
                if node.prefix != NULL and 2 * here.depth > best_rank:
                    found = pick(node.prefix, method, name, name_length)
                    if found != NULL:
                        best = found
                        best_rank = 2 * here.depth

            if here.at < length and (node.statics or node.param):
                end = segment_end(path, here.at + 1, length)
                child = NULL
                if node.statics and end - here.at - 1 <= self.longest_segment:
                    child = span_find(&self.segments, here.node, path + here.at + 1, end - here.at - 1)
                if node.param and end > here.at + 1:
                    if child == NULL:
                        here.at = end
                        here.node = node.param
                        here.depth += 1
                        continue
                    waiting[waits].at = end
                    waiting[waits].node = node.param
                    waiting[waits].depth = here.depth + 1
                    waits += 1
                if child != NULL:
                    here.at = end
                    here.node = <uint32_t><size_t>child.value
                    here.depth += 1
                    continue
            if waits == 0:
                return best
            waits -= 1
            here = waiting[waits]

    cdef uint32_t seat(self, const char *key, Py_ssize_t length, const unsigned char *places,
                       Py_ssize_t parameters, bint create) noexcept:
        """The node of a pattern; where it is missing, NOWHERE or (the room being reserved) a new one."""
        cdef uint32_t at_node = 0
        cdef uint32_t child_node
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t end
        cdef Py_ssize_t passed = 0
        cdef int segment = 0
        cdef Node *node
        cdef SpanEntry *child
        while at < length:
            end = segment_end(key, at + 1, length)
            node = &self.nodes[at_node]
            if passed < parameters and places[passed] == segment:
                passed += 1
                child_node = node.param
                if child_node == 0:
                    if not create:
                        return NOWHERE
                    child_node = node.param = self.new_node()
            else:
                child = span_find(&self.segments, at_node, key + at + 1, end - at - 1)
                if child != NULL:
                    child_node = <uint32_t><size_t>child.value
                else:
                    if not create:
                        return NOWHERE
                    child_node = self.new_node()
                    span_add(&self.segments, at_node, key + at + 1, end - at - 1, <void *><size_t>child_node)
                    node.statics += 1
                    self.longest_segment = max(self.longest_segment, end - at - 1)
            at_node = child_node
            segment += 1
            at = end
        return at_node

    cdef uint32_t new_node(self) noexcept:
        memset(&self.nodes[self.node_count], 0, sizeof(Node))
        self.node_count += 1
        return self.node_count - 1

    cdef bint reserve(self, uint32_t depth) noexcept:
        """Room for a pattern of `depth` segments in the tree; False when there is no memory."""
        cdef Node *grown
        cdef size_t wanted = <size_t>self.node_count + depth
        if wanted > self.node_room:
            wanted *= 2
            grown = <Node *>realloc(self.nodes, wanted * sizeof(Node))
            if grown == NULL:
                return False
            self.nodes = grown
            self.node_room = wanted
        return span_reserve(&self.segments, depth)


@cython.final
cdef class RouteSubstrate:
    """The route table under its first names: `register` and `route`.

    Args:
        router: the table to use; a new one by default.

    Thread-safety: that of `Router`.
    """

    def __cinit__(self, Router router=None):
        self.router = Router() if router is None else router

    def register(self, str method not None, str pattern not None, handler, bint exact=True) -> None:
        """Register a handler; see `Router.add`."""
        self.router.add(method, pattern, handler, exact)

    def route(self, request) -> object:
        """The handler for a request, or None.

        Args:
            request: anything with `method` and either `raw_path` (as it came, without the query) or `path`
                (decoded, so that every '%' in it is data).
        """
        path = getattr(request, "raw_path", None)
        if path is None:
            path = request.path.replace("%", "%25")
        return self.find(request.method, path)

    def find(self, str method not None, path) -> object:
        """The handler for a method and a raw path (str or bytes), or None."""
        cdef Py_ssize_t name_length, length
        cdef const char *name = PyUnicode_AsUTF8AndSize(method, &name_length)
        cdef const char *span = span_of(path, &length)
        cdef Route route = self.router.find(method_number(name, name_length), name, name_length, span, length)
        return None if route is None else route.handler
