from typing import final

from dimcore.outflow import Push

@final
class AsgiFlow(Push):
    def turn_over(self) -> None: ...
