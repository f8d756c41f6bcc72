"""What a worker and the handler that stands for a foreign app expect of each other.

Such a handler, a *gateway*, is called with the request like any other.  How it is
to be run depends on settings, so it says that once it was told of them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Any, Protocol

    from dimcore import RequestPoint
    from dimserver.config import Settings
    from dimserver.log import Log

    class Gateway(Protocol):
        """The handler; made with the app and the prefix it is mounted at.

        Attributes:
            interface: ``"wsgi"`` or ``"asgi"``.
            app: what it stands for.
            prefix: path it is mounted at, without a slash at the end; ``""`` for all.
            asynchronous: whether it needs an asyncio loop; known from the start.
            blocking, streaming: as of `dimcore.Route`, true to the settings once it was told of them.
        """

        interface: str
        app: Any
        prefix: str
        asynchronous: bool
        blocking: bool
        streaming: int

        def configure(self, settings: Settings, facts: Facts) -> None:
            """Take over what the worker has and the settings say; before each start."""

        def __call__(self, request: RequestPoint) -> Any: ...

        # One that is asynchronous may also have these, awaited on the worker's loop:
        #
        #     async def startup(self)     before anything is accepted; raises AppStartError
        #     async def shutdown(self)    after the last connection; cancelled when there is no time left


__all__ = ["Facts", "is_gateway"]

INTERFACES = ("wsgi", "asgi")


class Facts:
    """What a gateway may tell its app of the worker.

    Attributes:
        server: host and port of the main listener, or path and None of its Unix socket.
        multithread: whether another thread may call the app at the same time, if it is run on threads.
        multiprocess: whether there are other workers.
        log: the error log.
        loop: the asyncio loop, or None.
    """

    __slots__ = ("log", "loop", "multiprocess", "multithread", "server")

    def __init__(
        self,
        *,
        log: Log,
        server: tuple[str, int | None] = ("localhost", 80),
        multithread: bool = False,
        multiprocess: bool = False,
        loop: AbstractEventLoop | None = None,
    ) -> None:
        self.log = log
        self.server = server
        self.multithread = multithread
        self.multiprocess = multiprocess
        self.loop = loop


def is_gateway(handler: object) -> bool:
    """Whether a handler stands for a foreign app."""
    return getattr(handler, "interface", None) in INTERFACES
