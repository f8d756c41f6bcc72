"""A live connection as the loop, threads and coroutines see it: each of its methods is one event.

    Channel    what is sent, and what the peer has not taken yet
    Exchange   the answer to a request
    Leaving    how it ends
    Charging   what it holds, for the budgets
    Door       what comes before the first request
    Uptake     a request as it comes in
    Reading    what arrives, request after request
    Connection the events

Each of these is the base of the next and knows nothing of it, but for what it
leaves open: `Channel` says that a connection can `drop`, and `Leaving` how.

One request of a connection is in flight at a time, so answers cannot overtake
each other, wherever their handlers run.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint16_t

from dimcore.conn.answering cimport discard_unsent
from dimcore.conn.core cimport Core, Site
from dimcore.conn.handler cimport Conversation
from dimcore.conn.inbox cimport inbox_size
from dimcore.conn.receiving cimport Reading
from dimcore.conn.sending cimport BUSY, CLOSE, GONE, HANGUP, PEER_DONE, READABLE, STREAMING, UPGRADED, WORKING, WRITABLE
from dimcore.conn.streamed_body cimport Push
from dimcore.http.request cimport RequestPoint
from dimcore.index.states cimport MOVED_BYTES
from dimcore.net.socket_io cimport Peer
from dimcore.ws.websocket cimport WebSocket

from dimcore.errors import UsageError


@cython.final
@cython.no_gc
cdef class Connection(Reading):
    """A live connection; made by an Acceptor, never by hand.

    Python sees the point (`id`, `address`, `age_seconds` ...) and its tallies:
    `requests` begun, `bytes_in`, `bytes_out`, `request` in flight.

    Lifetime: held by its pool and the loop until it is closed.  The collector does
        not look into it: a worker that is given up has to close its connections.
    Thread-safety: only the thread of its loop may call a method; another one gets a UsageError.  `close` and the
        attributes are for any thread.
    """

    def __init__(self):
        raise UsageError("connections are made by accepting them")

    def on_ready(self, int mask):
        """The descriptor is readable (1), writable (2) or both.

        Raises:
            UsageError: called from within a handler; nothing was done.
            KeyboardInterrupt: it hit the handler, whose connection was closed.
        """
        cdef Core core
        if self.flags & GONE:
            return
        core = self.site.core
        core.enter()
        self.flags |= WORKING
        try:
            if self.events == HANGUP:
                # Both bits at once are an error or a hang-up; one alone was found out before this was watched for.
                if mask == READABLE | WRITABLE:
                    self.drop()
                return
            if mask & WRITABLE and self.outbox is not None:
                self.writable()
            if mask & READABLE and self.events & READABLE and not self.flags & GONE:
                self.readable()
        except BaseException as error:
            self.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self.through()
        if core.gathering.due:
            core.gathering.release()
        if core.overdrawn:
            core.relieve()

    def complete(self, request, result, error=None):
        """Answer a request whose handler ran elsewhere; one that nobody waits for any more is dropped.

        Args:
            request: what `offload` was given.
            result: what the handler returned.
            error: what it raised, or None.

        Raises:
            UsageError: called from within a handler; the request still waits.
        """
        cdef Core core
        if not self.flags & GONE:
            core = self.site.core
            core.check_thread()
        if self.flags & GONE or self.current is not request or not self.flags & BUSY:
            discard_unsent(result)
            return
        core = self.site.core
        core.enter()
        self.flags |= WORKING
        try:
            self.flags &= ~<uint16_t> BUSY
            core.clock()
            self.answer(result, error)
            self.flush()
            self.go_on()
        except BaseException as problem:
            self.fail(problem)
            if isinstance(problem, KeyboardInterrupt):
                raise
        finally:
            self.through()

    def push(self, Push flow not None, bytes piece not None):
        """Send a piece of a pushed body; see `Push.write`."""
        cdef Core core
        cdef bint nested
        if self.flags & GONE:
            return True
        core = self.site.core
        core.check_thread()
        if self.outbox is None or self.outbox.flow is not flow:
            return True
        nested = self.flags & WORKING != 0       # by its `on_drain`
        if not nested:
            core.enter()
            self.flags |= WORKING
        try:
            core.clock()
            flow.count(PyBytes_GET_SIZE(piece))
            if PyBytes_GET_SIZE(piece):
                if self.flags & PEER_DONE:
                    self.move(MOVED_BYTES)
                self.write_piece(flow, piece)
            return self.flags & GONE != 0 or self.outbox.pending == 0
        except BaseException as error:
            self.cut_short(error)
            return True
        finally:
            if not nested:
                self.through()

    def end_push(self, Push flow not None, error):
        """End a pushed body; see `Push.end`."""
        cdef Core core
        cdef bint nested
        if self.flags & GONE:
            return
        core = self.site.core
        core.check_thread()
        if self.outbox is None or self.outbox.flow is not flow:
            return
        nested = self.flags & WORKING != 0
        if not nested:
            core.enter()
            self.flags |= WORKING
        try:
            core.clock()
            if error is None:
                try:
                    flow.finish(core.writer)
                except Exception as missing:
                    error = missing
            if error is not None:
                self.cut_short(error)
                return
            if self.current.reader is not None:
                self.forgo_body()
            self.end_stream()
            if not nested:           # else whoever called `on_drain` goes on
                self.go_on()         # which may run the handler of the next request
        except BaseException as problem:
            self.fail(problem)
            if isinstance(problem, KeyboardInterrupt):
                raise
        finally:
            if not nested:
                self.through()

    def upgrade_late(self, RequestPoint request not None, endpoint, handler, *, headers=None, protocol=None,
                     codec=None):
        """`upgrade` for a handler that has waited: the request is answered with 101, and the socket opens at once.

        To be called on the loop, by the coroutine that was to answer the request; what that returns is not looked
        at any more, nor what it raises, and when the connection ends it is the `handler` that is told.

        Returns:
            False as `upgrade`: the request is still to be answered, by what the coroutine returns.

        Raises:
            UsageError, ResponseError: as `upgrade`; nothing was changed.
        """
        cdef Core core
        cdef bint agreed = False
        if self.site is None:
            raise UsageError("connections are made by accepting them")
        core = self.site.core
        core.check_thread()
        if self.current is not request or self.flags & (BUSY | GONE | STREAMING | WORKING) != BUSY:
            raise UsageError("nobody waits for the answer to this request any more")
        core.enter()
        self.flags |= WORKING
        self.flags &= ~<uint16_t> BUSY
        try:
            agreed = self.upgrade(request, endpoint, handler, headers=headers, protocol=protocol, codec=codec)
        finally:
            if not agreed:
                self.flags |= BUSY
                self.through()
        if not agreed:
            return False
        try:
            self.watch(READABLE)         # not while it was waited with too much that came meanwhile
            if inbox_size(self.inbox):
                self.open_socket(self.inbox.data + self.inbox.start, self.inbox.end - self.inbox.start)
            else:
                self.open_socket(NULL, 0)
            self.free_inbox()
            self.settle()
        except BaseException as error:
            self.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self.through()
        return True

    def read_on(self):
        """See `Channel.read_on`."""
        if self.flags & GONE or not self.flags & UPGRADED:
            return
        self.site.core.enter()
        self.flags |= WORKING
        try:
            (<WebSocket> self.named).take_unread()
            self.settle()
        except BaseException as error:
            self.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self.through()

    def close(self):
        """Close now; while it is being served, as by its own handler, after the answer.

        A WebSocket is told, and closed when its peer agrees; called again it is closed at once.

        From any thread: on another one than the loop's it is done by the loop, soon.

        Raises:
            UsageError: another thread, and the core was attached without `from_thread`.
        """
        cdef Core core
        if self.flags & GONE:
            return
        core = self.site.core
        if core.is_foreign():
            if core.from_thread is None:
                core.check_thread()
            core.from_thread(self.close)
            return
        if self.flags & UPGRADED and (<WebSocket> self.named).depart():
            return
        if self.flags & WORKING:
            self.flags |= CLOSE
        else:
            self.drop()

    def tell_end(self):
        """Have an ASGI app whose answer is on its way learn, by ``http.disconnect``, that there is little time left."""
        if self.current is not None and isinstance(self.current.coroutine, Conversation):
            (<Conversation> self.current.coroutine).peer_done()

    @property
    def request(self):
        """The RequestPoint in flight, or None.  It stays valid for as long as it is kept."""
        return self.current

    @property
    def closing(self):
        """Whether it ends with the answer at hand, or has ended.

        A source of an endless answer may ask before each piece, on whichever thread, and say goodbye: once the
        server is told to stop it has the time of `drain`, and is ended with a GeneratorExit if it goes on.
        """
        return self.flags & (CLOSE | GONE) != 0 or self.site is None or self.site.core.draining

    @property
    def half_closed(self):
        """Whether the peer sends no more, or is gone: the two look alike until something is sent.

        Any thread may ask.  To be told at once, set ``request.on_peer_done``.
        """
        return self.flags & (PEER_DONE | GONE) != 0


cdef Connection open_connection(Site site, int fd, const Peer *peer):
    """A connection over an accepted descriptor, in no index yet; the descriptor is its own, also if this fails."""
    cdef Connection connection
    try:
        connection = Connection.__new__(Connection)
    except MemoryError:
        site.transport.close(fd)
        raise
    connection.site = site
    connection.peer = peer[0]
    connection.fd = fd
    connection.flags = connection.origin = 0
    return connection
