from typing import Any, Self

from typing_extensions import disjoint_base

@disjoint_base
class ScopeMaker:
    state: dict[str, Any]
    def __new__(cls, root_path: str = "", prefix: str = "") -> Self: ...
