from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Conversation:
    def __await__(self) -> Any: ...

@disjoint_base
class Conversant: ...

@disjoint_base
class CompiledHandler: ...
