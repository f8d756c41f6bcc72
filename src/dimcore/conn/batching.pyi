from typing import final

@final
class Batching:
    def let_go(self) -> None: ...
