from typing import Any, Self

from typing_extensions import disjoint_base

@disjoint_base
class ScopeMaker:
    state: dict[str, Any]
    @property
    def pathsend(self) -> bool: ...
    def __new__(cls, root_path: str = "", prefix: str = "", pathsend: bool = False) -> Self: ...
