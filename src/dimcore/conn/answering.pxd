cimport cython
from libc.stdint cimport int64_t

from dimcore.aio.task_runner cimport Errand
from dimcore.conn.sending cimport Channel
from dimcore.conn.streamed_body cimport AsyncSource
from dimcore.http1.head cimport Head


@cython.no_gc
cdef class Exchange(Channel):
    cdef int open_request(self) except -1
    cdef int tell_line(self, const Head *head, const char *data) except -1
    cdef int64_t most_body(self) noexcept
    cdef int start_body(self, bint chunked) except -1
    cdef int call_for_body(self) except -1
    cdef bint wants_at_once(self) noexcept
    cdef int dispatch(self) except -1
    cdef int conclude(self) except -1
    cdef object first_step(self, object awaitable)
    cdef int wait_for(self, Errand errand) except -1
    cdef object first_piece(self, AsyncSource source)
    cdef bint reads_on(self, object result)
    cdef int forgo_body(self) except -1
    cdef int end_body(self, bytes error) except -1
    cdef int answer(self, object result, object error) except -1
    cdef int answer_error(self, object error) except -1
    cdef int answer_with(self, int status, object headers, bytes body) except -1
    cdef int compose(self, object headers, object body, int status, const char *kind) except -1
    cdef int send_body(self, object body) except -1
    cdef int refuse(self, int status, bytes text, object headers) except -1
    cdef int write_refusal(self, int status, bytes text, object headers, bint head_only) except -1
    cdef int not_routed(self, const char *path, Py_ssize_t size) except -1
    cdef int release_request(self) except -1


# Give up a body that is not sent: close its files, or end its source.
cdef void discard(object body) noexcept
cdef void discard_unsent(object result) noexcept
