"""A request as it comes in: from its head to the handler, with the body in between.

    half_head -> begin -> take_body -> (divert) -> dispatch

What is known to be wrong with a request by its head alone is said here: an
expectation, a body that is too long, a pool without room.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp

from dimcore.conn.admission cimport RETRY, Door
from dimcore.conn.core cimport Core
from dimcore.conn.handler cimport Conversant
from dimcore.conn.inbox cimport inbox_keep_head, inbox_new
from dimcore.conn.sending cimport CLOSE, GONE, LINGER
from dimcore.http.body_reader cimport BodyReader
from dimcore.http.request cimport RequestPoint
from dimcore.http.spool cimport Spool
from dimcore.http1.body cimport BODY_DONE, BODY_FAILED, BODY_MORE, BodyResult
from dimcore.http1.head cimport (
    CHUNKED, EXPECT_CONTINUE, EXPECT_OTHER, FAULT_BODY_LENGTH, FAULT_EXPECTATION, Head, fault_status, fault_text,
)
from dimcore.index.states cimport HANDLER_FOUND, REQUEST_BEGUN
from dimcore.limits cimport ACTIVE, PARSED, POOL_API


@cython.no_gc
cdef class Uptake(Door):
    """Base of `Connection`; not for use by itself."""

    cdef int half_head(self, Head *head) except -1:
        """Half a head is here: a request at stage *received*, and the parser's state kept for the rest."""
        # What is answered goes out first: a peer that does not read it is held to that, not to this head.
        self.flush()
        if self.outbox is not None or self.flags & GONE:
            return 0
        self.release_request()
        if self.current is None:
            self.open_request()
        if head.info.method_length:
            self.current.info.method = head.info.method
        if self.inbox == NULL:
            self.inbox = inbox_new()
        if self.inbox.head == NULL:
            inbox_keep_head(self.inbox, head)
        return 0

    cdef size_t begin(self, const char *data, size_t size, int length) except? 0:
        """Serve the request whose parsed head is in `Core.head`; returns the bytes used."""
        cdef Core core = self.site.core
        cdef Head *head = core.head
        cdef RequestPoint request
        cdef const char *path
        cdef Py_ssize_t path_size = 0
        cdef int64_t now = core.now_ns
        self.release_request()
        if self.flags & GONE:            # the access log's doing
            return length
        request = self.current
        if request is None:
            request = core.take_request()
            request.adopt(head, data)
            request.connection = self
            request.head_us = 0
            core.requests.enter(request, PARSED, now)
            core.requests.totals.requests += 1
            self.current = request
        else:
            # The index knows it under OTHER, and whoever looked at it may have decoded what was not there yet.
            request.forget()
            request.connection = self
            core.requests.classify(request, head.info.method, now)
            request.head_us = <uint32_t> min((now - request.started_ns) // 1000, <int64_t> 0xffffffff)
            request.adopt(head, data)
        core.head = &core.heads[head == &core.heads[0]]
        request.started_ns = now
        request.routed_ns = request.body_size = 0
        path = request.path_bytes(&path_size)
        if self.layer != ACTIVE:
            self.move(REQUEST_BEGUN)
        self.requests += 1
        if self.requests == 1 and self.site.splits_api and path_size >= 5 and memcmp(path, b"/api/", 5) == 0:
            if not core.pools.transfer(self, POOL_API, now):
                core.turned_away("max-api", &self.peer)
                self.refuse(503, b"the api pool is full", RETRY)
                return length
        if head.info.flags & EXPECT_OTHER:
            self.refuse(fault_status(FAULT_EXPECTATION), fault_text(FAULT_EXPECTATION), None)
            return length
        request.route = self.site.router.find(
            request.info.method, data + request.info.method_at, request.info.method_length, path, path_size
        )
        if request.route is None and self.site.fallback is not None:
            request.route = self.site.fallback.find(
                request.info.method, data + request.info.method_at, request.info.method_length, path, path_size
            )
        if head.info.flags & CHUNKED or head.info.content_length > 0:
            if head.info.content_length > self.most_body():
                self.refuse(fault_status(FAULT_BODY_LENGTH), fault_text(FAULT_BODY_LENGTH), None)
                return length
            if head.info.content_length > 0 and <int64_t> (size - length) >= head.info.content_length:
                request.body_at = data + length
                request.body_size = <Py_ssize_t> head.info.content_length
                length += <int> head.info.content_length
            elif request.route is None:
                self.flags |= CLOSE | LINGER     # answered without its body: the framing ends here
            else:
                self.start_body(head.info.flags & CHUNKED)
                if size > <size_t> length:
                    request.info.flags &= ~<uint32_t> EXPECT_CONTINUE    # the peer did not wait to be told
                elif self.wants_at_once():
                    self.divert(request.reader)
                else:
                    self.call_for_body()
                return length
        if request.route is None:
            self.not_routed(path, path_size)
        else:
            self.dispatch()
        return length

    cdef size_t take_body(self, const char *data, size_t size) except? 0:
        """Take in more of the body; the number of bytes that were its own."""
        cdef size_t used = 0
        cdef BodyReader reader = self.current.reader
        cdef BodyResult result
        try:
            result = reader.take(data, size, &used)
            self.current.body_size = <Py_ssize_t> reader.body.total
            if result == BODY_MORE and (reader.size > self.site.core.body_memory or self.wants_at_once()):
                self.divert(reader)
        except OSError as error:         # the disk is full, as a rule
            self.site.core.tell("a request body could not be kept", self.current, error)
            self.refuse(503, b"there is no room for the request body", RETRY)
            return size
        if result == BODY_FAILED:
            if reader.sink is not None:      # the handler has begun
                self.refuse_body(reader.body.fault)
            else:
                self.refuse(fault_status(reader.body.fault), fault_text(reader.body.fault), None)
            return size
        if result == BODY_DONE:
            if reader.sink is not None:
                self.end_body(b"")
                self.site.core.requests.step(self.current, HANDLER_FOUND, self.site.core.now_ns)
            else:
                self.current.take_body(reader.whole())
                self.current.reader = None
                self.dispatch()
        return used

    cdef int divert(self, BodyReader reader) except -1:
        """More than is to be held in memory: to the handler, if it asked for that and can wait, else to a file.

        A handler that did not ask gets the whole body, on a thread too: a client that sends slowly then holds no
        thread, however many such clients there are."""
        cdef Core core = self.site.core
        if reader.sink is not None or reader.spool is not None:
            return 0
        if not self.current.route.streaming or not self.current.route.blocking and core.runner is None:
            self.call_for_body()
            return reader.spill(Spool(core.open_spool()))
        if self.current.info.flags & EXPECT_CONTINUE:
            self.pause_body()            # until the handler wants it: whether it does, only it can tell
        handler = self.current.route.handler
        if isinstance(handler, Conversant):
            sink = (<Conversant> handler).open_body(self)
        else:
            sink = core.open_stream(self) if self.current.route.blocking else core.open_body(self)
        self.current.take_body(sink)
        reader.pour(sink)
        return self.dispatch()
