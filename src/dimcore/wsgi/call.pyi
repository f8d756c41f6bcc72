from collections.abc import Callable, Iterable
from typing import Any, Never, Self, final

from typing_extensions import disjoint_base

from dimcore.conn.handler import CompiledHandler
from dimcore.http.request import RequestPoint

@disjoint_base
class Caller(CompiledHandler):
    @property
    def app(self) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]: ...
    def __new__(
        cls, app: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]], *args: Any, **kwargs: Any
    ) -> Self: ...
    def prepare(
        self,
        common: dict[str, Any],
        root: str,
        prefix: str,
        *,
        report: Callable[[str, RequestPoint | None, BaseException | None], object] | None = None,
        file_body: Callable[[Any], Any] | None = None,
        offer: Callable[[RequestPoint, Any], Any] | None = None,
    ) -> None: ...
    def __call__(self, request: RequestPoint) -> Any: ...
    def perform(self, request: RequestPoint, hand: Any) -> Any: ...

@final
class Call:
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...  # raises: a `Caller` makes them
    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]: ...
    def write(self, data: bytes) -> None: ...
    def conclude(self) -> None: ...

@final
class Pieces:
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...  # raises: a `Call` makes them
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

class FileWrapper:
    file: Any
    block_size: int
    def __init__(self, file: Any, block_size: int = 65536) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...
