from typing_extensions import disjoint_base

@disjoint_base
class QueryParams(dict[str, str]):
    @property
    def pairs(self) -> list[tuple[str, str]]: ...
    def getall(self, name: str) -> list[str]: ...
