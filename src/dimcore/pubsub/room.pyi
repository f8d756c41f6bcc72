from typing import Self, final

from typing_extensions import disjoint_base

@disjoint_base
class Hub:
    @property
    def waiting(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def lost(self) -> int: ...

@final
class Member:
    def end(self) -> None: ...

@final
class Room:
    def __new__(cls, hub: Hub, name: str) -> Self: ...
