from cpython.object cimport PyObject

from dimcore.aio.waiters cimport Waits
from dimcore.conn.body_stream cimport ArrivingBody
from dimcore.conn.exchange cimport Exchange
from dimcore.conn.core cimport Core
from dimcore.conn.handler cimport ResponseDriver

cdef enum Kind:
    RECEIVES
    SENDS                    # a message that could not be sent at once
    CATCHES_UP               # the peer lags
    TURNS                    # the others have their turn
    FOLLOWS                  # what `message` is: an awaitable


# What a coroutine may have to wait for: a request's answer and body.
cdef class Awaited(ResponseDriver):
    cdef Core core
    cdef Exchange connection       # None once the answer is complete or the peer is gone
    cdef ArrivingBody arriving               # where the body is that did not come with its head, or None
    cdef Waits waits                 # coroutines that wait, or None

    cdef bint must_wait(self) noexcept           # the connection cannot be used within this call
    cdef bint lags(self) noexcept                # the peer has still to take what was sent
    cdef object deliver(self, object message)    # send; what `send` returns
    cdef object next_message(self)               # None: there is none yet
    cdef int call_for_body(self) except -1       # ask a sender that waits to be asked
    cdef int turn_over(self) except -1           # the turn in which pieces of the body were gathered is over
    cdef int wake(self) except -1
    cdef void stir(self) noexcept


cdef class AsgiWait:
    cdef Awaited owner
    cdef object message
    cdef object future
    cdef object rest                 # what is waited for in its place: an awaitable of a socket's, or of the loop's
    cdef int kind                    # Kind
    cdef bint begun

    cdef int advance(self, PyObject **value) except -1
    cdef int follow(self, object awaitable, PyObject **value) except -1
    cdef int turn(self, PyObject **value) except -1
    cdef int sleep(self, PyObject **value) except -1


cdef AsgiWait make_wait(Awaited owner, int kind)
cdef object on_loop(Core core, object awaitable)
