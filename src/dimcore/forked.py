"""The end of a process that was forked from a worker, when control comes back to the server.

What an app forks is its own: it may run for as long as it likes, and exec, or end by `os._exit`.  But it must not go on
as a second server beside its parent, with the same clients and the same queue.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["leave"]


def leave(error: BaseException | None = None) -> NoReturn:
    """End this process as a script ends: with 0, what SystemExit says, or a traceback and 1.

    What the parent registered with `atexit` is not run, as in the children of `multiprocessing`.

    Args:
        error: what the app's code raised; None where it returned.
    """
    code = 0 if error is None else 1
    try:
        if isinstance(error, SystemExit):
            if error.code is None or isinstance(error.code, int):
                code = error.code or 0
            else:
                print(error.code, file=sys.stderr)
        elif error is not None:
            import traceback

            traceback.print_exception(error)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:  # noqa: S110 - whatever it is, nobody is left to hear of it
        pass
    finally:
        os._exit(code & 0xFF)
