from typing_extensions import disjoint_base

from dimcore.exchange import Exchange

@disjoint_base
class Leaving(Exchange): ...
