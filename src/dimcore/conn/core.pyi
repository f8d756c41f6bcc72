from collections.abc import Callable, Mapping
from typing import Any, Self, final

from dimcore.budget import Budget
from dimcore.conn.host import Host
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
    def attach(self, host: Host) -> None: ...
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
