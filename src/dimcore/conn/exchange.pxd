cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from dimcore.conn.core cimport Core, Site, leave_process
from dimcore.conn.phase cimport GONE, PHASES, READING, WORKING, phase_may
from dimcore.conn.streamed_body cimport Outflow, Push
from dimcore.http.request cimport RequestPoint
from dimcore.index.connection_point cimport ConnectionPoint
from dimcore.index.states cimport connection_next
from dimcore.net.socket_io cimport Outbox, Peer

cdef enum:
    APART_BYTES = 16384      # a body or a piece of one is sent from where it lies, from here on

cdef enum Event:
    READABLE = 1             # as in the selectors module
    WRITABLE = 2
    HANGUP = 4               # an error or a hang-up alone, where the loop can tell

cdef enum Origin:
    COUNTED = 1              # among the connections of its address
    UNNAMED = 2              # the proxy named nobody: who is behind it is not known
    AT_DOOR = 4              # turned away: in no pool
    CHARGED = 8              # the budgets have something under its descriptor
    UNCOUNTED = 16           # was sent something while it was not served: `Core.uncounted` has it


@cython.no_gc
cdef class Exchange(ConnectionPoint):
    cdef readonly Site site
    cdef Peer peer                   # the client; whom the proxy named, once it has
    cdef int fd                      # -1 once closed, so that no late call can meet another's descriptor
    cdef uint16_t state              # Phase and Facts; written by `become`, `note` and `unnote` alone
    cdef uint8_t origin              # Origin: how it came
    cdef uint8_t events              # what the loop watches; 0: nothing
    cdef readonly uint32_t requests
    cdef readonly int64_t bytes_in
    cdef readonly int64_t bytes_out
    cdef Outbox outbox               # None while the peer has everything
    cdef RequestPoint current        # the request being served, or None

    # --- what carries it: the protocol's framing, and how bytes go out ---
    cdef int put_head(self, int status, object headers, int64_t length, uint32_t flags, const char *kind) except -1
    cdef int put_interim(self, int status, bytes fields) except -1
    cdef int put_piece(self, Outflow flow, bytes piece) except -1
    cdef int frame_stream(self, Outflow flow) except -1
    cdef int end_output(self) except -1
    cdef int flush(self) except -1
    cdef int send_pieces(self, list pieces, Py_ssize_t total, bytes tail) except -1
    cdef int send_apart(self, object body) except -1
    cdef int send_late(self, bytes data) except -1
    cdef int hold(self) except -1
    cdef int64_t delivered(self) noexcept
    cdef int watch(self, uint8_t events) except -1
    cdef void abort(self) noexcept
    # --- what follows, and how it ends ---
    cdef int answer(self, object result, object error) except -1
    cdef int go_on(self) except -1
    cdef int settle(self) except -1
    cdef int refuse_body(self, int fault) except -1
    cdef void fail(self, object error) noexcept
    cdef void timed_out(self) noexcept
    cdef void drop(self) noexcept
    cdef void bury(self) noexcept

    # --- the same for all ---
    @cython.final
    cdef inline void move(self, int event) noexcept:
        """Another layer, by an event of the table; one with no way from here changes nothing."""
        cdef int layer = connection_next(self.layer, event)
        if layer:
            self.site.core.connection_index.relink(self, self.spiral, layer, self.site.core.now_ns)

    cdef int count_later(self) except -1
    cdef bint sends(self, Push flow) except -1
    # the body of its request
    cdef int call_for_body(self) except -1
    cdef int forgo_body(self) except -1
    cdef int end_body(self, bytes error) except -1
    # a body of its answer that is made while it is sent
    cdef int start_stream(self, Outflow flow) except -1
    cdef int pull(self) except -1
    cdef int finish_flow(self, Outflow flow) except -1
    cdef int write_piece(self, Outflow flow, bytes piece) except -1
    cdef int write_pieces(self, Outflow flow, list pieces, Py_ssize_t total, bint last) except -1
    cdef int end_stream(self) except -1
    cdef int cut_short(self, object error) except -1
    cdef bint waits_for_source(self) noexcept
    cdef bint may_be_alone(self) noexcept
    # whether its peer keeps its rate
    cdef int64_t credit_left(self, int64_t now_ns, int64_t *moved) noexcept
    cdef int spend_credit(self) except -1


# --- where it stands: nobody else writes the word -----------------------------------------------

cdef inline void become(Exchange exchange, int phase) noexcept:
    """Enter a phase.  One that is gone stays so: what it was about to do has no effect any more."""
    if not phase_may(exchange.state & PHASES, phase):
        if not exchange.state & GONE:
            tell_bad_phase(exchange, phase)
        return
    exchange.state = <uint16_t> (exchange.state & ~PHASES | phase)


cdef inline void note(Exchange exchange, int facts) noexcept:
    exchange.state |= <uint16_t> facts


cdef inline void unnote(Exchange exchange, int facts) noexcept:
    exchange.state &= ~<uint16_t> facts


cdef inline void come_alive(Exchange exchange) noexcept:
    """What `__new__` alone makes is gone; whoever gives it a carrier calls this, once."""
    exchange.state = READING


cdef void tell_bad_phase(Exchange exchange, int phase) noexcept

# --- an event: what happens to an exchange in one go --------------------------------------------

ctypedef int (*Act)(Exchange exchange, void *given) except -1

# For whoever has the worker's memory already, or needs none: time limits and budgets, between two events.
cdef void intervene(Exchange exchange, Act act, void *given) noexcept
cdef void wind_up(Exchange exchange) noexcept


cdef inline void through(Exchange exchange) noexcept:
    """An event is served: what it left behind is counted, and what closed meanwhile can be given back."""
    cdef Core core = exchange.site.core
    if core.forked:
        leave_process()
    exchange.recount()
    unnote(exchange, WORKING)
    if exchange.state & GONE or exchange.current is not None:
        wind_up(exchange)
    core.leave()


cdef inline int serve(Exchange exchange, Act act, void *given, bint joins) except -1:
    """Take the worker's scratch memory, do something, and leave; a fault ends this exchange and nobody else's.

    Args:
        joins: within an event of the same exchange it is a part of that; else a UsageError, as for any other.
    """
    cdef bint nested = joins and exchange.state & WORKING
    if not nested:
        exchange.site.core.enter()
        note(exchange, WORKING)
    try:
        act(exchange, given)
    except BaseException as error:
        exchange.fail(error)
        if isinstance(error, KeyboardInterrupt):     # somebody wants the whole program to stop
            raise
    finally:
        if not nested:
            through(exchange)
    return 0
