from collections.abc import Iterator
from typing import final

@final
class Answer: ...

def pieces_of(body: object) -> Iterator[bytes]: ...
