"""The event loop: a selector whose keys hold the call to make.

    for key, mask in selector.select(timeout):
        key.data(mask)

Nothing else happens for an event: what it means is the compiled core's affair.
Time limits are the index's; the loop only wakes often enough to keep them.
"""

from __future__ import annotations

import os
import selectors
from collections import deque
from heapq import heappop, heappush
from itertools import count
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Loop"]

ROUND = 0.5  # seconds: longest sleep, so that a time limit is kept to half a second


class Loop:
    """Waits for descriptors, other threads and times, and calls what belongs to each.

    Attributes:
        selector: where descriptors are registered, with a callable taking the event mask as data.
        wake_descriptor: write a byte to it to wake the loop; also fit for `signal.set_wakeup_fd`.

    Thread-safety: `call_from_thread` and `stop` from any thread; all else from the loop's.
    """

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._wake_reader, self.wake_descriptor = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self.wake_descriptor, False)
        self.selector.register(self._wake_reader, selectors.EVENT_READ, self._woken)
        self._calls: deque[Callable[[], object]] = deque()
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._awake = False
        self._stopping = False

    def run(self, tick: Callable[[], object]) -> None:
        """Serve events until `stop`.

        Args:
            tick: called after each wait, before the events.
        """
        select = self.selector.select
        self._stopping = False
        while not self._stopping:
            events = select(ROUND)
            tick()
            for key, mask in events:
                key.data(mask)
            if self._later:
                self._run_due()

    def stop(self) -> None:
        """Make `run` return after the events at hand."""
        self._stopping = True
        self._wake()

    def call_from_thread(self, call: Callable[[], object]) -> None:
        """Have `call` made on the loop's thread, soon and in order."""
        self._calls.append(call)
        self._wake()

    def call_later(self, delay: float, call: Callable[[], object]) -> None:
        """Have `call` made in `delay` seconds, to the precision of a round (half a second)."""
        heappush(self._later, (monotonic() + delay, next(self._order), call))

    def close(self) -> None:
        """Give the loop's own descriptors back."""
        self.selector.close()
        os.close(self._wake_reader)
        os.close(self.wake_descriptor)

    def _wake(self) -> None:
        # One byte is enough for any number of calls; a full pipe wakes just as well.
        if not self._awake:
            self._awake = True
            try:
                os.write(self.wake_descriptor, b"\0")
            except BlockingIOError:
                pass

    def _woken(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        # The flag falls before the calls are taken: one that comes in between wakes the loop again.
        try:
            while len(os.read(self._wake_reader, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass
        self._awake = False
        calls = self._calls
        for _ in range(len(calls)):
            calls.popleft()()

    def _run_due(self) -> None:
        now = monotonic()
        while self._later and self._later[0][0] <= now:
            heappop(self._later)[2]()
