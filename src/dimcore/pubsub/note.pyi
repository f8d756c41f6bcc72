from typing import final

@final
class Note: ...

@final
class Batch: ...
