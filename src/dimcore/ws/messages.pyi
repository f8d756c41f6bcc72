from typing import Protocol as _Protocol
from typing import Self

from typing_extensions import Buffer, disjoint_base

from dimcore.conn.protocol import Protocol

class _Inflater(_Protocol):
    def inflate(self, piece: bytes, room: int, final: bool, /) -> bytes: ...

@disjoint_base
class MessageReader(Protocol):
    def __new__(
        cls,
        *,
        max_message: int = 16777216,
        max_frames: int = 262144,
        from_client: bool = True,
        inflater: _Inflater | None = None,
    ) -> Self: ...
    @property
    def close_code(self) -> int: ...
    @property
    def pending(self) -> int: ...
    def feed(self, data: Buffer) -> list[tuple[int, str | bytes]]: ...

def close_payload(code: int, reason: str = "") -> bytes: ...
