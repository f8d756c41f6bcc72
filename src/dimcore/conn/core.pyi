from collections.abc import Callable, Mapping
from typing import Any, Self, final

from dimcore.aio.task_runner import Runner
from dimcore.budget import Budget
from dimcore.conn.filter import Filter
from dimcore.http.request import RequestPoint
from dimcore.http.request_table import RequestSubstrate
from dimcore.http.router import Router
from dimcore.index.pools import ConnectionPoolManifold
from dimcore.net.address_counts import Addresses

@final
class Core:
    def __new__(cls, pools: ConnectionPoolManifold, requests: RequestSubstrate, server: str = "dimserver") -> Self: ...
    @property
    def pools(self) -> ConnectionPoolManifold: ...
    @property
    def requests(self) -> RequestSubstrate: ...
    @property
    def addresses(self) -> Addresses: ...
    @property
    def draining(self) -> bool: ...
    @property
    def turned_away(self) -> int: ...
    def attach(
        self,
        *,
        register: Callable[[int, int, Callable[[int], None]], object],
        modify: Callable[[int, int, Callable[[int], None]], object],
        unregister: Callable[[int], object],
        offload: Callable[[Any, RequestPoint, Callable[[RequestPoint], Any]], object]
        | None = None,  # (Connection, ...)
        open_spool: Callable[[], int] | None = None,
        open_stream: Callable[[Any], Any] | None = None,  # (Connection)
        report: Callable[[str, RequestPoint | None, BaseException | None], object] | None = None,
        access_log: Filter | Callable[[RequestPoint, int, int, int], object] | None = None,
        forwarded: Callable[[Any, Any], tuple[str | None, str | None, str | None, str | None]] | None = None,
        runner: Runner | None = None,
        open_flow: Callable[..., Any] | None = None,
        open_body: Callable[[Any], Any] | None = None,  # (Connection)
        mute: Callable[[int], object] | None = None,
        from_thread: Callable[[Callable[[], object]], object] | None = None,
        call_soon: Callable[[Callable[[], object]], object] | None = None,
    ) -> None: ...
    def configure(
        self,
        *,
        max_connections: int | None = None,
        admin_reserve: int | None = None,
        max_per_address: int | None = None,
        max_body: int | None = None,
        body_memory: int | None = None,
        request_line: int | None = None,
        head: int | None = None,
        field: int | None = None,
        fields: int | None = None,
        body_rate: int | None = None,
        send_rate: int | None = None,
        seconds: Mapping[str, float] | None = None,
        memory: int | None = None,
        disk: int | None = None,
    ) -> None: ...
    @property
    def memory(self) -> Budget: ...
    @property
    def disk(self) -> Budget: ...
    @property
    def farewell(self) -> int: ...
    @property
    def app_calls(self) -> int: ...
    def read_deferred(self) -> None: ...
    def drain(self, farewell: int = 1001) -> None: ...
    def disown(self) -> None: ...

@final
class Site:
    def __new__(
        cls,
        core: Core,
        router: Router,
        fallback: Router | None = None,
        spiral: int = 0,
        splits_api: bool = True,
        trusts: Callable[[tuple[str, int] | None], bool] | None = None,
    ) -> Self: ...
    @property
    def core(self) -> Core: ...
    @property
    def router(self) -> Router: ...
    @property
    def fallback(self) -> Router | None: ...
    @property
    def spiral(self) -> int: ...
    @property
    def splits_api(self) -> bool: ...
    filters: tuple[Any, ...] | None
    @property
    def trusts(self) -> Callable[[tuple[str, int] | None], bool] | None: ...
