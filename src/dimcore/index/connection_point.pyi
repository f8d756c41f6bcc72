from typing import Any, SupportsIndex

from typing_extensions import disjoint_base

from dimcore.index.index import Point

@disjoint_base
class ConnectionPoint(Point):
    def __init__(
        self,
        connection_id: str | None = None,
        socket: Any = None,
        address: Any = None,
        spiral: SupportsIndex = 0,
        layer: SupportsIndex = 1,
        position: float = 0.0,
        identity_vector: tuple[float, float] | None = None,
    ) -> None: ...
    @property
    def connection_id(self) -> str: ...
    @property
    def socket(self) -> Any: ...
    @property
    def address(self) -> Any: ...
    @property
    def identity_vector(self) -> tuple[float, float]: ...
    @property
    def z_value(self) -> float: ...
    @property
    def layer_name(self) -> str: ...
    @property
    def age_seconds(self) -> float: ...
    @property
    def idle_seconds(self) -> float: ...
