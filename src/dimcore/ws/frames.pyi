from typing_extensions import Buffer

def encode_frame(
    opcode: int,
    payload: str | Buffer = b"",
    *,
    final: bool = True,
    compressed: bool = False,
    mask: Buffer | None = None,
) -> bytes: ...
def apply_mask(data: Buffer, mask: Buffer, offset: int = 0) -> bytes: ...
