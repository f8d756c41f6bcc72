from typing import Self, final

@final
class Scratch:
    def __new__(cls, server: str = "dimserver") -> Self: ...
