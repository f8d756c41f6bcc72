"""What becomes of a worker in a process that its app forks.

`os.fork`, `multiprocessing` with its method *fork* and whatever else forks by way of the interpreter gives the child
every descriptor of the server, its signal handlers and its loop.  Nothing of that is the child's:

* its listening sockets would keep the port, its connections their clients, long after the server has closed them;
* a `terminate()` would wake the server's loop in place of ending the child;
* a child that returns from its handler would serve on, beside its parent.

So each part that holds such a thing is *disowned* in the child, before any other code runs there.  What starts another
program needs nothing of this: every descriptor of the server is closed by exec.

Thread-safety: in the child there is but one thread, and locks that others held stay locked: `disown` takes none.
"""

from __future__ import annotations

import os
import signal
from _thread import get_ident
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class Disowned(Protocol):
        def disown(self) -> object: ...


__all__ = ["cut_off", "forget", "watch"]

_watched: WeakSet[Disowned] = WeakSet()
_registered = False
_masks: dict[int, set[int]] = {}  # of threads that are forking, by ident
HELD = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1}


def watch(part: Disowned) -> None:
    """Have ``part.disown()`` called in every process that is forked from this one, for as long as it lives."""
    global _registered
    if not _registered:
        _registered = True
        os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals, after_in_child=_in_child)
    _watched.add(part)


def forget(part: Disowned) -> None:
    """Take `watch` back; again is fine."""
    _watched.discard(part)


def _hold_signals() -> None:
    # One that hits the child before its handlers are its own would be lost: it waits until then.
    if _watched:
        _masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def _let_signals() -> None:
    mask = _masks.pop(get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    for part in list(_watched):
        try:
            part.disown()
        except Exception:
            import traceback

            traceback.print_exc()
    _watched.clear()
    _let_signals()


def cut_off(descriptors: Iterable[int]) -> None:
    """Let descriptors of this process mean nothing any more.

    They are not closed, since objects believe that they own them: what those close later might be somebody else's.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        if descriptor >= 0:
            try:
                os.fstat(descriptor)
            except OSError:
                continue  # closed already
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)
