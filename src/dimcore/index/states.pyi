from typing import Final

LAYER_NAMES: Final[tuple[str, ...]]
STAGE_NAMES: Final[tuple[str, ...]]
METHOD_NAMES: Final[tuple[str, ...]]
CONNECTION_EVENT_NAMES: Final[tuple[str, ...]]
REQUEST_EVENT_NAMES: Final[tuple[str, ...]]
CONNECTION_TABLE: Final[tuple[tuple[int, ...], ...]]
REQUEST_TABLE: Final[tuple[tuple[int, ...], ...]]

def check_connection(layer: int, target: int) -> None: ...
def check_request(stage: int, target: int) -> None: ...
def next_layer(layer: int, event: str) -> int: ...
def next_stage(stage: int, event: str) -> int: ...
