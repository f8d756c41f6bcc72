# cython: nonecheck=True
# What `__new__` alone makes has None for each of its parts: that is an exception, not a crash.
"""A WebSocket for a coroutine: messages wait in a queue, and the socket is not read while that is full.

    socket -> heard -> [ queue ] -> await receive
                          │ 64 KiB: pause, half of it: resume

Meant to be built on, by the coroutine form of handlers (`async_socket.pyx`) and by
gateways whose programs are coroutines.  Whoever does

* calls `start` in `opened`, and `stop` when the program has ended;
* says in `given` what a message is for its program, and in `finished` what the end
  is, or raises;
* gives out ``ReceiveWait``s for what its program awaits, `put_out` for sending and
  `end` for the end.

A coroutine that waits here runs on within the event that brought the message (see
`wakeup.pyx`), with what it sends gathered into one system call.  One coroutine may
receive at a time, any number may send.
"""

cimport cython
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from dimcore.aio.waiters cimport DONE
from dimcore.aio.wakeup cimport Wakeup, make_wakeup
from dimcore.conn.core cimport Core
from dimcore.conn.phase cimport CLOSE, GONE
from dimcore.limits cimport KIB
from dimcore.ws.websocket cimport CLOSE_SENT, LAGS, PAUSED, SLOW_WAIT, Listener, WebSocket

from dimcore.errors import ConnectionClosed, UsageError

cdef extern from "Python.h":
    int PyUnicode_KIND(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

cdef enum:
    QUEUE_BYTES = 64 * KIB       # that wait for the program before the socket is paused
    MESSAGE_COST = 64            # what a message counts for beside its bytes
    CODE_LOST = 1006


cdef inline int64_t _weight(object message) noexcept:
    if PyBytes_CheckExact(message):
        return MESSAGE_COST + PyBytes_GET_SIZE(message)
    return MESSAGE_COST + PyUnicode_GET_LENGTH(message) * PyUnicode_KIND(message)


cdef class SocketQueue(Listener):
    """See the module."""

    def __cinit__(self):
        self.items = []
        self.close_reason = ""

    # --- what the socket tells ------------------------------------------------------------------

    cdef int heard(self, WebSocket ws, object message) except -1:
        if self.deaf:
            return 0
        self.put(message)
        return self.wakeup.set()

    cdef int ended(self, WebSocket ws, int code, str reason) except -1:
        self.over = True
        self.close_code = code
        self.close_reason = reason
        if self.wakeup is not None:
            self.wakeup.set_soon()
        lagging, self.lagging = self.lagging, None
        _release(lagging)
        ending, self.ending = self.ending, None
        _release(ending)
        return 0

    cdef int drained(self, WebSocket ws) except -1:
        lagging, self.lagging = self.lagging, None
        _release(lagging)
        return 0

    cdef int leaving(self, WebSocket ws, int code, str reason) except -1:
        if self.close_code == 0:
            self.close_code = code
            self.close_reason = reason
        return 0

    cdef int64_t waiting(self) noexcept:
        return self.weight + Listener.waiting(self)

    # --- the program's beginning and end --------------------------------------------------------

    cdef int start(self, WebSocket ws) except -1:
        """To be called first: the socket is open.  After an error `stop` alone may follow.

        Raises:
            UsageError: the worker runs no asyncio loop.
        """
        cdef Core core = ws.connection.site.core
        self.socket = ws
        if core.host.runner is None:
            raise UsageError("this worker runs no asyncio loop: set loop to asyncio or uvloop")
        self.loop = core.host.runner.loop
        self.wakeup = make_wakeup(self.loop)
        return 0

    cdef int stop(self, int code) except -1:
        """The program takes no message any more: say goodbye, unless somebody has."""
        self.deaf = True
        self.items = []
        self.first = 0
        self.weight = 0
        return self.socket.goodbye(code, "")

    # --- messages in ----------------------------------------------------------------------------

    cdef int put(self, object message) except -1:
        self.items.append(message)
        self.weight += _weight(message)
        if self.weight >= QUEUE_BYTES:
            self.socket.pause()
        return 0

    cdef object take(self):
        """The oldest message; there has to be one."""
        message = self.items[self.first]
        if self.first + 1 == len(self.items):
            self.items.clear()
            self.first = 0
        else:
            self.items[self.first] = None
            self.first += 1
            if self.first >= 64 and self.first * 2 >= len(self.items):
                del self.items[:self.first]
                self.first = 0
        self.weight -= _weight(message)
        if self.socket.flags & PAUSED and self.weight <= QUEUE_BYTES // 2:
            self.socket.resume()
        return message

    cdef object receive_next(self, bint iterates):
        """What there is to receive, or the wakeup to wait for."""
        if len(self.items) > self.first:
            return self.given(self.take())
        if self.over:
            return self.finished(iterates)
        self.wakeup._asyncio_future_blocking = True
        return self.wakeup

    cdef object given(self, object message):
        """What a message is for the program."""
        return message

    cdef object finished(self, bint iterates):
        """What the end is for the program."""
        if iterates:
            raise StopAsyncIteration
        self.raise_closed()

    cdef int raise_closed(self) except -1:
        cdef int code = self.close_code or CODE_LOST
        cdef str why = f"{code}, {self.close_reason}" if self.close_reason else str(code)
        raise ConnectionClosed(f"the WebSocket is closed: {why}", code, self.close_reason)

    cdef int check_thread(self) except -1:
        return 0 if self.socket is None else self.socket.check_thread()

    # --- messages out ---------------------------------------------------------------------------

    cdef WebSocket opened_socket(self):
        if self.socket is None:
            raise UsageError("the WebSocket is not open yet: its handshake is not answered")
        return self.socket

    cdef object put_out(self, object message):
        """Send a message; what to await for the peer to keep up.

        Raises:
            ConnectionClosed: the socket is not open any more.
            UsageError, UnicodeEncodeError: as `WebSocket.send`.
        """
        cdef WebSocket ws = self.opened_socket()
        if ws.send(message):
            return DONE
        if ws.flags & CLOSE_SENT or ws.connection.state & (GONE | CLOSE):
            self.raise_closed()
        if ws.flags & LAGS and ws.endpoint.slow == SLOW_WAIT:
            return _make_patience(self, False)
        return DONE

    cdef object end(self):
        """What to await for the end."""
        return DONE if self.over else _make_patience(self, True)

    cdef object open_future(self, bint of_end):
        """Done when the peer has caught up, or at the end; None where that is so already."""
        if self.over or not of_end and not self.socket.flags & LAGS:
            return None
        future = self.loop.create_future()
        if of_end:
            if self.ending is None:
                self.ending = []
            self.ending.append(future)
        else:
            if self.lagging is None:
                self.lagging = []
            self.lagging.append(future)
        return future


cdef int _release(list waiting) except -1:
    if waiting is not None:
        for future in waiting:
            if not future.done():
                future.set_result(None)
    return 0


@cython.final
@cython.freelist(16)
cdef class ReceiveWait:
    """What `await` of something received waits for; a coroutine as far as asyncio is concerned."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.step()

    def send(self, value):
        return self.step()

    def throw(self, kind, value=None, traceback=None):
        self.close()
        error = kind if value is None else value
        raise error

    def close(self):
        if self.waits:                   # else there may be no queue
            self.waits = False
            self.queue.awaited = False

    cdef object step(self):
        cdef SocketQueue queue = self.queue
        if queue is None:
            raise UsageError("a WebSocket returns these")
        queue.check_thread()
        if self.waits:
            self.waits = queue.awaited = False
        elif queue.awaited:
            raise UsageError("another coroutine receives from this WebSocket already")
        value = queue.receive_next(self.iterates)
        if type(value) is Wakeup:
            self.waits = queue.awaited = True
            return value
        raise StopIteration(value)


cdef ReceiveWait make_receive_wait(SocketQueue queue, bint iterates):
    cdef ReceiveWait reception = ReceiveWait.__new__(ReceiveWait)
    reception.queue = queue
    reception.iterates = iterates
    return reception


@cython.final
cdef class SendWait:
    """What `await` of sending to a peer that lags waits for, or of closing.  Nothing is lost when nobody awaits it."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        if self.queue is None:
            raise UsageError("a WebSocket returns these")
        self.queue.check_thread()
        if self.steps is None:
            future = self.queue.open_future(self.of_end)
            self.steps = iter(()) if future is None else future.__await__()
        try:
            return next(self.steps)
        except StopIteration:
            pass
        if self.queue.over and not self.of_end:
            self.queue.raise_closed()
        raise StopIteration

    def throw(self, kind, value=None, traceback=None):
        error = kind if value is None else value
        raise error

    def close(self):
        pass


cdef SendWait _make_patience(SocketQueue queue, bint of_end):
    cdef SendWait patience = SendWait.__new__(SendWait)
    patience.queue = queue
    patience.of_end = of_end
    return patience
