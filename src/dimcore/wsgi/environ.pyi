from typing import Any, final

from dimcore.http.request import RequestPoint

@final
class EnvironMaker:
    def __init__(self, common: dict[str, Any], root: str = "", prefix: str = "") -> None: ...
    def __call__(self, request: RequestPoint) -> dict[str, Any]: ...
