"""What answers at the control socket: the supervisor itself, so that it does when no worker can.

Until somebody asks that is two listening sockets, this one and that for questions of workers, and nothing else: what
answers is not even imported.  Then there is a core of its own in the
supervisor's loop, with small limits, and the operator's API in it.  Nothing of it waits: workers are asked as they
ask each other, and who does not answer is named as missing.
"""

from __future__ import annotations

from dimserver.net.control_socket import ControlSocket
from dimserver.net.worker_rpc import SUPERVISOR, Peers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dimcore import Core, Report, Site
    from dimserver.net.listener import Listener
    from dimserver.supervisor.operator_api import Operations
    from dimserver.supervisor.state import SupervisorState

__all__ = ["Control"]

ADMIN_POOL = 3
MOST_CLIENTS = 32
MOST_BODY = 64 * 1024  # bytes
BUDGET = 64 << 20  # bytes that all clients together may have it hold; a list of 10,000 connections takes 3 MB
SLOWEST = 1024  # bytes a second, sent and received
# Seconds; see `Core.configure`.
LIMITS = {
    "connect": 10, "handshake": 10, "head": 10, "idle": 60, "half_closed": 30,
    "body_credit": 10, "send_credit": 30, "linger": 2, "linger_silence": 1,
}  # fmt: skip


class Control:
    """See the module.

    Args:
        state: of the supervisor.
        make: called when the first question comes, with the supervisor's place among the workers and the path of the
            control socket; returns what answers.

    Thread-safety: the supervisor's thread.
    """

    def __init__(self, state: SupervisorState, make: Callable[[Peers, str | None], Operations]) -> None:
        self._loop = state.loop
        self._state = state
        self._make = make
        self._operations: Operations | None = None
        self._peers = self._join()
        self._socket = ControlSocket(state.directory)
        self._site: Site | None = None
        self._core: Core | None = None
        self._listener: Listener | None = None
        self._tick: Callable[[Core], object] | None = None
        self._watch()

    def _join(self) -> Peers:
        state = self._state
        directory = state.directory.path
        try:
            return Peers(directory, SUPERVISOR, self._loop, self._asked, state.trouble)
        except OSError as error:
            state.log.error(f"no private socket for the supervisor in {directory}: {error.strerror}")
            return Peers(None, SUPERVISOR, self._loop, self._asked, state.trouble)

    def _asked(self, *question: Any) -> Any:
        return self._answering().api.question(*question)

    def _answering(self) -> Operations:
        if self._operations is None:
            self._operations = self._make(self._peers, self._socket.path)
        return self._operations

    def _watch(self) -> None:
        """Listen, and make what answers when somebody comes."""
        if self._operations is not None:
            self._operations.control = self._socket.path
        sock = self._socket.sock
        if sock is None:
            return
        if self._site is None:
            self._loop.selector.register(sock.fileno(), 1, self._first)
        else:
            self._listen()

    def _first(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        if self._socket.sock is not None:
            self._loop.selector.unregister(self._socket.sock.fileno())
            self._site = self._make_site()
            self._listen()

    def _listen(self) -> None:
        from dimserver.net.listener import Listener

        if self._socket.sock is not None and self._site is not None:
            self._listener = Listener(self._socket.sock, self._site, self._loop, self._state.log, admin=True)

    def _make_site(self) -> Site:
        from dimcore import ConnectionPoolManifold, Core, Host, RequestSubstrate, Router, Site, tick
        from dimserver.worker.operator_api import offload

        core = Core(ConnectionPoolManifold(), RequestSubstrate())
        core.configure(
            max_connections=1, admin_reserve=MOST_CLIENTS - 1, max_body=MOST_BODY, body_memory=MOST_BODY,
            body_rate=SLOWEST, send_rate=SLOWEST, seconds=LIMITS, memory=BUDGET, disk=1,
        )  # fmt: skip
        selector = self._loop.selector
        host = Host(
            register=selector.register,
            modify=selector.modify,
            unregister=selector.unregister,
            mute=selector.mute,
            call_soon=self._loop.call_soon,
            offload=offload(_refuse, _nothing),
            report=self._report,
        )
        core.attach(host)
        from dimserver.http.deferred import Deferred

        router = Router()
        for method, path, handler in self._answering().api.routes(admin=True):
            router.add(method, path, handler, blocking=isinstance(handler, Deferred))
        self._core = core
        self._tick = tick
        return Site(core, router, None, ADMIN_POOL, False)

    def _report(self, report: Report, request: Any, error: BaseException | None) -> None:  # noqa: ARG002 - the core's
        self._state.report(f"control socket: {report}", error)

    # --- in the loop ------------------------------------------------------------------------------

    def tick(self) -> None:
        """At each round of the loop."""
        if self._tick is not None and self._core is not None:
            self._tick(self._core)

    def is_quiet(self) -> bool:
        """Whether no time limit of a client can pass."""
        core = self._core
        return core is None or (core.pools.index.total_connections() == 0 and core.turned_away == 0)

    # --- its place --------------------------------------------------------------------------------

    def restore(self) -> None:
        """Listen anew, if somebody took a socket away."""
        self._be_found()
        before = self._socket.sock
        number = -1 if before is None else before.fileno()
        if self._socket.is_there():
            return
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        elif number >= 0:
            self._loop.selector.unregister(number)
        self._socket.restore()
        self._watch()
        if self._socket.path is not None:
            self._state.log.warning(f"the control socket was removed: {self._socket.path} is new")

    def _be_found(self) -> None:
        directory = self._state.directory.path
        if directory is None or self._peers.is_found:
            return
        try:
            self._peers.move(directory)
        except OSError as error:
            self._state.log.error(f"no private socket for the supervisor in {directory}: {error.strerror}")

    def forget(self) -> None:
        """In a process forked from this one: neither the sockets nor their clients are that one's."""
        self._peers.forget()
        self._socket.forget()
        if self._core is not None:
            self._core.disown()
        self._core = self._tick = None

    def close(self) -> None:
        """Answer nobody any more; again is fine."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        elif self._socket.sock is not None:
            self._loop.selector.unregister(self._socket.sock.fileno())
        if self._core is not None:
            self._core.drain()
        self._peers.close()
        self._socket.close()


def _refuse(*given: object) -> None:  # noqa: ARG001 - in the place of what takes some
    raise RuntimeError("a supervisor has no threads")


def _nothing() -> None:
    pass
