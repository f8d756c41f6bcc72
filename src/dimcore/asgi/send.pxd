from libc.stdint cimport int64_t

from dimcore.asgi.stream cimport AsgiFlow
from dimcore.asgi.wait cimport Awaited
from dimcore.http.request cimport RequestPoint

cdef enum State:
    EXPECTS_START
    EXPECTS_BODY             # the head is known; nothing is on the wire
    STREAMS
    SWALLOWS                 # the answer has no body, and is sent: what the app makes of one is not
    EXPECTS_TRAILERS
    COMPLETE

cdef enum Act:
    ANSWERS                  # the answer in one
    BEGINS                   # the head, and the first piece of the body with it
    CONTINUES                # one more piece, and what was gathered
    ENDS                     # the same, and the end
    HINTS


cdef class AsgiAnswer(Awaited):
    cdef RequestPoint request        # None as `connection` is
    cdef AsgiFlow flow               # while the answer is streamed
    cdef object headers              # of the answer, until its head is written
    cdef int status
    cdef int state                   # State
    cdef int64_t spent               # sent since others had their turn
    cdef bint knows_left             # the app was told that the peer has left
    cdef bint has_trailers           # they follow the body of the answer

    # the app
    cdef object put_off(self, object message)
    cdef object send_now(self, object message)
    cdef object unconnected(self, object kind, object message)
    cdef object unheard(self, object message)
    cdef int take_start(self, dict message) except -1
    cdef object take_body(self, dict message)
    cdef object take_path(self, dict message)
    cdef object take_trailers(self, dict message)
    cdef object take_hint(self, dict message)
    cdef bytes lines_of(self, list pairs, object what)
    cdef bint wants_trailers(self)
    # the answer
    cdef int act(self, Act act, object body, bytes piece) except -1
    cdef int perform(self, Act act, object body, bytes piece, bint nested) except -1
    cdef object write_head(self, object body)
    cdef int open_flow(self, AsgiFlow flow, bytes first) except -1
    cdef int call_turn(self) except -1
    cdef object begin_stream(self, bytes first)
    cdef object write(self, bytes piece, bint last)
    cdef int end_request(self) except -1
    cdef int close_flow(self) except -1
    cdef int complete_body(self) except -1
    cdef int let_go(self, int state) except -1
    cdef object pace(self, Py_ssize_t size)
