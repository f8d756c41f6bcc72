from typing import final

@final
class Gathering:
    def let_go(self) -> None: ...
