from typing_extensions import disjoint_base

from dimcore.asgiwait import Awaited

@disjoint_base
class AsgiAnswer(Awaited): ...
