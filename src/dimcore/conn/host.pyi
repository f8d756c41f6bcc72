from collections.abc import Callable, Coroutine
from typing import Any, Never, final

from dimcore.aio.task_runner import Runner
from dimcore.conn.connection import Connection
from dimcore.conn.filter import Filter
from dimcore.http.request import RequestPoint
from dimcore.reports import Report

@final
class Host:
    @property
    def register(self) -> Any: ...
    @property
    def modify(self) -> Any: ...
    @property
    def unregister(self) -> Any: ...
    @property
    def mute(self) -> Any: ...
    @property
    def call_soon(self) -> Any: ...
    @property
    def from_thread(self) -> Any: ...
    @property
    def offload(self) -> Any: ...
    @property
    def runner(self) -> Any: ...
    @property
    def open_spool(self) -> Any: ...
    @property
    def open_stream(self) -> Any: ...
    @property
    def open_flow(self) -> Any: ...
    @property
    def open_body(self) -> Any: ...
    @property
    def report(self) -> Any: ...
    @property
    def access_log(self) -> Any: ...
    @property
    def forwarded(self) -> Any: ...
    def __init__(
        self,
        *args: Never,
        register: Callable[[int, int, Callable[[int], None]], object],
        modify: Callable[[int, int, Callable[[int], None]], object],
        unregister: Callable[[int], object],
        mute: Callable[[int], object] | None = None,
        call_soon: Callable[[Callable[[], object]], object] | None = None,
        from_thread: Callable[[Callable[[], object]], object] | None = None,
        offload: Callable[[Connection, RequestPoint, Callable[[RequestPoint], Any]], object] | None = None,
        runner: Runner | None = None,
        open_spool: Callable[[], int] | None = None,
        open_stream: Callable[[Connection], Any] | None = None,
        open_flow: Callable[..., Coroutine[Any, Any, Any]] | None = None,
        open_body: Callable[[Connection], Any] | None = None,
        report: Callable[[Report, RequestPoint | None, BaseException | None], object] | None = None,
        access_log: Filter | Callable[[RequestPoint, int, int, int], object] | None = None,
        forwarded: Callable[..., tuple[str | None, str | None, str | None, str | None]] | None = None,
    ) -> None: ...

def absent_host() -> Host: ...
