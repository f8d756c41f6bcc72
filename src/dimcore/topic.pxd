from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from dimcore.websocket cimport WebSocket


# A message on its way to the subscribers of one topic.
cdef class Note:
    cdef int opcode
    cdef int head_size
    cdef bytes frame                 # uncompressed, whole
    cdef dict packed                 # key of agreed parameters -> compressed frame; None before the first
    cdef WebSocket excluded          # who does not get it, or None
    cdef str name                    # of its topic, while it is handed from a thread to the loop

    cdef bytes payload(self)
    cdef bytes packed_for(self, object key, object codec)


# Messages that leave with one send.
cdef class Batch:
    cdef list notes
    cdef uint64_t first              # number of the first message among those of the topic
    cdef uint64_t last
    cdef int64_t size
    cdef bint excludes               # somebody is left out of one of them
    cdef bytes whole                 # all frames, uncompressed
    cdef dict packed                 # key -> (all frames, whether one of them is compressed)

    cdef bytes frames(self)
    cdef tuple packed_for(self, object key, object codec)


# One socket's place in one topic.
cdef class Member:
    cdef WebSocket socket
    cdef Room room
    cdef Member also                 # the next of the same socket
    cdef PyObject *before            # of the same topic; its dict holds them
    cdef PyObject *after
    cdef uint64_t since              # number of the last message published before it joined


# A topic while somebody is subscribed.
cdef class Room:
    cdef Topics hub
    cdef str name
    cdef dict members                # socket -> Member
    cdef PyObject *head
    cdef PyObject *tail
    cdef uint64_t published
    cdef list queue                  # of Note, from `queued` on
    cdef Py_ssize_t queued
    cdef Batch batch                 # at hand
    cdef PyObject *cursor            # who gets it next
    cdef bint busy                   # among those with work

    cdef int link(self, Member member) except -1
    cdef int unlink(self, Member member) except -1
    cdef Batch take(self)
    cdef Py_ssize_t discard_queue(self) noexcept
    cdef Py_ssize_t discard(self) noexcept
    cdef bint advance(self, int64_t deadline) except -1
    cdef int hand(self, Member member, Batch batch) except -1
    cdef int hand_note(self, WebSocket socket, Note note) except -1


cdef class Topics:
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
    cdef readonly int64_t waiting    # bytes of messages that somebody is still to get
    cdef readonly int64_t max_waiting
    cdef readonly int64_t max_topics
    cdef readonly int64_t max_per_socket
    cdef readonly int64_t subscriptions
    cdef readonly uint64_t published
    cdef readonly uint64_t received
    cdef readonly uint64_t sent
    cdef readonly uint64_t lost
    cdef readonly uint64_t dropped

    cdef Note encode(self, object message, WebSocket excluded)
    cdef bint admit(self, Note note) except -1
    cdef int spread(self, str name, Note note) except -1
    cdef int schedule(self) except -1
    cdef int leave(self, Member member) except -1
    cdef void tell(self, object error) noexcept


cdef class Topic:
    cdef readonly Topics topics
    cdef readonly str name
