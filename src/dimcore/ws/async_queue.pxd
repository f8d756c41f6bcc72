from libc.stdint cimport int64_t

from dimcore.aio.wakeup cimport Wakeup
from dimcore.ws.websocket cimport Listener, WebSocket


# See the .pyx for how to build on it.
cdef class SocketQueue(Listener):
    cdef readonly WebSocket socket       # None before the handshake is answered
    cdef object loop                     # asyncio's
    cdef Wakeup wakeup
    cdef list items                      # messages that wait, from `first` on
    cdef Py_ssize_t first
    cdef int64_t weight                  # of those, in bytes of memory
    cdef list lagging                    # futures of those who wait for the peer to read
    cdef list ending                     # futures of those who wait for the end
    cdef bint over                       # told of the end
    cdef bint deaf                       # nobody takes messages any more
    cdef bint awaited                    # somebody receives
    cdef readonly int close_code         # how it ended; 0 before
    cdef readonly str close_reason

    cdef int start(self, WebSocket ws) except -1
    cdef int stop(self, int code) except -1
    cdef int put(self, object message) except -1
    cdef object take(self)
    cdef object receive_next(self, bint iterates)
    cdef object given(self, object message)
    cdef object finished(self, bint iterates)
    cdef object put_out(self, object message)
    cdef object end(self)
    cdef object open_future(self, bint of_end)
    cdef WebSocket opened_socket(self)
    cdef int raise_closed(self) except -1
    cdef int check_thread(self) except -1


# What `await` of something received waits for.
cdef class ReceiveWait:
    cdef SocketQueue queue
    cdef bint iterates                   # the end is that of an iteration
    cdef bint waits

    cdef object step(self)


# What `await` of sending to a peer that lags, or of closing, waits for.
cdef class SendWait:
    cdef SocketQueue queue
    cdef object steps                    # of a future's, from the first step on
    cdef bint of_end                     # for the end, not for the peer to read


cdef ReceiveWait make_receive_wait(SocketQueue queue, bint iterates)
