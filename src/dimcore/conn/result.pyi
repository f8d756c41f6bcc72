from typing import final

@final
class Answer: ...
