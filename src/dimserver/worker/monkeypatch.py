"""Apps that replace the standard library's threads and sockets by green ones (gevent, eventlet).

A thread of the server would then be a greenlet, which runs when somebody yields to it; the server's loop does not, so a
request that was handed over would wait for ever.  An asyncio loop has the same trouble with the selector it waits by.
What runs on the server's own loop needs neither.
"""

from __future__ import annotations

import sys

from dimserver.errors import StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GREEN = "monkey.patch_all()"

__all__ = ["GREEN", "patched_by", "refuse"]

# Package, the module that patches, and its function that says whether a module of the standard library is patched.
LIBRARIES = (
    ("gevent", "gevent.monkey", "is_module_patched", "threading"),
    ("eventlet", "eventlet.patcher", "is_monkey_patched", "thread"),
)


def patched_by() -> str | None:
    """The library that has replaced this process's threads; None where they are real."""
    for name, patcher, question, module in LIBRARIES:
        is_patched: Callable[[str], bool] | None = getattr(sys.modules.get(patcher), question, None)
        if is_patched is not None and is_patched(module):
            return name
    return None


def refuse(what: str, instead: str) -> None:
    """Refuse what cannot be served in such a process.

    Args:
        what: needs real threads or sockets, as in "an ASGI app".
        instead: what to do about it.

    Raises:
        StartError: threads are patched.
    """
    name = patched_by()
    if name is not None:
        raise StartError(f"the app calls {GREEN} of {name}, which does not work with {what}: {instead}")
