from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from dimcore.budget cimport Holder
from dimcore.pubsub.note cimport Batch, Note
from dimcore.ws.websocket cimport WebSocket


# What rooms belong to, and are counted by.
cdef class Hub:
    cdef readonly int64_t waiting    # bytes of messages that somebody is still to get
    cdef readonly uint64_t sent
    cdef readonly uint64_t lost
    cdef Holder holder               # of a budget, for what waits; or None

    cdef bint wait_for(self, int64_t size) noexcept      # so much more, or less, waits; False without room for it
    cdef int leave(self, Member member) except -1
    cdef void tell(self, object error) noexcept


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
    cdef Hub hub
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
