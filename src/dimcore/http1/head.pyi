# status and text of each kind of refusal, by its number in head.pxd
FAULTS: dict[int, tuple[int, str]]
