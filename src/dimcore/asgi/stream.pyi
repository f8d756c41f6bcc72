from typing import final

from dimcore.conn.streamed_body import Push

@final
class AsgiFlow(Push):
    def turn_over(self) -> None: ...
