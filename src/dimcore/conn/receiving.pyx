"""What arrives, and what goes out when there is room again: request after request, in one pass without a copy.

    receive -> parse -> route -> handler -> write -> send

All requests that arrived together are answered in order with one send.  What a
socket does not take waits in an `Outbox`, and nothing more is read from that
peer until it is gone.  What cannot be used yet (half a head, requests behind a
slow handler) waits in an `Inbox`; a connection without either holds no buffer.
"""

cimport cython
from cpython.mem cimport PyMem_Free
from libc.stdint cimport int64_t

from dimcore.conn.core cimport Core
from dimcore.conn.handler cimport Conversation
from dimcore.conn.inbox cimport inbox_size
from dimcore.conn.request_start cimport Uptake
from dimcore.conn.sending cimport (
    BUSY, CLOSE, EXPECTED, GONE, HALTED, HANGUP, HAS_ANSWER, LINGER, LINGERING, PEER_DONE, READABLE, STREAMING,
    UPGRADED, WRITABLE,
)
from dimcore.conn.streamed_body cimport Push
from dimcore.http1.head cimport (
    FAULT_CUT, HEAD_PARTIAL, Head, fault_status, fault_text, head_is_blank, head_parse, head_reset,
)
from dimcore.index.states cimport ANSWERED, ESTABLISHED, MOVED_BYTES
from dimcore.limits cimport KIB, RECEIVE_BYTES
from dimcore.net.socket_io cimport STREAM_BROKEN
from dimcore.ws.websocket cimport WebSocket

cdef enum:
    READ_AHEAD = 64 * KIB        # input kept behind a slow handler before reading stops
    BODY_TURN = 4                # receives of a body that is streamed, before the other connections get their turn
    OUTPUT_BYTES = 64 * KIB      # answers gathered before one send


@cython.no_gc
cdef class Reading(Uptake):
    """Base of `Connection`; not for use by itself."""

    # --- the descriptor is readable -------------------------------------------------------------

    cdef int readable(self) except -1:
        cdef Core core = self.site.core
        cdef size_t room = RECEIVE_BYTES
        cdef Py_ssize_t size
        cdef bint waiting = self.flags & (BUSY | STREAMING) != 0
        if waiting:
            if self.current.reader is not None:
                return self.read_body()
            if inbox_size(self.inbox) >= READ_AHEAD or not core.memory.has_room(READ_AHEAD, True):
                return self.watch(HANGUP)
            room = READ_AHEAD - inbox_size(self.inbox)
        size = self.site.transport.read(self.fd, core.inbuf, room)
        if size > 0:
            self.bytes_in += size
            if waiting or self.flags & (LINGERING | CLOSE | UPGRADED | EXPECTED):
                if self.flags & LINGERING:
                    return self.linger_on(size)
                if self.flags & (LINGERING | CLOSE | EXPECTED) == EXPECTED:
                    return self.greet(core.inbuf, size)
                if self.flags & (LINGERING | CLOSE | UPGRADED) == UPGRADED:
                    (<WebSocket> self.named).take(core.inbuf, size)
                    return self.settle()
                if waiting and not self.flags & (CLOSE | GONE):
                    self.keep_input(core.inbuf, size)
                return 0
            if self.inbox == NULL:
                return self.run(core.inbuf, size)
            self.keep_input(core.inbuf, size)
            return self.run_inbox()
        if size == 0:
            return self.end_of_stream()
        if size == STREAM_BROKEN:
            self.drop()
        return 0

    cdef int greet(self, const char *data, size_t size) except -1:
        """The PROXY header first, then what came behind it."""
        cdef int length = self.take_introduction(data, size)
        if length == 0:
            return 0
        if self.inbox == NULL:
            return self.run(data + length, size - length) if size > <size_t> length else 0
        self.use_input(length)
        return self.run_inbox() if self.inbox != NULL else 0

    cdef int read_body(self) except -1:
        """A body whose handler runs already: several receives a turn, since each turn wakes its thread."""
        cdef Core core = self.site.core
        cdef size_t used
        cdef Py_ssize_t size
        for _ in range(BODY_TURN):
            size = self.site.transport.read(self.fd, core.inbuf, RECEIVE_BYTES)
            if size == 0:
                return self.end_of_stream()
            if size < 0:
                if size == STREAM_BROKEN:
                    self.drop()
                return 0
            self.bytes_in += size
            used = self.take_body(core.inbuf, size)
            if used < <size_t> size and not self.flags & (CLOSE | GONE):
                self.keep_input(core.inbuf + used, size - used)
            if size < RECEIVE_BYTES or self.flags & (HALTED | GONE) or not self.flags & (BUSY | STREAMING):
                return 0
            if self.current is None or self.current.reader is None:
                return 0
        return 0

    cdef int end_of_stream(self) except -1:
        """The peer sends no more; it still gets the answer to what it asked in full.

        One that is gone looks the same until something is sent.  So `may_be_alone` has a limit, counted from here
        and from whatever is sent."""
        self.flags |= PEER_DONE
        if self.flags & (BUSY | STREAMING):
            if self.current.reader is not None:
                return self.refuse_body(FAULT_CUT)
            self.move(MOVED_BYTES)
            self.tell_peer_done()
            if isinstance(self.current.coroutine, Conversation):
                (<Conversation> self.current.coroutine).peer_done()
            # End-of-file stays readable, so that is not watched for; `settle` closes after the answer.
            return self.watch(HANGUP)
        if self.outbox is not None and self.outbox.pending:
            return self.watch(WRITABLE)      # it was read on beside an answer that it may still take
        if self.current is not None and not self.flags & (HAS_ANSWER | CLOSE):
            self.refuse_rest(FAULT_CUT)
            self.flush()
            return self.settle()
        self.drop()
        return 0

    # --- request after request ------------------------------------------------------------------

    cdef int run(self, const char *data, size_t size) except -1:
        """Work through bytes that lie outside the inbox; keep what is left."""
        cdef size_t at = self.step(data, size)
        if self.site.core.put_off and at == size:
            self.put_off()
        else:
            self.flush()
        if at < size and not self.flags & (GONE | CLOSE):
            self.keep_input(data + at, size - at)
        return self.settle()

    cdef int run_inbox(self) except -1:
        """The same for bytes in the inbox."""
        cdef size_t at
        if inbox_size(self.inbox) == 0:
            return self.settle()
        at = self.step(self.inbox.data + self.inbox.start, self.inbox.end - self.inbox.start)
        self.flush()
        if self.outbox is None:
            self.release_request()       # while its bytes are where they were: nothing need be copied
        self.use_input(at)
        return self.settle()

    cdef size_t step(self, const char *data, size_t size) except? 0:
        """Serve request after request; the number of bytes that are dealt with."""
        cdef Core core = self.site.core
        cdef Head *head
        cdef size_t at = 0
        cdef int length
        while not self.flags & (BUSY | CLOSE | GONE | UPGRADED) and self.outbox is None:
            if self.current is not None and self.current.reader is not None:
                at += self.take_body(data + at, size - at)
                if self.current is not None and self.current.reader is not None:
                    break
                continue
            if at == size:
                break
            if self.inbox != NULL and self.inbox.head != NULL:
                head = self.inbox.head
            else:
                head = core.head
                head_reset(head)
            length = head_parse(head, data + at, size - at, &core.head_limits)
            if length < 0:
                if length == HEAD_PARTIAL:
                    if self.requests and head_is_blank(head) and head == core.head:
                        at = size        # an empty line behind a request: neither a request nor a sign of life
                    else:
                        self.half_head(head)
                    break
                self.release_request()
                if self.current is None:
                    self.open_request()
                self.tell_line(head, data + at)
                self.refuse(fault_status(head.fault), fault_text(head.fault), None)
                at = size
                break
            if head != core.head:
                core.head[0] = head[0]
                PyMem_Free(self.inbox.head)
                self.inbox.head = NULL
            at += self.begin(data + at, size - at, length)
            if core.writer.size >= OUTPUT_BYTES:
                self.flush()
        if self.flags & (CLOSE | UPGRADED):
            if self.flags & UPGRADED:
                self.open_socket(data + at, size - at)
            elif at < size or size == RECEIVE_BYTES:
                self.flags |= LINGER     # what follows the last answer is dropped, and may not be all
            return size
        return at

    # --- a WebSocket ----------------------------------------------------------------------------

    cdef int open_socket(self, const char *data, size_t size) except -1:
        """The handler said 101; `data` is what has come of the other protocol."""
        cdef WebSocket socket = <WebSocket> self.named
        self.move(ESTABLISHED)
        socket.opened()
        if self.flags & GONE:
            return 0
        self.release_request()           # while its bytes are where they were
        if self.flags & GONE:            # the access log's doing
            return 0
        self.move(ANSWERED)
        return socket.take(<char *> data, size)

    # --- the descriptor is writable -------------------------------------------------------------

    cdef int writable(self) except -1:
        cdef int64_t moved = self.outbox.flush(self.site.transport, self.fd)
        cdef Push flow
        if moved == STREAM_BROKEN:
            self.drop()
            return 0
        self.bytes_out += moved
        if self.outbox.pending:          # of an answer that was put off this is the first try
            return 0 if self.events & WRITABLE else self.hold()
        if self.outbox.flow is not None:
            self.spend_credit()
        if self.flags & STREAMING:
            self.watch(HANGUP if self.flags & (PEER_DONE | HALTED) else READABLE)
            flow = <Push> self.outbox.flow
            flow.drained()               # which may write, or end it
            return 0 if self.flags & (STREAMING | GONE) or self.outbox is not None else self.go_on()
        if self.outbox.flow is not None:
            self.pull()
            if self.outbox is not None or self.flags & GONE:
                return 0
        self.outbox = None
        self.release_request()
        if self.flags & UPGRADED:
            (<WebSocket> self.named).drained()
        return self.go_on()

    cdef int go_on(self) except -1:
        """The answer is out: read on, or close."""
        self.settle()
        if self.flags & GONE or self.outbox is not None:
            return 0
        if self.flags & BUSY:            # what went out was the answer before; else the loop would spin meanwhile
            return self.watch(HANGUP if self.flags & (PEER_DONE | HALTED) else READABLE)
        if not self.flags & CLOSE:
            self.watch((<WebSocket> self.named).wanted() if self.flags & UPGRADED else READABLE)
            return self.run_inbox()
        return 0
