"""The handler that is a WSGI app (PEP 3333).

What is done for each request is compiled (`dimcore.wsgi`, `dimcore.environ`); here is
what a worker settles once: where it listens, where errors go, how `write` answers.
"""

from __future__ import annotations

from functools import partial

from dimcore.wsgi.call import Caller, FileWrapper
from dimserver.gateway.error_stream import ErrorStream
from dimserver.gateway.sendfile_wrapper import file_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    from dimcore import RequestPoint
    from dimserver.config import Settings
    from dimserver.gateway.contract import Facts
    from dimserver.gateway.upgrade_socket import UpgradeSocket
    from dimserver.log import Log
    from dimserver.net.threads import Hand

    App: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

__all__ = ["WSGIGateway"]

STREAM_LARGE = 2  # `Route.streaming`: a small body is there before the app runs, so a slow client holds no thread


class WSGIGateway(Caller):
    """Handler that calls a WSGI app.

    Args:
        app: callable taking ``(environ, start_response)``.
        prefix: path it is mounted at; ``""`` or ``"/"`` for all.

    Attributes:
        interface: ``"wsgi"``.
        prefix: without a slash at the end.
        asynchronous: False.
        blocking: whether it runs on the thread pool.
        streaming: as of `dimcore.Route`.

    Thread-safety: any thread, once configured.
    """

    interface = "wsgi"
    asynchronous = False

    def __init__(self, app: App, prefix: str = "") -> None:  # noqa: ARG002 - `Caller` has the app
        self.prefix = prefix.rstrip("/")
        self.blocking = False
        self.streaming = 0
        self._multithread = False
        self._common = _common("localhost", "80", ErrorStream())
        self._prepare: Callable[..., None] = partial(self.prepare, self._common, "", self.prefix, file_body=file_body)
        self._prepare()

    def configure(self, settings: Settings, facts: Facts) -> None:
        """Take over what the worker has and the settings say.

        Args:
            settings: `threads` 0 runs the app on the loop; `stream_bodies` calls it before a large body is there;
                `root_path` is where a proxy has it.
            facts: of the worker.
        """
        self.blocking = settings.threads != 0
        self.streaming = STREAM_LARGE if self.blocking and settings.stream_bodies else 0
        host, port = facts.server
        if port is None:  # PEP 3333 wants a name and a port that make a URL, and a Unix socket has none
            host, port = "localhost", 80
        common = _common(
            host or "localhost",
            str(port),
            ErrorStream(facts.log.pass_on),
            multithread=facts.multithread and self.blocking,
            multiprocess=facts.multiprocess,
        )
        self._common, self._multithread = common, facts.multithread
        self._prepare = partial(
            self.prepare, common, settings.root_path, self.prefix,
            report=partial(_report, facts.log), file_body=file_body,
        )  # fmt: skip
        self._prepare(offer=_offer if self.blocking else None)

    def also_on_threads(self) -> None:
        """Some of its paths run on the thread pool although the others do not; before the first request."""
        self._common["wsgi.multithread"] = self._multithread
        self._prepare(offer=_offer)


def _common(
    host: str, port: str, errors: ErrorStream, multithread: bool = False, multiprocess: bool = False
) -> dict[str, Any]:
    """What every environ has."""
    return {
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_SOFTWARE": "dimserver",
        "wsgi.version": (1, 0),
        "wsgi.errors": errors,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


def _offer(request: RequestPoint, hand: Hand) -> UpgradeSocket | None:
    from dimserver.gateway.upgrade_socket import offer  # who is never asked need not have `socket`

    return offer(request, hand)


def _report(log: Log, message: str, request: RequestPoint | None, error: BaseException | None) -> None:
    log.error(message, error, request)
