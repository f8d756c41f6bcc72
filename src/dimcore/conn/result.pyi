from collections.abc import Iterator
from typing import final

@final
class Result: ...

def pieces_of(body: object) -> Iterator[bytes]: ...
