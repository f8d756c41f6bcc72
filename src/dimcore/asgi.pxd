from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from dimcore.asgiscope cimport ScopeMaker
from dimcore.connection cimport Connection
from dimcore.conversation cimport Conversant, Conversation
from dimcore.core cimport Core
from dimcore.intake cimport Intake, Taker
from dimcore.outflow cimport Outflow, Push
from dimcore.request cimport RequestPoint
from dimcore.waits cimport Waits
from dimcore.writer cimport Writer


cdef class AsgiEntry(Conversant):
    cdef readonly object app
    cdef ScopeMaker scopes
    cdef AsgiReceive spare           # with its request's AsgiHttp; serves again if the app kept neither

    cdef object converse(self, RequestPoint request)
    cdef int bring(self, AsgiHttp http, RequestPoint request) except -1


cdef class AsgiReceive:
    cdef AsgiHttp owner


cdef class AsgiFlow(Push):
    cdef AsgiHttp owner
    cdef bytes trailers              # the fields, or None


cdef class BodyTaker(Taker):
    cdef AsgiHttp owner


cdef class AsgiHttp(Conversation):
    cdef AsgiEntry entry
    cdef AsgiReceive receive
    cdef Core core
    cdef Connection connection       # None once the answer is complete or the peer is gone
    cdef RequestPoint request        # as `connection`
    cdef Intake intake               # where the body is that did not come with its head, or None
    cdef AsgiFlow flow               # while the answer is streamed
    cdef Waits waits                 # coroutines that wait, or None
    cdef object headers              # of the answer, until its head is written
    cdef int status
    cdef int state                   # State
    cdef int64_t spent               # sent since others had their turn
    cdef bint body_told              # the app has all of the request's body
    cdef bint peer_left              # it sends no more, or is gone
    cdef bint has_trailers           # they follow the body of the answer

    # the app
    cdef dict scope_of(self, Connection at)
    cdef object receive_now(self)
    cdef object deliver(self, object message)
    cdef object put_off(self, object message)
    cdef object send_now(self, object message)
    cdef object unconnected(self, object kind, object message)
    cdef object unheard(self, object message)
    cdef int take_start(self, dict message) except -1
    cdef object take_body(self, dict message)
    cdef object take_path(self, dict message)
    cdef object take_trailers(self, dict message)
    cdef object hint(self, dict message)
    cdef object next_message(self)
    cdef int call_for_body(self) except -1
    # the answer
    cdef bint must_wait(self) noexcept
    cdef bint lags(self) noexcept
    cdef bint wants_trailers(self)
    cdef void stir(self) noexcept
    cdef bint enter(self) except -1
    cdef int write_head(self, object body) except -1
    cdef object respond(self, object body)
    cdef object begin_stream(self, bytes first)
    cdef object write(self, bytes piece, bint last)
    cdef int end_request(self) except -1
    cdef int let_go(self, int state) except -1
    cdef object pace(self, Py_ssize_t size)
    # the end
    cdef int ended(self, object result, object error) except -1
    cdef int wake(self) except -1


cdef class AsgiWait:
    cdef AsgiHttp owner
    cdef object message
    cdef object future
    cdef int kind                    # Kind
    cdef bint begun

    cdef int advance(self, PyObject **value) except -1
    cdef int turn(self, PyObject **value) except -1
    cdef int sleep(self, PyObject **value) except -1
