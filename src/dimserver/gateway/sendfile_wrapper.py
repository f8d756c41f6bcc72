"""Files that the kernel can send by itself (``wsgi.file_wrapper``)."""

from __future__ import annotations

import io
import os
import stat

from dimcore import FileBody

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["file_body"]

# Exactly these: whatever else has a `fileno` may read something else than what is in the file, as gzip does.
REAL = (io.FileIO, io.BufferedReader, io.BufferedRandom)


def file_body(file: Any) -> FileBody | None:
    """What is left of an open file, or None where it has to be read.

    Args:
        file: what an app gave to ``wsgi.file_wrapper``; it may be closed afterwards.
    """
    inner = getattr(file, "file", file)  # what `tempfile.NamedTemporaryFile` wraps
    if type(inner) not in REAL:
        return None
    try:
        at = inner.tell()
        number = inner.fileno()
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            return None
        return FileBody(os.dup(number), at, max(0, status.st_size - at))
    except (OSError, ValueError):  # no position, or closed: reading it will tell
        return None
