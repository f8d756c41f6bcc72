from collections.abc import Iterable, Mapping
from typing import Any, Self, final

REASONS: dict[int, str]

@final
class HeaderBlock:
    def __new__(cls) -> Self: ...

@final
class Writer:
    def __new__(cls, server: str = "dimserver") -> Self: ...

def format_head(
    status: int,
    headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
    length: int | None = 0,
    *,
    close: bool = False,
    http_1_0: bool = False,
    content_type: str | None = None,
) -> bytes: ...
