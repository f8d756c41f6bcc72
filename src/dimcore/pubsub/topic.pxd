from libc.stdint cimport int64_t, uint64_t

from dimcore.pubsub.note cimport Note
from dimcore.pubsub.room cimport Hub, Member, Room
from dimcore.ws.websocket cimport WebSocket


cdef class Topics(Hub):
    cdef dict rooms
    cdef object work                 # deque of Room
    cdef object handed               # deque of Note, from threads
    cdef bint scheduled
    cdef unsigned long thread        # the loop's; 0: nobody serves
    cdef object soon
    cdef object from_thread
    cdef object report
    cdef readonly bint used          # a topic was asked for
    cdef object first                # told of that
    cdef tuple outlets
    cdef int64_t slice_ns
    cdef readonly int64_t max_waiting
    cdef readonly int64_t max_topics
    cdef readonly int64_t max_per_socket
    cdef readonly int64_t subscriptions
    cdef readonly uint64_t published
    cdef readonly uint64_t received
    cdef readonly uint64_t dropped

    cdef Note encode(self, object message, WebSocket excluded)
    cdef bint admit(self, Note note) except -1
    cdef int check_thread(self) except -1
    cdef int spread(self, str name, Note note) except -1
    cdef int put(self, Room room, Note note) except -1
    cdef int schedule(self) except -1


cdef class Topic:
    cdef readonly Topics topics
    cdef readonly str name
