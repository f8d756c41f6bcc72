from collections.abc import Iterable
from typing import final

from dimcore.conn.filter import Filter

@final
class AddedHeaders(Filter):
    def __init__(self, pairs: Iterable[tuple[str, str | bytes]]) -> None: ...
