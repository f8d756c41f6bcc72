"""One worker on a thread, from its start to an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from threading import Event, Thread
from time import monotonic, sleep

from dimserver.app import App
from dimserver.config import Settings, looked_up, merge
from dimserver.worker.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self, Unpack

    from dimserver.config.keywords import SettingsKeywords

__all__ = ["Server", "serve"]

WHERE = ("port", "uds", "fd")
DRAIN = 5.0  # seconds a request in flight has at the end, unless the settings say otherwise
SETTLING = 2.0  # seconds that a look at the log waits for calls whose answers are out
STEP = 0.002  # seconds between two looks at whether they are through
SLACK = 15.0  # seconds beyond that before the thread is given up


def serve(app: Any = None, **settings: Unpack[SettingsKeywords]) -> Server:
    """A server for an app, to be used as a context manager.

    Args:
        app: an `App`, or a WSGI or ASGI app; None serves the built-in endpoints and static files.
        settings: as for `App`, and stronger than its own; unless they say where to listen, it is a free port, of
            127.0.0.1 where no host is given.  `drain` is 5 s.

    Returns:
        A server that is not started yet.

    Raises:
        HandlerError: `app` cannot be served; the message says why.
        ConfigError: an unknown setting or a bad value.
    """
    return Server(app, **settings)


class Server:
    """A running server; see `serve`.

    Attributes:
        url: of the main listener, ``http://127.0.0.1:34567`` or ``unix:/path``, without a slash at the end.
        urls: of all listeners, the main one first.
        settings: it was started with.
        worker: what serves, for a look inside.

    Its error log is kept for `errors` and `log`, unless ``log_file`` says where it goes, or the program has a
    handler on the logger ``dimserver``, which then gets it.  Errors that nobody has looked at are written to
    standard error at the end, where pytest shows them below a test that failed.

    Thread-safety: the thread that started it.
    """

    thread_name = "dimserver"

    def __init__(self, app: Any = None, **settings: Unpack[SettingsKeywords]) -> None:
        if app is None or isinstance(app, App):
            self._app: App | None = app
        else:
            self._app = App()
            self._app.mount("/", app, interface=str(settings.get("interface", "auto")))
        given: dict[str, object] = {"drain": DRAIN, **settings}
        if not any(given.get(name) is not None for name in WHERE):
            given = {"host": "127.0.0.1", **given, "port": 0}
        self._log_path = None
        if "log_file" not in given:
            given["log_format"] = "json"
            self._log_path = ""
        self.settings = Settings(**merge({} if self._app is None else self._app.defaults, looked_up(given)))
        self.urls: list[str] = []
        self._log: list[dict[str, Any]] = []
        self._failures: list[tuple[str, dict[str, Any]]] = []  # id of a request that was answered 5xx, and an entry
        self._looked_at = 0  # entries of the log that somebody has seen
        self._ready = Event()
        self._failed: BaseException | None = None
        self._thread: Thread | None = None

    # --- from start to end ----------------------------------------------------------------------

    def start(self) -> Self:
        """Start it; it is accepting when this returns.

        Raises:
            StartError: the system refused.
            AppStartError: the app did not start.
            RuntimeError: it was started before.
        """
        if self._thread is not None:
            raise RuntimeError("a server can be started only once; create another one")
        settings = self.settings
        if self._log_path is not None:
            descriptor, self._log_path = tempfile.mkstemp(prefix="dimserver-", suffix=".log")
            os.close(descriptor)
            settings = settings.replace(log_file=self._log_path)
        # All of it on the one thread: this one may have an asyncio loop that runs.
        self._thread = Thread(target=self._run, args=(settings,), name=self.thread_name, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            self._thread.join()
            self._give_back()
            raise self._failed
        return self

    def _run(self, settings: Settings) -> None:
        try:
            self.worker = Worker(self._app, settings, on_answer=self._answered)
            self.urls = self.worker.urls
        except BaseException as error:
            self._failed = error
            self._ready.set()
            return
        self._ready.set()
        self.worker.run()

    def stop(self) -> None:
        """Let requests in flight end, and stop; again is fine.

        Raises:
            RuntimeError: it did not stop, because a handler holds up its loop.
        """
        if self._thread is None or self._failed is not None:
            return
        self.worker.stop(linger=0.0)
        self._thread.join(self.settings.drain + SLACK)
        if self._thread.is_alive():
            raise RuntimeError("the server did not stop: something blocks its loop")
        self._give_back()

    def _give_back(self) -> None:
        if self._log_path:
            self._read_log()
            os.unlink(self._log_path)
            self._log_path = None
            for entry in self._log[self._looked_at :]:
                if entry["level"] in ("error", "critical"):
                    sys.stderr.write(f"dimserver: {entry['message']}\n{entry.get('traceback', '')}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- what it says ---------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Of the main listener."""
        return self.urls[0]

    @property
    def port(self) -> int:
        """The TCP port of the main listener.

        Raises:
            ValueError: it is a Unix socket.
        """
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> list[dict[str, Any]]:
        """The entries of the error log so far, as `log-format` json has them: time, level, message, traceback …

        Calls of an app whose answers are out are waited for, two seconds at most.  An answer with a status of 500 and
        above that the log says nothing of has an entry, too, unless there is an access log.
        """
        self._settle()
        self._read_log()
        self._looked_at = len(self._log)
        return list(self._log)

    @property
    def errors(self) -> list[str]:
        """The messages of level error and above, with the last line of the traceback where there is one."""
        return [_one_line(entry) for entry in self.log if entry["level"] in ("error", "critical")]

    def _answered(self, request: Any, status: int, size: int, duration: int) -> None:  # noqa: ARG002 - the core's call
        if status >= 500:
            named = {"id": request.request_id, "method": request.method, "target": request.raw_target}
            message = f"answered {status}: {request.method} {request.raw_target} (request {request.request_id})"
            self._failures.append((request.request_id, {"level": "error", "message": message, "request": named}))

    def _settle(self) -> None:
        """Wait for what follows answers that are out: the rest of a round of the loop, and of calls of the app."""
        end = monotonic() + SETTLING
        while self._thread is not None and self._thread.is_alive() and monotonic() < end:
            calls = self.worker.app_calls_behind
            passed = Event()
            self.worker.loop.call_from_thread(passed.set)
            if not passed.wait(max(0.0, end - monotonic())) or calls == self.worker.app_calls_behind == 0:
                return
            sleep(STEP)

    def _read_log(self) -> None:
        if self._log_path:
            self._read_file(self._log_path)
        known = {entry["request"]["id"] for entry in self._log if "request" in entry}
        self._log += [entry for name, entry in list(self._failures) if name not in known]

    def _read_file(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        # The last line may be half written.
        self._log = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _one_line(entry: dict[str, Any]) -> str:
    last = entry.get("traceback", "").rstrip().rpartition("\n")[2]
    return f"{entry['message']}: {last}" if last else str(entry["message"])
