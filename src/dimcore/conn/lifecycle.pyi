from typing_extensions import disjoint_base

from dimcore.conn.answering import Exchange

@disjoint_base
class Leaving(Exchange): ...
