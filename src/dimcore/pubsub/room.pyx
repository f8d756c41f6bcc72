"""A topic while somebody is subscribed: who that is, what waits for them, and handing it out a slice at a time.

Subscribers stand in a list in the order they joined, so that a slice goes on where
the last one ended, and stops at those who came later.  Who does not take a batch at
once has a reference to it in its outbox, not a copy.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from dimcore.clock cimport monotonic_ns
from dimcore.conn.phase cimport CLOSE, GONE
from dimcore.limits cimport KIB
from dimcore.pubsub.note cimport NOTE_COST
from dimcore.ws.websocket cimport CLOSE_SENT, OFFER_LOST, OFFER_TAKEN

cdef enum:
    BATCH_BYTES = 64 * KIB       # joined to one send; a larger message stands alone
    BATCH_MOST = 256             # messages of a batch: more would only be longer lists
    CHECK_EACH = 8               # sends between two looks at the clock


cdef class Hub:
    """What rooms belong to; not for use by itself."""

    cdef bint wait_for(self, int64_t size) noexcept:
        self.waiting += size
        return self.holder is None or (
            self.holder.budget.change(&self.holder.holding, self.waiting, monotonic_ns())
        )

    cdef int leave(self, Member member) except -1:
        return 0

    cdef void tell(self, object error) noexcept:
        pass


# Outside the collector, as the sockets are: the links are taken apart when a socket closes.
@cython.final
@cython.no_gc
cdef class Member:

    def end(self):
        """The socket is closed: leave this topic and the others it is in."""
        cdef Member member = self, following
        while member is not None and member.room is not None:
            following = member.also
            member.room.hub.leave(member)
            member = following


@cython.final
@cython.no_gc
cdef class Room:

    def __cinit__(self, Hub hub, str name):
        self.hub = hub
        self.name = name
        self.members = {}
        self.queue = []

    cdef int link(self, Member member) except -1:
        self.members[member.socket] = member
        member.since = self.published
        member.before = self.tail
        if self.tail == NULL:
            self.head = <PyObject *> member
        else:
            (<Member> self.tail).after = <PyObject *> member
        self.tail = <PyObject *> member
        return 0

    cdef int unlink(self, Member member) except -1:
        if self.cursor == <PyObject *> member:
            self.cursor = member.after
        if member.before == NULL:
            self.head = member.after
        else:
            (<Member> member.before).after = member.after
        if member.after == NULL:
            self.tail = member.before
        else:
            (<Member> member.after).before = member.before
        member.before = member.after = NULL
        del self.members[member.socket]
        return 0

    cdef Batch take(self):
        """The next messages of the queue, as many as go out with one send; None when there are none."""
        cdef Batch batch
        cdef Note note
        cdef int64_t size
        if self.queued == len(self.queue):
            return None
        batch = Batch.__new__(Batch)
        batch.notes = []
        batch.first = self.published - <uint64_t> (len(self.queue) - self.queued) + 1
        while self.queued < len(self.queue) and len(batch.notes) < BATCH_MOST:
            note = <Note> self.queue[self.queued]
            size = PyBytes_GET_SIZE(note.frame)
            if batch.notes and batch.size + size > BATCH_BYTES:
                break
            self.queue[self.queued] = None
            self.queued += 1
            batch.notes.append(note)
            batch.size += size
            batch.excludes = batch.excludes or note.excluded is not None
        batch.last = batch.first + <uint64_t> len(batch.notes) - 1
        if self.queued == len(self.queue):
            self.queue.clear()
            self.queued = 0
        elif self.queued >= BATCH_MOST:
            del self.queue[:self.queued]
            self.queued = 0
        return batch

    cdef Py_ssize_t discard_queue(self) noexcept:
        """Forget what is queued; how many messages that were."""
        cdef Py_ssize_t number = len(self.queue) - self.queued
        cdef Py_ssize_t at
        for at in range(self.queued, len(self.queue)):
            self.hub.wait_for(-(PyBytes_GET_SIZE((<Note> self.queue[at]).frame) + NOTE_COST))
        self.queue.clear()
        self.queued = 0
        return number

    cdef Py_ssize_t discard(self) noexcept:
        """The same and what is at hand; not while it is being handed out."""
        cdef Py_ssize_t number = self.discard_queue()
        if self.batch is not None:
            number += len(self.batch.notes)
            self.hub.wait_for(-(self.batch.size + NOTE_COST * len(self.batch.notes)))
            self.batch = None
        self.cursor = NULL
        return number

    cdef bint advance(self, int64_t deadline) except -1:
        """Hand out what is queued until the time is over; whether all is done."""
        cdef Member member
        cdef Batch batch
        cdef int handed = 0
        while True:
            if self.batch is None:
                self.batch = self.take()
                if self.batch is None:
                    return True
                self.cursor = self.head
            batch = self.batch
            while self.cursor != NULL:
                member = <Member> self.cursor
                if member.since >= batch.last:           # so did all behind it
                    break
                self.cursor = member.after
                try:
                    self.hand(member, batch)
                except Exception as error:
                    self.hub.tell(error)
                if self.batch is not batch:              # a codec or the report has detached the hub
                    return True
                handed += 1
                if handed % CHECK_EACH == 0 and monotonic_ns() >= deadline:
                    return False
            self.cursor = NULL
            self.hub.wait_for(-(batch.size + NOTE_COST * len(batch.notes)))
            self.batch = None

    cdef int hand(self, Member member, Batch batch) except -1:
        """Send a batch to one subscriber, as much of it as is meant for it."""
        cdef WebSocket socket = member.socket
        cdef Note note
        cdef int64_t number
        cdef tuple packed
        cdef bytes frames
        cdef int outcome
        if socket.flags & CLOSE_SENT or socket.connection.state & (GONE | CLOSE):
            return 0
        if batch.excludes or member.since >= batch.first:
            number = batch.first
            for note in batch.notes:
                if <uint64_t> number > member.since and note.excluded is not socket:
                    self.hand_note(socket, note)
                number += 1
            return 0
        if socket.inflater is None:
            outcome = socket.offer(batch.frames())
        else:
            packed = batch.packed_for(socket.inflater.shared, socket.inflater)
            frames = <bytes> packed[0]
            outcome = socket.offer(frames)
            if outcome == OFFER_TAKEN and packed[1]:
                socket.inflater.restart()
        if outcome == OFFER_TAKEN:
            self.hub.sent += <uint64_t> len(batch.notes)
        elif outcome == OFFER_LOST:
            self.hub.lost += <uint64_t> len(batch.notes)
        return 0

    cdef int hand_note(self, WebSocket socket, Note note) except -1:
        cdef bytes frame = note.frame
        cdef int outcome
        if socket.inflater is not None:
            frame = note.packed_for(socket.inflater.shared, socket.inflater)
        outcome = socket.offer(frame)
        if outcome == OFFER_TAKEN:
            self.hub.sent += 1
            if frame is not note.frame:
                socket.inflater.restart()
        elif outcome == OFFER_LOST:
            self.hub.lost += 1
        return 0
