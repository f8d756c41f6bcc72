from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class ResponseDriver:
    def __await__(self) -> Any: ...

@disjoint_base
class DrivenHandler: ...

@disjoint_base
class CompiledHandler: ...
