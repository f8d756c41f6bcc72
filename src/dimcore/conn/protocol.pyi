from typing_extensions import disjoint_base

@disjoint_base
class Protocol: ...

@disjoint_base
class ProtocolFactory:
    @property
    def answers(self) -> bool: ...
