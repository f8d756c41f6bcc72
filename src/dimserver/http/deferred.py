"""Handlers whose answer comes later, without a thread that waits for it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from dimcore import RequestPoint

    class Reply(Protocol):
        """Give the answer, or what went wrong; on the loop's thread, once, and after `begin` has returned."""

        def __call__(self, result: Any, error: BaseException | None = None) -> object: ...


__all__ = ["Deferred"]


class Deferred:
    """Base of such handlers; register them as blocking.

    The pool of threads is not involved: an operator's request is answered also
    while every thread is taken by the app.

    Thread-safety: `begin` is called on the loop's thread.
    """

    def begin(self, request: RequestPoint, reply: Reply) -> None:
        """Begin to answer.

        Args:
            request: its bytes are its own.
            reply: called in the end with what a handler would return; a client that left meanwhile is no error.
        """
        raise NotImplementedError

    def __call__(self, request: RequestPoint) -> Any:
        """The same without a loop, for requests made in process: what is known at once."""
        raise NotImplementedError
