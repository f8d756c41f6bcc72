# cython: nonecheck=True
# What `__new__` alone makes has None for each of its parts: that is an exception, not a crash.
"""The websocket scope of ASGI: an app's coroutine from the handshake on, over a compiled WebSocket.

    ASKED ─┬─ websocket.accept ─► OPEN ─ websocket.close, or its end ─► CLOSED
           ├─ websocket.close ─► 403 ──────────────────────────────────► CLOSED
           └─ websocket.http.response.start ─► DENIES ─ the last body ─► CLOSED

Until the handshake is answered the request is one like any other, and a refusal an
answer like any other (`entry.pyx`).  From then on messages wait in a `SocketQueue`,
and the coroutine runs on within the event that brings one.

Source: ASGI 3.0, WebSocket message format 2.4, with `websocket.http.response`.
"""

cimport cython
from dimcore.aio.task_runner cimport Runner
from dimcore.aio.waiters cimport DONE
from dimcore.aio.wakeup cimport make_wakeup
from dimcore.asgi.entry cimport AsgiEntry, AsgiHttp, tells_of_leaving
from dimcore.asgi.scope cimport ScopeMaker
from dimcore.asgi.wait cimport FOLLOWS, AsgiWait, make_wait
from dimcore.conn.exchange cimport Exchange
from dimcore.conn.phase cimport GONE, WORKING
from dimcore.ws.async_queue cimport SocketQueue, make_receive_wait
from dimcore.ws.websocket cimport Endpoint, WebSocket

from dimcore.errors import ClientLeft, ResponseError, UsageError
from dimcore.reports import Report

cdef enum Phase:
    ASKED
    OPEN
    DENIES
    CLOSED

cdef enum:
    CODE_NORMAL = 1000
    CODE_NONE = 1005
    CODE_LOST = 1006
    CODE_INTERNAL = 1011

cdef dict FORBIDDEN = {"type": "http.response.start", "status": 403}
cdef dict NO_ROOM = {"type": "http.response.start", "status": 503, "headers": [(b"retry-after", b"1")]}
cdef dict NOTHING = {"type": "http.response.body"}


@cython.final
cdef class AsgiSocket(SocketQueue):
    """The messages of one socket, as ASGI has them; see `dimcore.Endpoint` for whom it is made for."""

    cdef int opened(self, WebSocket ws) except -1:
        self.socket = ws                 # the wakeup is there since before the handshake was answered
        return 0

    cdef object receive_next(self, bint iterates):
        if not self.connect_told:
            self.connect_told = True
            return {"type": "websocket.connect"}
        return SocketQueue.receive_next(self, iterates)

    cdef object given(self, object message):
        if type(message) is str:
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    cdef object finished(self, bint iterates):
        return {"type": "websocket.disconnect", "code": self.close_code or CODE_NONE, "reason": self.close_reason}

    cdef int raise_closed(self) except -1:
        raise ClientLeft("the WebSocket is closed, and what is sent goes nowhere")


@cython.final
cdef class AsgiUpgrade(AsgiHttp):
    """One handshake, and the `send` of the socket that comes of it."""

    cdef dict scope_of(self, Exchange at):
        cdef ScopeMaker scopes = self.entry.scopes
        cdef dict scope = scopes.make(at, self.request)
        scope["type"] = "websocket"
        scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        scope["subprotocols"] = [
            name for value in self.request.headers.getall("sec-websocket-protocol")
            for name in (part.strip(" \t") for part in value.split(",")) if name
        ]
        scope["extensions"] = {"websocket.http.response": {}}
        del scope["method"]
        self.queue.loop = (<Runner> at.site.core.host.runner).loop
        self.queue.wakeup = make_wakeup(self.queue.loop)
        return scope

    cdef object receive_now(self):
        cdef AsgiWait wait
        if not self.core.is_foreign():
            return make_receive_wait(self.queue, False)
        wait = make_wait(self, FOLLOWS)
        wait.message = make_receive_wait(self.queue, False)
        return wait

    cdef void peer_done(self) noexcept:
        AsgiHttp.peer_done(self)
        if self.phase != OPEN:
            self.lose()

    cdef void gone(self) noexcept:
        AsgiHttp.gone(self)
        if self.phase != OPEN:
            self.lose()

    cdef void lose(self) noexcept:
        """The peer left before the handshake was answered."""
        try:
            self.close_early()
        except BaseException as error:
            self.core.tell(Report.ASGI_NOT_WOKEN, self.asked(), error)

    cdef int close_early(self) except -1:
        """There will be no socket."""
        self.queue.over = True
        if self.queue.close_code == 0:
            self.queue.close_code = CODE_LOST
        return self.queue.wakeup.set_soon()

    # --- the app --------------------------------------------------------------------------------

    cdef object deliver(self, object message):
        cdef dict given = <dict> message if type(message) is dict else dict(message)
        cdef object kind = given["type"]
        if self.phase == OPEN:
            return self.send_opened(kind, given)
        if self.phase == DENIES:
            if kind != "websocket.http.response.body":
                raise RuntimeError(f"Expected ASGI message 'websocket.http.response.body', but got {kind!r}.")
            then = AsgiHttp.deliver(self, {**given, "type": "http.response.body"})
            if not given.get("more_body", False):
                self.phase = CLOSED
                self.close_early()
            return then
        if self.phase == CLOSED:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}, after sending 'websocket.close' "
                               "or response already completed.")
        if self.connection is None or self.connection.state & GONE:
            raise ClientLeft("the client has left before its handshake was answered")
        if self.must_wait():
            return self.put_off(given)
        if kind == "websocket.accept":
            self.accept(given)
        elif kind == "websocket.close":
            self.phase = CLOSED
            AsgiHttp.deliver(self, FORBIDDEN)
            AsgiHttp.deliver(self, NOTHING)
            self.close_early()
        elif kind == "websocket.http.response.start":
            AsgiHttp.deliver(self, {**given, "type": "http.response.start"})
            self.phase = DENIES
        else:
            raise RuntimeError("Expected ASGI message 'websocket.accept', 'websocket.close' or "
                               f"'websocket.http.response.start', but got {kind!r}.")
        return DONE

    cdef object send_opened(self, object kind, dict message):
        cdef object data
        if kind == "websocket.send":
            data = message.get("bytes")
            if data is None:
                data = message.get("text")
                if type(data) is not str:
                    raise RuntimeError("websocket.send needs bytes, or text that is str")
            elif not isinstance(data, (bytes, bytearray, memoryview)):
                raise RuntimeError(f"the bytes of websocket.send are bytes, not {type(data).__name__}")
            return self.queue.put_out(data)
        if kind == "websocket.close":
            try:
                self.queue.socket.close(message.get("code") or CODE_NORMAL, message.get("reason") or "")
            except UsageError as error:
                raise RuntimeError(f"websocket.close: {error}") from None
            self.phase = CLOSED
            return DONE
        raise RuntimeError(f"Expected ASGI message 'websocket.send' or 'websocket.close', but got {kind!r}.")

    cdef int accept(self, dict message) except -1:
        cdef Exchange at = self.connection
        cdef object protocol = message.get("subprotocol")
        cdef list fields = list(self.fields)
        cdef bint at_once = at.state & WORKING != 0
        cdef bint opened = False
        if protocol is not None:
            fields.append(("Sec-WebSocket-Protocol", protocol))
        fields.extend(message.get("headers") or ())
        self.phase = OPEN                # before a message that came early finds its way to the app
        try:
            if at_once:
                opened = at.upgrade(self.request, self.endpoint, self.queue, headers=fields, protocol=protocol,
                                    codec=self.codec)
            else:
                opened = at.upgrade_late(self.request, self.endpoint, self.queue, headers=fields, protocol=protocol,
                                         codec=self.codec)
        except ResponseError as error:
            raise RuntimeError(f"the WebSocket cannot be accepted: {error}") from None
        finally:
            if not opened:
                self.phase = ASKED
        if opened:
            if at_once:                  # the pass that read the handshake opens it; the app may send before that
                self.queue.socket = <WebSocket> at.named
            return self.let_go(self.state)
        self.phase = CLOSED
        AsgiHttp.deliver(self, NO_ROOM)
        AsgiHttp.deliver(self, NOTHING)
        return self.close_early()

    cdef int ended(self, object result, object error) except -1:
        """The app's coroutine is through."""
        if self.queue.socket is None:
            self.queue.deaf = True
            if error is None and self.phase == ASKED and not self.peer_left:
                error = RuntimeError("ASGI callable returned without sending handshake.")
            return AsgiHttp.ended(self, result, error)
        if error is None and result is not None:
            error = RuntimeError(f"ASGI callable should return None, but returned {result!r:.100}.")
        if error is not None and not (self.queue.over and tells_of_leaving(error)):
            self.core.tell(Report.ASGI_WEBSOCKET_FAILED, self.asked(), error)
            return self.queue.stop(CODE_INTERNAL)
        return self.queue.stop(CODE_NORMAL)


def make_upgrade(AsgiEntry entry not None, RequestPoint request not None, Endpoint endpoint not None, list fields,
                 codec):
    """What an entry answers a WebSocket's handshake with.

    Args:
        endpoint: of `AsgiSocket`.
        fields: pairs for the head of the answer, if the app accepts.
        codec: as of `Connection.upgrade`.
    """
    cdef AsgiUpgrade upgrade = AsgiUpgrade.__new__(AsgiUpgrade)
    upgrade.queue = AsgiSocket.__new__(AsgiSocket)
    upgrade.endpoint = endpoint
    upgrade.fields = fields
    upgrade.codec = codec
    entry.bring(upgrade, request)
    return upgrade
