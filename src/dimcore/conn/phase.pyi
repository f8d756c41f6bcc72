from typing import Final

PHASE_NAMES: Final[tuple[str, ...]]
FACT_NAMES: Final[tuple[str, ...]]
PHASE_TABLE: Final[tuple[tuple[int, ...], ...]]
