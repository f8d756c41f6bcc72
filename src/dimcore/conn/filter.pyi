from typing import Any, Never

from typing_extensions import disjoint_base

@disjoint_base
class AnswerHead:
    status: int
    headers: Any
    content_type: bytes | None
    @property
    def length(self) -> int: ...
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...  # raises: the server makes them

@disjoint_base
class Transform: ...

@disjoint_base
class Filter: ...
