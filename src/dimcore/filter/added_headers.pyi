from collections.abc import Iterable
from typing import final

from dimcore.conn.filter import Filter
from dimcore.http.router import Router

@final
class AddedHeaders(Filter):
    def __init__(self, pairs: Iterable[tuple[str, str | bytes]]) -> None: ...

@final
class AddedHeadersByPath(Filter):
    def __init__(self, choices: Iterable[tuple[Router | None, AddedHeaders]]) -> None: ...
