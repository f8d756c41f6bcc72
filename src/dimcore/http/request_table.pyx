# cython: nonecheck=True
# What `__new__` alone makes has None for each of its parts: that is an exception, not a crash.
"""The request pipeline: where every request stands, and what became of all of them.

`RequestSubstrate` keeps the points and the totals; `RequestResponseManifold`
joins it with a router and runs a whole request in process, as the seed does.
"""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from dimcore.clock cimport monotonic_ns
from dimcore.http.router cimport Route, Router
from dimcore.index.states cimport (
    ANSWER_COMPOSED, ANSWER_SENT, HANDLER_DONE, HANDLER_FOUND, HEAD_PARSED, REFUSED, require_request,
)
from dimcore.limits cimport LOGGED, METHODS, OPTIONS, RECEIVED
from dimcore.worker_record cimport RequestTotals, count_answer

from dimcore.errors import PeerError, UnknownPoint
from dimcore.index.geometry import compose
from dimcore.index.index import Index as _Index


cdef class RequestSubstrate:
    """Requests as points at ``(method, stage)``, with the totals of those that left.

    Thread-safety: one thread, or under a lock of the caller's.
    """

    def __cinit__(self):
        cdef int spiral
        self.index = _Index(METHODS)
        for spiral in range(METHODS):
            if not self.index.reserve(spiral):     # now, so that no step of a request can fail for want of memory
                raise MemoryError

    def manifest(self, str method not None, path, headers=None, body=b""):
        """A new RequestPoint at stage *received*; see RequestPoint for the arguments and errors."""
        request = RequestPoint(None, method, path, headers, body)
        self.enter(request, RECEIVED, monotonic_ns())
        self.totals.requests += 1
        return request

    def transition(self, request_id, int stage):
        """Move a request to another stage; 7 archives it.

        Raises:
            UnknownPoint: no such request.
            IllegalTransition: the table has no way there.
        """
        cdef RequestPoint request = self.known(request_id)
        require_request(request.layer, stage)
        if stage == LOGGED:
            self.leave(request)
        else:
            self.index.relink(request, request.spiral, stage, monotonic_ns())
        return request

    def compose(self, a, b):
        """z of one request times z of another: a likeness to look at, never a proof that two are the same.

        Args:
            a: the id of a request in flight, or anything with a `z_value`.
            b: likewise.

        Raises:
            UnknownPoint: no such request.
            PlacementError: an operand without a z.
        """
        return compose(self.known(a) if isinstance(a, str) else a, self.known(b) if isinstance(b, str) else b)

    cdef RequestPoint known(self, object request_id):
        cdef RequestPoint request = self.index.get_by_id(request_id)
        if request is None:
            raise UnknownPoint(f"no request with the id {request_id!r}")
        return request

    def get_stats(self):
        """Totals since the start, read from counters: O(1).

        ``avg_processing_time_ms`` is from the head complete to the answer ready;
        ``success_rate`` is the percentage of finished requests without a fault,
        100 before the first.
        """
        return request_stats(&self.totals, self.index.total)


cdef dict request_stats(const RequestTotals *totals, int64_t in_flight):
    cdef int64_t done = totals.processed + totals.errors
    return {
        "total_requests": totals.requests,
        "total_processed": totals.processed,
        "total_errors": totals.errors,
        "in_flight": in_flight,
        "avg_processing_time_ms": round(totals.time_ns / 1e6 / totals.answered, 6) if totals.answered else 0.0,
        "success_rate": round(100.0 * totals.processed / done, 4) if done else 100.0,
    }


cdef class RequestResponseManifold:
    """Routes, and the pipeline that takes a request through them.

    Args:
        router: an existing Router; a new one when ``None``.
    """

    def __init__(self, Router router=None):
        self.requests = RequestSubstrate()
        self.router = Router() if router is None else router

    @property
    def index(self):
        """The index of the requests in flight."""
        return self.requests.index

    def register_route(self, method, pattern, handler, exact=True, *, blocking=False):
        """Register a handler; see ``Router.add`` for the patterns and errors."""
        return self.router.add(method, pattern, handler, exact=exact, blocking=blocking)

    def compose(self, a, b):
        """See ``RequestSubstrate.compose``."""
        return self.requests.compose(a, b)

    def get_stats(self):
        """See ``RequestSubstrate.get_stats``."""
        return self.requests.get_stats()

    def process_request(self, str method not None, str path not None, headers=None, body=b""):
        """Take one request through all seven stages in process, without a socket.

        Args:
            method, path, headers, body: as for RequestPoint; `path` may have a query.

        Returns:
            What the handler returned; ``(status, headers, body)`` of the refusal
            where there is no handler (404, 405) or it raised a PeerError.

        Raises:
            Whatever else the handler raises, once counted.
        """
        cdef RequestSubstrate requests = self.requests
        cdef RequestPoint request = RequestPoint(None, method, path, headers, body)
        cdef Py_ssize_t size = 0, name_size = 0
        cdef const char *name = PyUnicode_AsUTF8AndSize(method, &name_size)
        cdef const char *text
        cdef Route route
        cdef int64_t now = request.started_ns
        requests.totals.requests += 1
        requests.enter(request, RECEIVED, now)
        try:
            requests.step(request, HEAD_PARSED, now)
            text = request.path_bytes(&size)
            route = self.router.find(request.info.method, name, name_size, text, size)
            if route is None:
                requests.step(request, REFUSED, now)
                allow = self.router.allow(text, size)
                requests.totals.processed += 1
                if allow is not None and request.info.method == OPTIONS:
                    return 204, {"Allow": f"{allow}, OPTIONS"}, b""
                if allow is None:
                    return 404, {"Content-Type": "text/plain; charset=utf-8"}, b"Not Found\n"
                return 405, {"Content-Type": "text/plain; charset=utf-8", "Allow": allow}, b"Method Not Allowed\n"
            request.route = route
            requests.step(request, HANDLER_FOUND, now)
            result = route.handler(request)
            now = monotonic_ns()
            requests.step(request, HANDLER_DONE, now)
            requests.step(request, ANSWER_COMPOSED, now)
            requests.step(request, ANSWER_SENT, now)
            request.finished_ns = now
            count_answer(&requests.totals, now - request.started_ns, False)
            return result
        except PeerError as error:
            requests.totals.errors += 1
            return error.status, {"Content-Type": "text/plain; charset=utf-8"}, f"{error}\n".encode()
        except BaseException:
            requests.totals.errors += 1
            raise
        finally:
            requests.leave(request)
