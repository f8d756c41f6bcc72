from typing_extensions import disjoint_base

from dimcore.asgi.wait import Awaited

@disjoint_base
class AsgiAnswer(Awaited): ...
