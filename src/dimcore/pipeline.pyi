from collections.abc import Callable, Iterable, Mapping
from typing import Any, SupportsIndex, TypeAlias

from typing_extensions import disjoint_base

from dimcore.index import Index
from dimcore.request import RequestPoint
from dimcore.router import Route, Router

_Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]] | None

@disjoint_base
class RequestSubstrate:
    @property
    def index(self) -> Index: ...
    def manifest(self, method: str, path: str | bytes, headers: _Headers = None, body: bytes = b"") -> RequestPoint: ...
    def transition(self, request_id: str, stage: SupportsIndex) -> RequestPoint: ...
    def get_stats(self) -> dict[str, int | float]: ...

@disjoint_base
class RequestResponseManifold:
    def __init__(self, router: Router | None = None) -> None: ...
    @property
    def requests(self) -> RequestSubstrate: ...
    @property
    def router(self) -> Router: ...
    @property
    def index(self) -> Index: ...
    def register_route(
        self,
        method: str,
        pattern: str,
        handler: Callable[[RequestPoint], Any],
        exact: bool = True,
        *,
        blocking: bool = False,
    ) -> Route: ...
    def get_stats(self) -> dict[str, int | float]: ...
    def process_request(self, method: str, path: str, headers: _Headers = None, body: bytes = b"") -> Any: ...
