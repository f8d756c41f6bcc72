"""What a connection holds for its peer, told to the budgets of its worker.

    an event is served -> held -> Budget.change -> (spill, or give up)

It is counted when an event is through, from what is there by then: the inbox, the
body that arrives, what its handler has not taken, the outbox, and of a WebSocket
the message that is not complete, the queue of its program and the contexts of its
compression.  So no buffer has to know of budgets, nothing can be counted twice or
forgotten, and a connection that holds nothing costs a look at four fields.

A holding is found by the descriptor; the connection itself has no room for it.
What is below 2 KiB is not counted: that is what any connection costs.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t

from dimcore.budget cimport Budget, Holding, Kind, pay
from dimcore.conn.body_stream cimport Intake
from dimcore.conn.core cimport Core
from dimcore.conn.inbox cimport Inbox
from dimcore.conn.lifecycle cimport Leaving
from dimcore.conn.sending cimport (
    BUSY, CHARGED, CLOSE, GONE, HALTED, HAS_ANSWER, STREAMING, UNCOUNTED, UPGRADED, WORKING, WRITABLE,
)
from dimcore.http.request cimport RequestPoint
from dimcore.http.spool cimport Spool
from dimcore.http1.head cimport Head
from dimcore.limits cimport KIB, RECEIVE_BYTES
from dimcore.ws.websocket cimport WebSocket

cdef enum:
    SMALLEST = 2 * KIB       # what is held below that is not counted, but for WebSockets
    CODE_POLICY = 1008
    CODE_LATER = 1013

cdef double SECOND_NS = 1e9
cdef bytes NO_ROOM = b"the server holds too much for others at the moment"
cdef dict RETRY = {"Retry-After": "5"}


cdef bint _lags(Holding *holding, int64_t now_ns) noexcept:
    return (<Charging> holding.owner).lags(holding, now_ns)


cdef void _end(Holding *holding) noexcept:
    (<Charging> holding.owner).make_room()


cdef Kind CONNECTION
CONNECTION.lags = _lags
CONNECTION.end = _end


@cython.no_gc
cdef class Charging(Leaving):
    """Base of `Connection`; not for use by itself."""

    # --- counting -------------------------------------------------------------------------------

    cdef void recount(self) noexcept:
        if self.inbox == NULL and self.outbox is None and self.current is None and not (
            self.flags & UPGRADED or self.origin & (CHARGED | UNCOUNTED)
        ):
            return
        self.origin &= ~<uint8_t> UNCOUNTED
        if not self.flags & GONE:
            self.charge()

    cdef void charge(self) noexcept:
        """Count what is held.  Where there is no room for it, a body goes to a file, or the connection ends."""
        cdef int64_t memory, disk, before
        cdef Holding *holding
        cdef bint fits, working = self.flags & WORKING != 0
        cdef int tries
        for tries in range(3):
            disk = 0
            memory = self.held(&disk)
            if memory == 0 and disk == 0 and not self.origin & CHARGED:
                return
            holding = self.site.core.memory.at(self.fd)
            before = holding.bytes if holding != NULL else 0
            fits = self.put_down(self.site.core.memory, memory)
            if not fits and before and memory - before <= RECEIVE_BYTES and self.is_complete():
                fits = True          # the end of what had room until now: nothing more can come
            if not self.put_down(self.site.core.disk, disk):
                fits = False
            if memory or disk:
                self.origin |= CHARGED
            else:
                self.origin &= ~<uint8_t> CHARGED
            if fits or tries == 2 or self.is_one_large_answer(memory):
                return
            self.flags |= WORKING
            try:
                if tries == 0 and self.can_spill():
                    self.current.reader.spill(Spool(self.site.core.open_spool()))
                else:
                    self.give_up()
            except OSError as error:
                self.site.core.tell("a request body could not be kept", self.current, error)
            except BaseException as error:
                self.fail(error)
            if not working:
                self.flags &= ~<uint16_t> WORKING
            if self.flags & GONE:
                if not working:
                    self.bury()
                return

    cdef int64_t held(self, int64_t *disk) noexcept:
        """Bytes of memory that are held for this peer; `*disk`: those in a temporary file."""
        cdef RequestPoint request = self.current
        cdef int64_t size = 0
        if self.inbox != NULL:
            size += <int64_t> sizeof(Inbox) + self.inbox.room
            if self.inbox.head != NULL:
                size += <int64_t> sizeof(Head)
        # An answer that only waits for others of its round (`Gathering`) does not wait for its peer: all goes with it.
        if self.outbox is not None and self.flags & (HAS_ANSWER | BUSY | STREAMING | UPGRADED) == HAS_ANSWER and (
            not self.events & WRITABLE
        ):
            return 0
        if self.outbox is not None and self.events & WRITABLE:
            size += self.outbox.memory()
        if self.flags & UPGRADED:
            return size + (<WebSocket> self.named).memory()
        if request is not None:
            if type(request.owner) is bytes:
                size += PyBytes_GET_SIZE(request.owner)
            if type(request._body) is bytes:
                size += PyBytes_GET_SIZE(request._body)
            if request.reader is not None:
                size += <int64_t> request.reader.room
                if request.reader.spool is not None:
                    disk[0] = request.reader.spool.size
            if request._source is not None:
                if type(request._source) is Spool:
                    disk[0] = (<Spool> request._source).size
                elif type(request._source) is Intake:
                    size += (<Intake> request._source).waiting
                else:
                    size += _waiting(request._source)
        return size if size >= SMALLEST else 0

    cdef bint put_down(self, Budget budget, int64_t bytes) noexcept:
        cdef Holding *holding
        if bytes == 0:
            budget.release_at(self.fd)
            return True
        holding = budget.hold_at(self.fd, <void *> self, &CONNECTION)
        if holding == NULL:
            return False
        self.lags(holding, self.site.core.now_ns)    # what it has moved by now is to its credit
        return budget.change(holding, bytes, self.site.core.now_ns)

    # --- whether its peer keeps its rate --------------------------------------------------------

    cdef Owed owes(self, int64_t *moved) noexcept:
        """What is waited for from the peer, and how many bytes of it have moved."""
        cdef WebSocket socket
        cdef bint reads = self.outbox is not None and self.outbox.pending > 0 and self.events & WRITABLE != 0
        if self.flags & UPGRADED:
            socket = <WebSocket> self.named
            if socket.owes_message() and not (reads and self.outbox.pending > <int64_t> socket.held()):
                moved[0] = <int64_t> socket.partial.taken
                return OWES_SENDING
        if reads:
            moved[0] = self.delivered()
            return OWES_READING
        if self.flags & (UPGRADED | HAS_ANSWER) and not self.flags & STREAMING:
            return OWES_NOTHING
        if self.flags & (BUSY | STREAMING) and (
            self.current is None or self.current.reader is None or self.flags & HALTED
        ):
            return OWES_NOTHING
        moved[0] = self.bytes_in
        return OWES_SENDING

    cdef bint lags(self, Holding *holding, int64_t now_ns) noexcept:
        """Whether the peer is below its rate: what it moved does not pay for the time that has passed."""
        cdef Core core = self.site.core
        cdef int64_t moved = 0, credit_ns
        cdef Owed side
        if self.flags & (GONE | WORKING) == GONE:
            return False
        side = self.owes(&moved)
        credit_ns = core.read_credit_ns if side == OWES_READING else core.credit_ns
        if side == OWES_NOTHING or side != holding.side:
            holding.side = <uint8_t> side
            holding.moved = moved
            holding.kept_until_ns = now_ns + credit_ns
            return False
        if moved < holding.moved:        # of the next message
            holding.moved = 0
        pay(holding, moved, core.body_rate if side == OWES_SENDING else core.send_rate, credit_ns, now_ns)
        return now_ns > holding.kept_until_ns

    # --- when it has to go ----------------------------------------------------------------------

    cdef bint can_spill(self) noexcept:
        """Whether it holds a body that could as well be in a file."""
        return (
            not self.flags & (BUSY | CLOSE | HAS_ANSWER | UPGRADED) and self.current is not None
            and self.current.reader is not None and self.current.reader.sink is None
            and self.current.reader.spool is None and self.current.reader.size > 0
        )

    cdef bint is_complete(self) noexcept:
        """Whether it holds a request that is there in full and waits for its handler."""
        return (
            self.flags & (BUSY | HAS_ANSWER | UPGRADED) == BUSY and self.current is not None
            and self.current.reader is None and self.outbox is None
        )

    cdef bint is_one_large_answer(self, int64_t memory) noexcept:
        """Whether it is an answer that is too much by itself alone: one such is borne at a time, or an app whose
        answers are that large could give none."""
        cdef Budget budget = self.site.core.memory
        return (
            self.flags & (HAS_ANSWER | UPGRADED) == HAS_ANSWER and self.outbox is not None
            and self.outbox.pending > 0 and budget.used - memory <= budget.limit // 2
        )

    cdef int give_up(self) except -1:
        """Hold nothing more: a request that arrives is answered 503, a WebSocket is closed with 1013; what waits for
        somebody who does not read it can only be cut off."""
        cdef bint unread = self.outbox is not None and self.outbox.pending > 0
        if self.flags & UPGRADED and not unread:
            (<WebSocket> self.named).give_up(CODE_LATER, "the server is short of memory")
            self.flush()
            self.settle()
        elif self.current is None or self.flags & (BUSY | CLOSE | HAS_ANSWER | UPGRADED):
            if unread or self.flags & BUSY:
                self.site.transport.abort(self.fd)
            self.drop()
        else:
            self.refuse(503, NO_ROOM, RETRY)
            self.flush()
            self.settle()
        return 0

    cdef void make_room(self) noexcept:
        """Others need the room."""
        if self.flags & (GONE | WORKING):
            return
        self.flags |= WORKING
        try:
            self.give_up()
        except BaseException as error:
            self.fail(error)
        self.recount()
        self.flags &= ~<uint16_t> WORKING
        if self.flags & GONE:
            self.bury()

    cdef void review(self, int64_t now_ns) noexcept:
        """Now and then: what its handler or its peer has taken counts no more, and a message has a time limit."""
        cdef Core core = self.site.core
        cdef WebSocket socket
        if self.flags & (GONE | WORKING):
            return
        if self.flags & UPGRADED and core.message_limit_ns:
            socket = <WebSocket> self.named
            if socket.partial != NULL and is_overdue(core, socket, now_ns):
                self.flags |= WORKING
                try:
                    socket.give_up(CODE_POLICY, "a message was not complete in time")
                    self.flush()
                    self.settle()
                except BaseException as error:
                    self.fail(error)
                self.flags &= ~<uint16_t> WORKING
                if self.flags & GONE:
                    self.bury()
                    return
        self.recount()


cdef bint is_overdue(Core core, WebSocket socket, int64_t now_ns) noexcept:
    """Whether the message that has begun is late.  The limit is a grace period: one that comes at its rate has another.
    """
    cdef int64_t passed = now_ns - socket.partial.since_ns
    cdef int64_t moved = <int64_t> (socket.partial.taken - socket.partial.marked)
    if socket.partial.since_ns and socket.owes_message():
        if passed < core.message_limit_ns:
            return False
        if moved == 0 or <double> moved < <double> core.body_rate * (<double> passed / SECOND_NS):
            return True
    socket.partial.since_ns = now_ns
    socket.partial.marked = socket.partial.taken
    return False


cdef int64_t _waiting(object source) noexcept:
    try:
        return source.waiting
    except Exception:                # a sink that does not say
        return 0
